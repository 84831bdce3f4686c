#include "stream_state.h"

#include <errno.h>

#define RETRANSMIT_NS (200 * NS_PER_MS)

static struct world world;
static uint32_t accept_least;

void stream_set_world(const struct world *now)
{
    world = *now;
}

void stream_set_accept_queue(uint32_t least)
{
    accept_least = least;
}

/* One of the sockets that listen there: SO_REUSEPORT spreads connections. */
static struct stream *find_listener(const struct endpoint *endpoint)
{
    struct stream *found = NULL;
    struct stream *stream;
    unsigned count = 0;

    for (unsigned at = 0; (stream = stream_next(&at)) != NULL; at++) {
        if (stream->state == STREAM_LISTENING &&
            endpoint_equal(&stream->local, endpoint) &&
            kernel_below(++count) == 0) {
            found = stream;
        }
    }
    return found;
}

int stream_listen(struct stream *stream, int backlog)
{
    if (stream->state != STREAM_FRESH && stream->state != STREAM_LISTENING) {
        errno = EINVAL;
        return -1;
    }
    stream->state = STREAM_LISTENING;
    stream->backlog = (uint32_t)backlog;
    return 0;
}

/* The two ends, established. */
static struct stream *make_other_end(struct stream *stream)
{
    struct stream *other = stream_open();

    other->state = stream->state = STREAM_OPEN;
    other->other = stream;
    stream->other = other;
    other->local = stream->remote;
    other->remote = stream->local;
    return other;
}

static void enter_queue(struct stream *listener, struct stream *stream)
{
    struct stream *other = make_other_end(stream);

    other->urgent_inline = listener->urgent_inline;
    other->in.limit = MAX(other->in.limit, accept_least);
    list_append(&listener->accepts, &other->accept_link);
    listener->queued++;
    stream_wake(stream, EPOLLOUT);
    stream_wake(listener, EPOLLIN);
    stream_wake_spuriously(listener);
}

static void handshake_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;
    struct stream *listener;

    if (!stream_still_there(stream, tag) ||
        stream->state != STREAM_CONNECTING) {
        return;
    }
    listener = find_listener(&stream->remote);
    if (listener == NULL) {
        stream_reset_arrives(stream);
    } else if (listener->queued > listener->backlog) {
        kernel_after(RETRANSMIT_NS, handshake_event, stream, tag);
    } else {
        enter_queue(listener, stream);
    }
}

static void route_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;
    struct stream *other;

    if (!stream_still_there(stream, tag) ||
        stream->state != STREAM_CONNECTING) {
        return;
    }
    switch (world.route(world.arg, &stream->remote)) {
    case VERDICT_ACCEPT:
        other = make_other_end(stream);
        /* What the other end does at once comes with the handshake. */
        world.accepted(world.arg, other);
        stream_wake(stream, EPOLLOUT);
        break;
    case VERDICT_REFUSE:
        stream_reset_arrives(stream);
        break;
    case VERDICT_SILENCE:
        break;
    }
}

int stream_connect(struct stream *stream, const struct endpoint *to)
{
    bool listened = find_listener(to) != NULL;

    if (stream->state != STREAM_FRESH) {
        errno = stream->state == STREAM_CONNECTING ? EALREADY : EISCONN;
        return -1;
    }
    stream->state = STREAM_CONNECTING;
    stream->remote = *to;
    kernel_after(kernel_latency_ns(),
                 listened || world.route == NULL ? handshake_event
                                                 : route_event,
                 stream, stream->number);
    errno = EINPROGRESS;
    return -1;
}

struct stream *stream_accept(struct stream *listener)
{
    struct list *link;

    if (listener->state != STREAM_LISTENING) {
        errno = EINVAL;
        return NULL;
    }
    link = list_pop(&listener->accepts);
    if (link == NULL) {
        errno = EAGAIN;
        return NULL;
    }
    listener->queued--;
    return container_of(link, struct stream, accept_link);
}
