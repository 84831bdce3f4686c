/*
 * fail: makes the n-th allocation, or the n-th system call that can fail, fail;
 * or allocations at random. Counts only while it is armed; the wrapped calls
 * ask it.
 */
#ifndef EVPROXY_FAULT_FAIL_H
#define EVPROXY_FAULT_FAIL_H

#include <stdbool.h>
#include <stdint.h>

enum fail_kind {
    FAIL_NONE,
    FAIL_CALL,
    FAIL_MEMORY, /* malloc, calloc, realloc, aligned_alloc, strdup */
};

/* The n-th of the kind from now on fails, n from 1; lasting: and all after it.
 */
void fail_arm(enum fail_kind kind, unsigned n, bool lasting);

/* Meanwhile none is counted, and what is armed stays so. */
void fail_hold(bool is_held);

/* None fails any more. Answers whether one has. */
bool fail_disarm(void);

/* Counts one, and answers whether it must fail. */
bool fail_due(enum fail_kind kind);

/* From now on one allocation in so many fails; 0: none. */
void fail_memory_odds(uint32_t odds);

#endif
