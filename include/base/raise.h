/*
 * raise: a shared number that only grows. Any thread.
 */
#ifndef EVPROXY_BASE_RAISE_H
#define EVPROXY_BASE_RAISE_H

#include <stdatomic.h>
#include <stdint.h>

/* The number becomes the greater one of itself and the value. Relaxed. */
static inline void raise_to(_Atomic uint64_t *number, uint64_t value)
{
    uint64_t old = atomic_load_explicit(number, memory_order_relaxed);

    while (old < value && !atomic_compare_exchange_weak_explicit(
                              number, &old, value, memory_order_relaxed,
                              memory_order_relaxed)) {
        continue;
    }
}

#endif
