/*
 * watched: a fixture whose proxy serves HTTP. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_WATCHED_H
#define EVPROXY_TESTS_E2E_WATCHED_H

#include "fixture.h"

struct watched {
    struct fixture fixture;
    struct loopback http; /* metrics_listen */
};

/* As fixture_open; fixture_close closes it. */
void watched_open(struct watched *watched, const char *global,
                  const char *service);

#endif
