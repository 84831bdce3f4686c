/*
 * counter: a number that one thread adds to and others read.
 *
 * Each worker alone writes its counters, and the control thread reads those of
 * all and adds them up. So a counter is an atomic without contention, and an
 * addition is a load, an add and a store. The store releases and the reader
 * acquires: a thread that sees a counter's new value also sees all that the
 * worker counted before it (plain moves on x86).
 */
#ifndef EVPROXY_SERVICE_COUNTER_H
#define EVPROXY_SERVICE_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter;

/* Only by the counter's worker. */
static inline void counter_add(counter *one, uint64_t n)
{
    uint64_t value = atomic_load_explicit(one, memory_order_relaxed);

    atomic_store_explicit(one, value + n, memory_order_release);
}

static inline uint64_t counter_read(const counter *one)
{
    return atomic_load_explicit(one, memory_order_acquire);
}

#endif
