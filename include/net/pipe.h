/*
 * pipe: kernel pipes for splice(2), lent like blocks, for one thread.
 *
 * A pipe carries bytes from one socket to another without their being copied.
 * It is borrowed empty and returned; one returned with bytes in it is closed
 * and never lent again, for the next borrower would send them to a stranger.
 * Few are open at a time: a pipe is two descriptors, and an ordinary user's
 * share of pipe memory is bounded (pipe(7), pipe-user-pages-soft). Who gets
 * none copies.
 *
 * What is in a pipe is counted here: splice answers EAGAIN alike for an empty
 * socket and a full pipe, so only an empty pipe is filled.
 */
#ifndef EVPROXY_NET_PIPE_H
#define EVPROXY_NET_PIPE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define PIPE_POOL_MAX 64         /* pipes of one pool: descriptors / 2 */
#define PIPE_BYTES    (1u << 18) /* asked of the kernel for each */

struct pipe {
    int read_fd; /* -1: not open */
    int write_fd;
    uint32_t bytes; /* in it */
};

struct pipe_pool {
    struct pipe pipes[PIPE_POOL_MAX];
    uint8_t free[PIPE_POOL_MAX]; /* a stack of numbers; the open ones on top */
    uint32_t count;              /* on the stack */
    uint32_t open;               /* of those */
    uint32_t low;                /* least of those since the last trim */
};

void pipe_pool_init(struct pipe_pool *pool);
void pipe_pool_fini(struct pipe_pool *pool);

/* The number of an empty pipe, counted from 1; 0 if none is to be had. */
uint32_t pipe_borrow(struct pipe_pool *pool) WARN_UNUSED;
void pipe_return(struct pipe_pool *pool, uint32_t number);

/* Takes the pipe out of the pool, which forgets it: its descriptors are the
 * caller's. */
void pipe_give_up(struct pipe_pool *pool, uint32_t number);

/* Puts an open pipe, with the bytes in it, into the pool and lends it at once.
 * 0: there is no place for it. */
uint32_t pipe_adopt(struct pipe_pool *pool,
                    const struct pipe *pipe) WARN_UNUSED;

static inline struct pipe *pipe_at(struct pipe_pool *pool, uint32_t number)
{
    return &pool->pipes[number - 1];
}

/* Closes those that nobody needed since the last call. True: another call in a
 * while could close more. */
bool pipe_pool_trim(struct pipe_pool *pool);

#endif
