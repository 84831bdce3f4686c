#include "net/pipe.h"

#include <fcntl.h>
#include <unistd.h>

void pipe_pool_init(struct pipe_pool *pool)
{
    *pool = (struct pipe_pool){.count = PIPE_POOL_MAX};
    for (uint32_t i = 0; i < PIPE_POOL_MAX; i++) {
        pool->pipes[i] = (struct pipe){.read_fd = -1, .write_fd = -1};
        pool->free[i] = (uint8_t)i;
    }
}

static void pipe_close(struct pipe *pipe)
{
    if (pipe->read_fd >= 0) {
        close(pipe->read_fd);
        close(pipe->write_fd);
    }
    *pipe = (struct pipe){.read_fd = -1, .write_fd = -1};
}

void pipe_pool_fini(struct pipe_pool *pool)
{
    for (uint32_t i = 0; i < PIPE_POOL_MAX; i++) {
        pipe_close(&pool->pipes[i]);
    }
}

static bool pipe_open(struct pipe *pipe)
{
    int fds[2];

    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
        return false;
    }
    /* A larger pipe saves calls; the default size works too. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
    *pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
    return true;
}

uint32_t pipe_borrow(struct pipe_pool *pool)
{
    uint32_t number;

    if (pool->count == 0) {
        return 0;
    }
    number = pool->free[pool->count - 1];
    if (pool->open == 0) {
        if (!pipe_open(&pool->pipes[number])) {
            return 0;
        }
    } else {
        pool->open--;
    }
    pool->count--;
    if (pool->open < pool->low) {
        pool->low = pool->open;
    }
    return number + 1;
}

void pipe_return(struct pipe_pool *pool, uint32_t number)
{
    struct pipe *pipe = pipe_at(pool, number);

    if (pipe->bytes > 0) {
        pipe_close(pipe);
        /* It goes below the open ones. */
        pool->free[pool->count] = pool->free[pool->count - pool->open];
        pool->free[pool->count - pool->open] = (uint8_t)(number - 1);
        pool->count++;
    } else {
        pool->free[pool->count++] = (uint8_t)(number - 1);
        pool->open++;
    }
}

uint32_t pipe_adopt(struct pipe_pool *pool, const struct pipe *pipe)
{
    struct pipe unwanted = *pipe;
    uint32_t place;
    uint32_t number;

    if (pool->count == 0) {
        pipe_close(&unwanted);
        return 0;
    }
    if (pool->open == pool->count) {
        pool->open--; /* the one at the bottom makes room */
        pool->low = pool->low < pool->open ? pool->low : pool->open;
    }
    place = pool->count - pool->open - 1;
    number = pool->free[place];
    pipe_close(&pool->pipes[number]);
    pool->count--;
    pool->free[place] = pool->free[pool->count];
    pool->pipes[number] = *pipe;
    return number + 1;
}

bool pipe_pool_trim(struct pipe_pool *pool)
{
    for (; pool->low > 0; pool->low--) {
        pipe_close(&pool->pipes[pool->free[pool->count - pool->open]]);
        pool->open--;
    }
    pool->low = pool->open;
    return pool->open > 0;
}
