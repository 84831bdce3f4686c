#include "proxy/relay.h"

#include "net/receive_buffer.h"

#include <sys/param.h>

static enum pump wait_for(struct relay *relay, enum relay_wait what)
{
    relay->wait = (uint8_t)what;
    return PUMP_WAITS;
}

/* ---- the source's buffer in the kernel ---- */

static void follow_order(struct relay *relay,
                         const struct relay_context *context,
                         enum growth_order order)
{
    switch (order) {
    case GROWTH_NOTHING:
        break;
    case GROWTH_SHRINK:
        switch (receive_buffer_shrink(context->from)) {
        case RECEIVE_BUFFER_SMALL_NOW:
            break;
        case RECEIVE_BUFFER_FAR:
            receive_growth_is_far(&relay->growth);
            break;
        case RECEIVE_BUFFER_HELD:
            relay->growth.state = GROWTH_HELD_WIDE;
            break;
        case RECEIVE_BUFFER_FREE:
            relay->growth.state = GROWTH_FREE;
            break;
        }
        break;
    case GROWTH_HOLD:
        receive_buffer_hold(context->from);
        break;
    case GROWTH_RELEASE:
        receive_buffer_release(context->from);
        break;
    }
}

/* How long the relay has waited: since a byte last moved. */
static uint64_t waited_ns(const struct relay *relay,
                          const struct relay_context *context)
{
    return context->plane->loop.now_ns - relay->moved_ns;
}

/* Whether the kernel is short of memory for TCP. */
static bool tcp_is_short(const struct relay_context *context)
{
    return atomic_load_explicit(&context->plane->shared->tcp_short,
                                memory_order_relaxed);
}

/* The sink takes nothing now. */
static enum pump wait_for_sink(struct relay *relay,
                               const struct relay_context *context)
{
    if (relay->bytes >= context->memory->cache.slab->block_bytes) {
        follow_order(
            relay, context,
            receive_growth_sink_waits(&relay->growth, tcp_is_short(context)));
    }
    return wait_for(relay, RELAY_SINK);
}

/* The machine is short of something, and no event tells when that is over. */
static enum pump wait_for_retry(struct relay *relay,
                                const struct relay_context *context)
{
    plane_retry_later(context->plane, PLANE_RELAYS, &relay->link);
    return wait_for(relay, RELAY_RETRY);
}

/* ---- what a relay holds ---- */

/* Borrows a block for the ring. False: the relay must wait in the queue
 * for one. While there is a queue, no relay of the service overtakes it. */
static bool borrow(struct relay *relay, const struct relay_context *context)
{
    struct slab_cache *cache = &context->memory->cache;
    struct service_blocks *blocks = context->blocks;
    void *block = list_empty(&blocks->queue)
                      ? slab_borrow(cache, &blocks->account)
                      : NULL;

    if (block != NULL) {
        ring_attach(&relay->ring, block, cache->slab->block_bytes);
    }
    return block != NULL;
}

/* A relay no longer waits for a block. If none is left, nor does the service's
 * account: it may be freed before its grant. */
static void end_wait(const struct relay_context *context)
{
    struct service_blocks *blocks = context->blocks;

    if (list_empty(&blocks->queue)) {
        slab_pass_on(&blocks->account);
    }
}

void relay_leave_queue(struct relay *relay, const struct relay_context *context)
{
    bool waited = relay->wait == RELAY_MEMORY && list_linked(&relay->link);

    list_remove(&relay->link);
    if (waited) {
        end_wait(context);
    }
}

/* Returns the block of the empty ring, and the pipe that it stands for. */
static void release(struct relay *relay, const struct relay_context *context)
{
    if (relay->pipe != 0) {
        pipe_return(&context->plane->pipes, relay->pipe);
        relay->pipe = 0;
    }
    slab_return(&context->memory->cache, &context->blocks->account,
                ring_detach(&relay->ring));
}

void relay_drop(struct relay *relay, const struct relay_context *context)
{
    relay_leave_queue(relay, context);
    while (!ring_empty(&relay->ring)) {
        ring_consumed(&relay->ring, ring_bytes(&relay->ring).count);
    }
    if (relay->ring.block != NULL) {
        release(relay, context);
    }
    if (context->throttle != NULL) {
        throttle_cancel(context->throttle, context->service,
                        (enum direction)relay->direction);
    }
}

bool relay_holds_bytes(const struct relay *relay, struct plane *plane)
{
    return !ring_empty(&relay->ring) ||
           (relay->pipe != 0 && pipe_at(&plane->pipes, relay->pipe)->bytes > 0);
}

static enum pump broke(struct relay *relay, const struct relay_context *context,
                       enum pump how)
{
    relay_drop(relay, context);
    relay->wait = RELAY_BROKEN;
    return how;
}

/* ---- writing ---- */

