/*
 * poison: marks mapped memory that must not be accessed for now.
 *
 * Under AddressSanitizer an access between poison_set and poison_lift aborts
 * the process; in other builds both do nothing. The bounds are multiples of 8.
 */
#ifndef EVPROXY_BASE_POISON_H
#define EVPROXY_BASE_POISON_H

#include <stddef.h>

#if __has_include(<sanitizer/asan_interface.h>)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, size)   ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#endif

static inline void poison_set(void *start, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(start, bytes);
}

static inline void poison_lift(void *start, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(start, bytes);
}

#endif
