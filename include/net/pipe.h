/*
 * pipe: a pool of kernel pipes for splice(2), which moves bytes from one socket
 * to another without a copy. It belongs to one thread.
 *
 * A pipe is borrowed empty. One that is returned with bytes in it is closed,
 * because the next borrower would send them to a stranger. The pool is small: a
 * pipe needs two descriptors, and the kernel limits the pipe memory of a user
 * (pipe(7), pipe-user-pages-soft). A relay that gets no pipe copies.
 *
 * The borrower counts the bytes in a pipe and fills only an empty one, because
 * splice answers EAGAIN both for an empty socket and for a full pipe.
 */
#ifndef EVPROXY_NET_PIPE_H
#define EVPROXY_NET_PIPE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define PIPE_POOL_MAX 64         /* pipes in a pool */
#define PIPE_BYTES    (1u << 18) /* capacity that is asked for */

struct pipe {
    int read_fd; /* -1: not open */
    int write_fd;
    uint32_t bytes; /* in it */
};

struct pipe_pool {
    struct pipe pipes[PIPE_POOL_MAX];
    uint8_t free[PIPE_POOL_MAX]; /* a stack of indexes, the open ones on top */
    uint32_t count;              /* on the stack */
    uint32_t open;               /* open ones on the stack */
    uint32_t low;                /* the least of them since the last trim */
};

void pipe_pool_init(struct pipe_pool *pool);
void pipe_pool_fini(struct pipe_pool *pool);

/* The number of an empty pipe, counted from 1; 0: there is none. */
uint32_t pipe_borrow(struct pipe_pool *pool) WARN_UNUSED;
void pipe_return(struct pipe_pool *pool, uint32_t number);

/* Takes an open pipe, with the bytes in it, into the pool and lends it at once.
 * 0: there is no place for it, and it is closed. */
uint32_t pipe_adopt(struct pipe_pool *pool,
                    const struct pipe *pipe) WARN_UNUSED;

static inline struct pipe *pipe_at(struct pipe_pool *pool, uint32_t number)
{
    return &pool->pipes[number - 1];
}

/* Closes the pipes that were not needed since the last call. True: a later call
 * could close more. */
bool pipe_pool_trim(struct pipe_pool *pool);

#endif
