#include "proxy/relay.h"

#include <sys/param.h>

/* One pump; it may overdraw its budget by one read. */
struct visit {
    struct relay *relay;
    const struct relay_context *context;
    size_t moved; /* bytes read */
};

static enum pump wait_for(struct relay *relay, enum relay_wait what)
{
    relay->wait = (uint8_t)what;
    return PUMP_WAITS;
}

static enum pump wait_in(struct relay *relay, enum relay_wait what,
                         struct list *queue)
{
    list_append(queue, &relay->link);
    return wait_for(relay, what);
}

static bool in_bulk(const struct relay *relay)
{
    return relay->bulk >= RELAY_BULK_FROM;
}

/* Returns the empty ring's block and the pipe. */
static void release(struct relay *relay, const struct relay_context *context)
{
    if (relay->pipe != 0) {
        pipe_return(context->pipes, relay->pipe);
        relay->pipe = 0;
    }
    if (relay->ring.block != NULL) {
        slab_return(context->blocks, ring_detach(&relay->ring));
    }
}

void relay_drop(struct relay *relay, const struct relay_context *context)
{
    list_remove(&relay->link);
    while (!ring_empty(&relay->ring)) {
        ring_consumed(&relay->ring, ring_bytes(&relay->ring).count);
    }
    release(relay, context);
    if (context->throttle != NULL) {
        throttle_give_up(context->throttle);
    }
}

bool relay_holds_bytes(const struct relay *relay,
                       const struct relay_context *context)
{
    return !ring_empty(&relay->ring) ||
           (relay->pipe != 0 &&
            pipe_at(context->pipes, relay->pipe)->bytes > 0);
}

static enum pump broke(struct relay *relay, const struct relay_context *context,
                       enum pump how)
{
    relay_drop(relay, context);
    relay->wait = RELAY_BROKEN;
    return how;
}

/* One write of what is held. */
static enum io write_some(struct relay *relay,
                          const struct relay_context *context)
{
    size_t count = 0;
    enum io io;

    if (relay->pipe != 0) {
        struct pipe *pipe = pipe_at(context->pipes, relay->pipe);

        io = sock_splice_out(context->to, pipe->read_fd, pipe->bytes, &count);
        pipe->bytes -= (uint32_t)count;
    } else {
        struct span span = ring_bytes(&relay->ring);
        bool last =
            context->from->ready & SOCK_ENDED && span.count == relay->ring.used;

        io = sock_send(context->to, span.bytes, span.count, last, &count);
        ring_consumed(&relay->ring, count);
    }
    return io;
}

/*
 * Writes until nothing is held: true. Or false, and *answer says why the pump
 * stops.
 */
static bool flush(struct visit *visit, enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;

    while (relay_holds_bytes(relay, context)) {
        if (!(context->to->ready & SOCK_WRITABLE)) {
            *answer = wait_for(relay, RELAY_SINK);
            return false;
        }
        switch (write_some(relay, context)) {
        case IO_OK:
            relay->moved_ns = context->loop->now_ns;
            break;
        case IO_AGAIN:
            break;
        case IO_BUSY:
            *answer = wait_in(relay, RELAY_RETRY, context->retry_queue);
            return false;
        default:
            *answer = broke(relay, context, PUMP_NO_SINK);
            return false;
        }
    }
    release(relay, context);
    return true;
}

/* All bytes of the source are written: its end is passed on too. */
static enum pump pass_end(struct relay *relay,
                          const struct relay_context *context)
{
    switch (sock_finish(context->to)) {
    case IO_OK:
        relay->moved_ns = context->loop->now_ns;
        relay->wait = RELAY_ENDED;
        return PUMP_ENDED;
    case IO_AGAIN:
        return wait_for(relay, RELAY_SINK);
    case IO_BUSY:
        return wait_in(relay, RELAY_RETRY, context->retry_queue);
    default:
        return broke(relay, context, PUMP_NO_SINK);
    }
}

/* The source gave no byte: why, and so what the pump answers. */
static enum pump no_byte(struct relay *relay,
                         const struct relay_context *context, enum io io)
{
    switch (io) {
    case IO_AGAIN:
        return wait_for(relay, RELAY_SOURCE);
    case IO_BUSY:
        return wait_in(relay, RELAY_RETRY, context->retry_queue);
    case IO_EOF:
        return pass_end(relay, context);
    default:
        return broke(relay, context, PUMP_NO_SOURCE);
    }
}

/* There is no block. The end of the stream needs none: it must not wait for
 * those who hold theirs. */
static enum pump end_without_block(struct relay *relay,
                                   const struct relay_context *context)
{
    enum io io = IO_OK;

    if (context->from->ready & SOCK_HANGUP) {
        io = sock_peek_end(context->from);
    }
    if (io == IO_EOF || io == IO_ERROR) {
        list_remove(&relay->link);
        return no_byte(relay, context, io);
    }
    return PUMP_WAITS;
}

/* A block for the ring; or false, and the relay stands in line for one. While
 * there is a line, its cache waits for a grant: nobody may overtake. */
