/*
 * delay: how long the test and its child processes, which are its proxies, have
 * waited for a processor that others had. What takes long on a busy machine is
 * no fault of the proxy as far as this explains it. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_DELAY_H
#define EVPROXY_TESTS_E2E_DELAY_H

#include <stdint.h>

/* Since they began, in milliseconds, of all threads together; 0 where the
 * kernel keeps no account of it. It never falls; what a thread has waited since
 * the call before its end is not in it. The first counts of the test its main
 * thread only: a request passes through it, but not through the test's other
 * threads. */
int64_t delay_of_request_ms(void);
int64_t delay_of_all_ms(void);

/* Times something. */
struct stopwatch {
    int64_t began_ms;
    int64_t delay_ms;
};

struct stopwatch stopwatch_start(void);

/* Since the start. */
int64_t stopwatch_ms(const struct stopwatch *watch);

/* The same without delay_of_all_ms: at least 0. */
int64_t stopwatch_own_ms(const struct stopwatch *watch);

/* Fails unless it took at least so long, and without the delay at most so long;
 * a slow run may take ten times as long. */
void stopwatch_expect(const struct stopwatch *watch, int64_t least_ms,
                      int64_t most_ms);

#endif
