/*
 * folder: a folder of the test's own below /tmp, for tests that read files.
 * Main thread only.
 */
#ifndef EVPROXY_TESTS_UNIT_FOLDER_H
#define EVPROXY_TESTS_UNIT_FOLDER_H

/* Its path, between set-up and teardown. */
extern char folder[64];

/* cmocka's set-up and teardown: makes it, and removes it with all in it. */
int folder_make(void **state);
int folder_remove(void **state);

/* Writes a file in it, and makes the folders of the name. */
void folder_put(const char *name, const char *text);

#endif
