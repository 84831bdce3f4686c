/*
 * check_schedule: when an upstream is checked, and what the results of its
 * checks change. Pure.
 */
#ifndef EVPROXY_CONTROL_CHECK_SCHEDULE_H
#define EVPROXY_CONTROL_CHECK_SCHEDULE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Times of checks. random: the state of hash_random.
 *
 * The first one comes at a random time within the interval, and each further
 * one an interval after the last began, less or more by up to a twentieth. So
 * many upstreams are not asked at once, nor one by many proxies, even if
 * something has delayed all of them.
 */
uint64_t check_first_ns(uint64_t now_ns, uint64_t interval_ns,
                        uint64_t *random);
uint64_t check_next_ns(uint64_t begun_ns, uint64_t interval_ns,
                       uint64_t *random);

/*
 * The slot of a check that is due then: the nearest multiple of 8 ms, or of
 * less if the interval is below a second. The checks of a slot begin together,
 * so the thread wakes for all of them once, and finds several answers whenever
 * it looks.
 */
uint64_t check_slot_ns(uint64_t due_ns, uint64_t interval_ns);

/* The latest that check_next_ns can answer. */
uint64_t check_latest_ns(uint64_t begun_ns, uint64_t interval_ns);

enum check_turn { CHECK_STAYS, CHECK_COMES_UP, CHECK_GOES_DOWN };

/* Counts a result of an upstream that checks have found down, or not. *streak:
 * results in a row that speak for a change. */
enum check_turn check_count(uint32_t *streak, bool down, bool passed,
                            uint32_t rise, uint32_t fall);

#endif
