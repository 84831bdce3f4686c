/*
 * busy: connections that carry bytes both ways, as fast as they can, while the
 * test does something else. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_BUSY_H
#define EVPROXY_TESTS_E2E_BUSY_H

#include "pair.h"

#define BUSY_MAX 8

struct busy {
    unsigned count;
    size_t bytes; /* of each direction; and one more each */
    struct stream out[2 * BUSY_MAX], in[2 * BUSY_MAX];
};

/* Establishes so many, and starts the streams. Receivers pause for pause_ms
 * eight times, if it is not 0, so that bytes wait everywhere. */
void busy_start(struct busy *busy, const struct fixture *fixture,
                unsigned count, size_t bytes, int pause_ms);

/* Waits until all bytes and both ends have come. */
void busy_finish(struct busy *busy);

#endif
