/*
 * wait: waiting for a condition, always with a deadline. No test sleeps for
 * luck.
 *
 * The deadline is 10 seconds after the wait begins, 50 in a slow run. Times are
 * milliseconds of the monotonic clock. Any thread, except wait_until: it fails
 * the test, and only the main thread may do that.
 */
#ifndef EVPROXY_TESTS_E2E_WAIT_H
#define EVPROXY_TESTS_E2E_WAIT_H

#include "test.h"

int64_t wait_now_ms(void);

/* The deadline of a wait that begins now. */
int64_t wait_limit_ms(void);

void wait_sleep(int ms);

/* The pause between two looks at a condition. */
void wait_tick(void);

/* True as soon as the descriptor has one of the poll(2) events or an error,
 * false after the limit. */
bool wait_events(int fd, short events, int64_t limit_ms);

/* True if it is readable, or has ended, within so many milliseconds. */
bool wait_readable(int fd, int ms);

/* Evaluates the condition again and again; fails the test at the deadline. */
#define wait_until(condition)                                                  \
    do {                                                                       \
        int64_t wait_until_limit = wait_limit_ms();                            \
                                                                               \
        while (!(condition)) {                                                 \
            if (wait_now_ms() > wait_until_limit) {                            \
                fail_msg("never came true: %s", #condition);                   \
            }                                                                  \
            wait_tick();                                                       \
        }                                                                      \
    } while (0)

#endif
