/*
 * base: the few macros that every room uses, and the answers of calls that move
 * bytes.
 *
 * Not a place for helpers: a type with functions gets a header.
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

/* Data that two threads write is kept this far apart. */
#define CACHE_LINE_BYTES 64

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

/* The answer of every call that moves bytes. */
enum io {
    IO_OK,    /* moved at least one byte */
    IO_AGAIN, /* nothing now; an event will come */
    IO_EOF,   /* the peer ended its stream */
    IO_BUSY,  /* a shortage of the machine; no event will come */
    IO_ERROR, /* errno says why; close the descriptor */
};

#endif