static enum io write_some(struct relay *relay,
                          const struct relay_context *context)
{
    struct sock *to = context->to;
    size_t count = 0;
    enum io io;

    if (relay->pipe != 0) {
        struct pipe *pipe = pipe_at(&context->plane->pipes, relay->pipe);

        io = sock_splice_out(to, pipe->read_fd, pipe->bytes, &count);
        pipe->bytes -= (uint32_t)count;
    } else {
        struct span span = ring_bytes(&relay->ring);
        bool last =
            context->from->ready & SOCK_ENDED && span.count == relay->ring.used;

        io = sock_send(to, span.bytes, span.count, last || relay->more, &count);
        ring_consumed(&relay->ring, count);
    }
    return io;
}

/* Writes until nothing is held. */
static enum pump flush(struct relay *relay, const struct relay_context *context)
{
    while (relay_holds_bytes(relay, context->plane)) {
        if (!(context->to->ready & SOCK_WRITABLE)) {
            return wait_for_sink(relay, context);
        }
        switch (write_some(relay, context)) {
        case IO_OK:
            relay->moved_ns = context->plane->loop.now_ns;
            break;
        case IO_AGAIN:
            break;
        case IO_BUSY:
            return wait_for_retry(relay, context);
        default:
            return broke(relay, context, PUMP_NO_SINK);
        }
    }
    if (relay->ring.block != NULL) {
        release(relay, context);
    }
    return PUMP_GOES_ON;
}

/* All bytes of the source are written: its end is passed on too. */
static enum pump pass_end(struct relay *relay,
                          const struct relay_context *context)
{
    switch (sock_finish(context->to)) {
    case IO_OK:
        relay->moved_ns = context->plane->loop.now_ns;
        relay->wait = RELAY_ENDED;
        return PUMP_ENDED;
    case IO_AGAIN:
        return wait_for(relay, RELAY_SINK);
    case IO_BUSY:
        return wait_for_retry(relay, context);
    default:
        return broke(relay, context, PUMP_NO_SINK);
    }
}

/* ---- reading ---- */

/* The source gave no byte. */
static enum pump no_byte(struct relay *relay,
                         const struct relay_context *context, enum io io)
{
    switch (io) {
    case IO_AGAIN:
        return wait_for(relay, RELAY_SOURCE);
    case IO_BUSY:
        return wait_for_retry(relay, context);
    case IO_EOF:
        return pass_end(relay, context);
    default:
        return broke(relay, context, PUMP_NO_SOURCE);
    }
}

/* No block is free. The end of the stream needs none, and must not wait for
 * those who hold the blocks. */
static enum pump end_without_block(struct relay *relay,
                                   const struct relay_context *context)
{
    struct sock *from = context->from;
    enum io io = IO_OK;

    if (from->ready & SOCK_HANGUP) {
        io = sock_peek_end(from);
    }
    if (io == IO_EOF || io == IO_ERROR) {
        relay_leave_queue(relay, context);
        return no_byte(relay, context, io);
    }
    return PUMP_WAITS;
}

static bool in_bulk(const struct relay *relay)
{
    return relay->bulk >= RELAY_BULK_FROM;
}

/* Into a pipe. IO_BUSY: a block is to be used after all. Errors are left to the
 * read into the block. */
static enum io read_pipe(struct relay *relay,
                         const struct relay_context *context, size_t most,
                         size_t *count)
{
    struct pipe_pool *pipes = &context->plane->pipes;
    struct pipe *pipe;
    enum io io;

    relay->pipe = (uint8_t)pipe_borrow(pipes);
    if (relay->pipe == 0) {
        return IO_BUSY;
    }
    pipe = pipe_at(pipes, relay->pipe);
    io = sock_splice_in(context->from, pipe->write_fd, most, count);
    if (io == IO_OK) {
        pipe->bytes = (uint32_t)*count;
    } else {
        pipe_return(pipes, relay->pipe);
        relay->pipe = 0;
    }
    return io == IO_ERROR ? IO_BUSY : io;
}

static void watch_growth(struct relay *relay,
                         const struct relay_context *context, size_t count)
{
    bool full = count >= relay->ring.size;
    uint64_t waited =
        relay->wait == RELAY_SOURCE ? waited_ns(relay, context) : 0;

    follow_order(relay, context,
                 receive_growth_read(&relay->growth, count,
                                     relay->bytes + count, full, waited,
                                     tcp_is_short(context)));
}

static void count_bytes(struct relay *relay,
                        const struct relay_context *context, size_t count)
{
    if (count >= GROWTH_READ_MIN) {
        watch_growth(relay, context, count);
    }
    if (count >= relay->ring.size) {
        relay->bulk += relay->bulk < RELAY_BULK_MOST;
    } else {
        relay->bulk -= relay->bulk > 0;
    }
    relay->moved_ns = context->plane->loop.now_ns;
    relay->bytes += count;
    counter_add(context->service_bytes, count);
    counter_add(context->upstream_bytes, count);
}

