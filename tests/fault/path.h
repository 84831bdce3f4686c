/*
 * path: the socket files of the simulated kernel, all in one folder.
 */
#ifndef EVPROXY_FAULT_PATH_H
#define EVPROXY_FAULT_PATH_H

#include <stdbool.h>
#include <sys/stat.h>

#define PATH_FOLDER "/simulated/"

void path_forget_all(void);
bool path_is_simulated(const char *path);

/* As bind, stat and unlink do: -1 with errno. */
int path_make(const char *path);
int path_stat(const char *path, struct stat *status);
int path_remove(const char *path);

unsigned path_count(void);

#endif
