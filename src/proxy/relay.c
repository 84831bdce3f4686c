#include "proxy/relay.h"

#include <sys/param.h>

/* How much one visit may still move; a visit may overdraw it by a block. */
struct visit {
    struct relay *relay;
    const struct relay_context *context;
    size_t moved;
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

static void return_block(struct relay *relay,
                         const struct relay_context *context)
{
    slab_return(context->blocks, ring_detach(&relay->ring));
}

static enum pump broke(struct relay *relay, const struct relay_context *context,
                       enum pump how)
{
    relay_drop(relay, context);
    relay->wait = RELAY_BROKEN;
    return how;
}

/*
 * Writes until the ring is empty and its block returned: true. Or false, and
 * *answer says why the pump stops.
 */
static bool flush(struct visit *visit, enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;
    size_t count;

    if (relay->ring.block == NULL) {
        return true;
    }
    while (!ring_empty(&relay->ring)) {
        struct span span = ring_bytes(&relay->ring);

        if (!(context->to->ready & SOCK_WRITABLE)) {
            *answer = wait_for(relay, RELAY_SINK);
            return false;
        }
        switch (sock_send(context->to, span.bytes, span.count, &count)) {
        case IO_OK:
            ring_consumed(&relay->ring, count);
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
    return_block(relay, context);
    return true;
}

/* Takes tokens of one bucket for up to *want bytes; false: wait until *until.
 */
static bool take_tokens(struct rate *rate, const struct rate_limit *limit,
                        uint64_t now_ns, uint64_t *want, uint64_t *until)
{
    uint64_t granted;
    uint64_t when_ns;

    if (limit->per_s == 0) {
        return true;
    }
    when_ns = rate_reserve(rate, limit, now_ns, *want, &granted);
    *want = granted;
    *until = MAX(*until, when_ns);
    return when_ns == 0;
}

static void refund(struct throttle *throttle, uint64_t tokens)
{
    if (throttle->own_limit->per_s != 0) {
        rate_refund(&throttle->own, throttle->own_limit, tokens);
    }
    if (throttle->shared_limit->per_s != 0) {
        rate_refund(throttle->shared, throttle->shared_limit, tokens);
    }
}

/*
 * How many of at most want bytes may be read now; 0: not before resume_ns, and
 * as many as will be allowed then are reserved already.
 */
static uint64_t allowed_bytes(struct throttle *throttle, uint64_t now_ns,
                              uint64_t want)
{
    uint64_t own = want;
    uint64_t both;
    uint64_t until = 0;
    bool now;

    if (throttle->reserved > 0) {
        if (now_ns < throttle->resume_ns) {
            return 0;
        }
        own = throttle->reserved;
        throttle->reserved = 0;
        return own;
    }
    now =
        take_tokens(&throttle->own, throttle->own_limit, now_ns, &own, &until);
    both = own;
    now &= take_tokens(throttle->shared, throttle->shared_limit, now_ns, &both,
                       &until);
    if (both < own && throttle->own_limit->per_s != 0) {
        rate_refund(&throttle->own, throttle->own_limit, own - both);
    }
    if (now) {
        return both;
    }
    throttle->reserved = (uint32_t)both;
    throttle->resume_ns = until;
    return 0;
}

/* A block for the ring; or NULL, and the relay stands in line for one. While
 * there is a line, its cache waits for a grant: nobody may overtake. */
static void *borrow_block(struct visit *visit)
{
    const struct relay_context *context = visit->context;
    void *block = NULL;

    if (list_empty(context->memory_queue)) {
        block = slab_borrow(context->blocks);
    }
    if (block == NULL) {
        wait_in(visit->relay, RELAY_MEMORY, context->memory_queue);
    }
    return block;
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
        relay->moved_ns = context->loop->now_ns;
        relay->wait = RELAY_ENDED;
        return PUMP_ENDED;
    default:
        return broke(relay, context, PUMP_NO_SOURCE);
    }
}

/* One read into the empty ring. True: go on and flush it. */
static bool read_block(struct visit *visit, uint64_t allowed, uint64_t *got,
                       enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;
    struct span space = ring_space(&relay->ring);
    size_t count = 0;
    enum io io = sock_recv(context->from, space.bytes,
                           MIN(space.count, allowed), &count);

    *got = count;
    if (io != IO_OK) {
        return_block(relay, context);
        *answer = no_byte(relay, context, io);
        return false;
    }
    ring_produced(&relay->ring, count);
    relay->moved_ns = context->loop->now_ns;
    relay->bytes += count;
    visit->moved += count;
    counter_add(context->service_bytes, count);
    counter_add(context->upstream_bytes, count);
    return true;
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

/* Reads once, if there is something, somebody to take it, and leave to. */
static bool fill(struct visit *visit, enum pump *answer)
{
    struct relay *relay = visit->relay;
    const struct relay_context *context = visit->context;
    uint64_t allowed = context->blocks->slab->block_bytes;
    uint64_t got;
    bool more;
    void *block;

    *answer = PUMP_WAITS;
    if (!(context->from->ready & SOCK_READABLE)) {
        wait_for(relay, RELAY_SOURCE);
        return false;
    }
    if (!(context->to->ready & SOCK_WRITABLE)) {
        wait_for(relay, RELAY_SINK);
        return false;
    }
    if (visit->moved >= RELAY_BUDGET_BYTES) {
        wait_in(relay, RELAY_TURN, &context->loop->runnable);
        return false;
    }
    if (context->throttle != NULL) {
        allowed =
            allowed_bytes(context->throttle, context->loop->now_ns, allowed);
        if (allowed == 0) {
            wait_for(relay, RELAY_TOKENS);
            return false;
        }
    }
    block = borrow_block(visit);
    if (block == NULL) {
        got = 0;
        more = false;
        *answer = end_without_block(relay, context);
    } else {
        ring_attach(&relay->ring, block, context->blocks->slab->block_bytes);
        more = read_block(visit, allowed, &got, answer);
    }
    if (context->throttle != NULL && got < allowed) {
        refund(context->throttle, allowed - got);
    }
    return more;
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

void relay_drop(struct relay *relay, const struct relay_context *context)
{
    struct throttle *throttle = context->throttle;

    list_remove(&relay->link);
    if (relay->ring.block != NULL) {
        while (!ring_empty(&relay->ring)) {
            ring_consumed(&relay->ring, ring_bytes(&relay->ring).count);
        }
        return_block(relay, context);
    }
    if (throttle != NULL && throttle->reserved > 0) {
        refund(throttle, throttle->reserved);
        throttle->reserved = 0;
    }
}