/* One read of at most that many bytes, which *count tells, into a pipe or a
 * block. */
static enum pump read_once(struct relay *relay,
                           const struct relay_context *context, size_t most,
                           size_t *count)
{
    struct sock *from = context->from;
    enum io io = IO_BUSY;
    struct span space;

    *count = 0;
    if (!borrow(relay, context)) {
        list_append(&context->blocks->queue, &relay->link);
        relay->wait = RELAY_MEMORY;
        return end_without_block(relay, context);
    }
    if (in_bulk(relay) && sock_can_splice(from, context->to)) {
        io = read_pipe(relay, context, most, count);
    }
    if (io == IO_BUSY) {
        space = ring_space(&relay->ring);
        io = sock_recv(from, space.bytes, MIN(space.count, most), count);
        if (io == IO_OK) {
            ring_produced(&relay->ring, *count);
        }
    }
    if (io != IO_OK) {
        release(relay, context);
        return no_byte(relay, context, io);
    }
    count_bytes(relay, context, *count);
    return PUMP_GOES_ON;
}

/* The same, with tokens taken first. */
static enum pump read_throttled(struct relay *relay,
                                const struct relay_context *context,
                                size_t most, size_t *count)
{
    enum direction direction = (enum direction)relay->direction;
    struct throttle *throttle = context->throttle;
    uint64_t allowed = throttle_take(throttle, context->service, direction,
                                     context->plane->loop.now_ns, most);
    enum pump answer;

    *count = 0;
    if (allowed == 0) {
        return wait_for(relay, RELAY_TOKENS);
    }
    answer = read_once(relay, context, allowed, count);
    throttle_refund(throttle, context->service, direction, allowed - *count);
    return answer;
}

/* What a read has used up. Where OpenSSL reads, that may be more than bytes. */
static void spend(const struct relay_context *context, size_t count,
                  size_t *budget)
{
    size_t work = sock_take_work(context->from);

    if (work > 0) {
        context->plane->tls_work -= MIN(context->plane->tls_work, work);
    }
    *budget -= MIN(*budget, MAX(count, work));
}

/* After a read: whether another one probably gives bytes at once. */
static bool reads_on(const struct relay *relay,
                     const struct relay_context *context)
{
    return in_bulk(relay) && relay->ring.used == relay->ring.size &&
           context->from->ready & SOCK_READABLE && sock_can_push(context->to);
}

/* Its turn is over; another one comes. */
static enum pump wait_for_turn(struct relay *relay,
                               const struct relay_context *context)
{
    enum plane_queue queue =
        context->from->tls & SOCK_TLS_READ ? PLANE_TLS_RELAYS : PLANE_RELAYS;

    loop_run_later(&context->plane->loop, queue, &relay->link);
    return wait_for(relay, RELAY_TURN);
}

/* Reads once, if the source has something, the sink takes it, and the budget
 * is not spent. */
static enum pump fill(struct relay *relay, const struct relay_context *context,
                      size_t *budget)
{
    struct sock *from = context->from;
    enum pump answer;
    size_t count;
    size_t most;

    if (from->ready & SOCK_ENDED) {
        return no_byte(relay, context, sock_end(from));
    }
    if (!(from->ready & SOCK_READABLE)) {
        return wait_for(relay, RELAY_SOURCE);
    }
    if (!(context->to->ready & SOCK_WRITABLE)) {
        return wait_for_sink(relay, context);
    }
    if (*budget == 0) {
        return wait_for_turn(relay, context);
    }
    most =
        in_bulk(relay) ? PIPE_BYTES : context->memory->cache.slab->block_bytes;
    answer = context->throttle == NULL
                 ? read_once(relay, context, most, &count)
                 : read_throttled(relay, context, most, &count);
    spend(context, count, budget);
    if (answer == PUMP_GOES_ON) {
        relay->more = *budget > 0 && reads_on(relay, context);
    }
    return answer;
}

enum pump relay_pump(struct relay *relay, const struct relay_context *context,
                     size_t budget)
{
    enum pump answer;

    if (relay->wait == RELAY_MEMORY && list_linked(&relay->link)) {
        return end_without_block(relay, context);
    }
    list_remove(&relay->link);
    if (relay->wait == RELAY_SINK) {
        receive_growth_sink_waited(&relay->growth, waited_ns(relay, context));
    }
    do {
        answer = flush(relay, context);
        if (answer == PUMP_GOES_ON) {
            answer = fill(relay, context, &budget);
        }
    } while (answer == PUMP_GOES_ON);
    if (relay->more) {
        relay->more = false;
        sock_push(context->to);
    }
    return answer;
}
