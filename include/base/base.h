/*
 * base: the few words that every room uses.
 *
 * Not a place for helpers: what has a type has a room of its own.
 */
#ifndef EVPROXY_BASE_BASE_H
#define EVPROXY_BASE_BASE_H

#include <stddef.h>

#define WARN_UNUSED        __attribute__((warn_unused_result))
#define PRINTF(text, args) __attribute__((format(printf, text, args)))

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of the given type in which *pointer is the named member. */
#define container_of(pointer, type, member)                                    \
    ((type *)((char *)(pointer)-offsetof(type, member)))

/* Things that two threads write stand this far apart. */
#define CACHE_LINE_BYTES 64

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* What every call that moves bytes answers. */
enum io {
    IO_OK,    /* moved at least one byte */
    IO_AGAIN, /* nothing now; an event will come */
    IO_EOF,   /* the peer ended its stream */
    IO_BUSY,  /* the machine is short of something; no event will come */
    IO_ERROR, /* errno says why; the descriptor is of no further use */
};

#endif