static bool borrow_block(struct relay *relay,
                         const struct relay_context *context)
{
    void *block = NULL;

    if (list_empty(context->memory_queue)) {
        block = slab_borrow(context->blocks);
    }
    if (block == NULL) {
        wait_in(relay, RELAY_MEMORY, context->memory_queue);
        return false;
    }
    ring_attach(&relay->ring, block, context->blocks->slab->block_bytes);
    return true;
}

static enum io read_block(struct relay *relay,
                          const struct relay_context *context, uint64_t allowed,
                          size_t *count)
{
    struct span space = ring_space(&relay->ring);
    enum io io =
        sock_recv(context->from, space.bytes, MIN(space.count, allowed), count);

    if (io == IO_OK) {
        ring_produced(&relay->ring, *count);
    }
    return io;
}

/* Into the pipe; IO_BUSY: this is to be read into the block after all, and so
 * is an error. */
static enum io read_pipe(struct relay *relay,
                         const struct relay_context *context, uint64_t allowed,
                         size_t *count)
{
    struct pipe *pipe;
    enum io io;

    relay->pipe = pipe_borrow(context->pipes);
    if (relay->pipe == 0) {
        return IO_BUSY;
    }
    pipe = pipe_at(context->pipes, relay->pipe);
    io = sock_splice_in(context->from, pipe->write_fd, allowed, count);
    if (io == IO_OK) {
        pipe->bytes = (uint32_t)*count;
    } else {
        pipe_return(context->pipes, relay->pipe);
        relay->pipe = 0;
    }
    return io == IO_ERROR ? IO_BUSY : io;
}

static enum io read_some(struct relay *relay,
                         const struct relay_context *context, uint64_t allowed,
                         size_t *count)
{
    enum io io = IO_BUSY;

    if (in_bulk(relay) && sock_can_splice(context->from, context->to)) {
        io = read_pipe(relay, context, allowed, count);
    }
    if (io == IO_BUSY) {
        io = read_block(relay, context, allowed, count);
    }
    return io;
}

/* Accounts for bytes that were read. */
static void count_bytes(struct visit *visit, size_t count)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;

    if (count >= context->blocks->slab->block_bytes) {
        relay->bulk += relay->bulk < RELAY_BULK_MOST;
    } else {
        relay->bulk -= relay->bulk > 0;
    }
    relay->moved_ns = context->loop->now_ns;
    relay->bytes += count;
    visit->moved += count;
    counter_add(context->service_bytes, count);
    counter_add(context->upstream_bytes, count);
}

/* One read of at most allowed bytes. Answers as fill; *count is what came. */
static bool read_once(struct visit *visit, uint64_t allowed, size_t *count,
                      enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;
    enum io io;

    if (!borrow_block(relay, context)) {
        *answer = end_without_block(relay, context);
        return false;
    }
    io = read_some(relay, context, allowed, count);
    if (io == IO_OK) {
        count_bytes(visit, *count);
        return true;
    }
    release(relay, context);
    *answer = no_byte(relay, context, io);
    return false;
}

/* As many bytes as one read is for. */
static uint64_t read_size(const struct visit *visit)
{
    return in_bulk(visit->relay) ? PIPE_BYTES
                                 : visit->context->blocks->slab->block_bytes;
}

static bool fill_throttled(struct visit *visit, enum pump *answer)
{
    struct throttle *throttle = visit->context->throttle;
    uint64_t allowed =
        throttle_take(throttle, visit->context->loop->now_ns, read_size(visit));
    size_t count = 0;
    bool more;

    if (allowed == 0) {
        *answer = wait_for(visit->relay, RELAY_TOKENS);
        return false;
    }
    more = read_once(visit, allowed, &count, answer);
    throttle_refund(throttle, allowed - count);
    return more;
}

/* A full block and more to come: this is no short connection, and the sink's
 * options are to be set before it gets the rest. That is the session's, when it
 * has its turn. */
static bool wants_settling(const struct visit *visit)
{
    return visit->relay->bulk > 0 && !sock_has_options(visit->context->to);
}

/* Reads once, if there is something, somebody to take it, and leave to. */
static bool fill(struct visit *visit, enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;
    size_t count = 0;

    if (context->from->ready & SOCK_ENDED) {
        *answer = no_byte(relay, context, sock_end(context->from));
        return false;
    }
    if (!(context->from->ready & SOCK_READABLE)) {
        *answer = wait_for(relay, RELAY_SOURCE);
        return false;
    }
    if (!(context->to->ready & SOCK_WRITABLE)) {
        *answer = wait_for(relay, RELAY_SINK);
        return false;
    }
    if (visit->moved >= RELAY_BUDGET_BYTES || wants_settling(visit)) {
        *answer = wait_in(relay, RELAY_TURN, &context->loop->runnable[0]);
        return false;
    }
    if (context->throttle != NULL) {
        return fill_throttled(visit, answer);
    }
    return read_once(visit, read_size(visit), &count, answer);
}

enum pump relay_pump(struct relay *relay, const struct relay_context *context)
{
    struct visit visit = {.relay = relay, .context = context};
    enum pump answer;

    if (relay->wait == RELAY_MEMORY && list_linked(&relay->link)) {
        return end_without_block(relay, context);
    }
    list_remove(&relay->link);
    while (flush(&visit, &answer) && fill(&visit, &answer)) {
    }
    return answer;
}
