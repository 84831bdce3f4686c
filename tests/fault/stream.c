#include "stream_state.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define STREAMS_MAX 512
#define LIMIT_LEAST 512
/* A connection that comes between the last accept and the close is lost. That
 * cannot be avoided. */
#define CLOSING_NS 10000

static struct stream streams[STREAMS_MAX];
static unsigned stream_end; /* those from here on were never used */
static uint64_t stream_number;
static uint32_t limit_least = LIMIT_LEAST;
static uint32_t limit_most = QUEUE_BYTES_USUAL;

void stream_set_queues(uint32_t least, uint32_t most)
{
    assert(least > 0 && least <= most && most <= QUEUE_BYTES_MAX);
    limit_least = least;
    limit_most = most;
}

void stream_forget_all(void)
{
    for (unsigned i = 0; i < stream_end; i++) {
        streams[i].state = STREAM_FREE;
    }
    stream_end = 0;
    stream_number = 0;
}

/* All but the bytes. */
static void stream_clear(struct stream *stream)
{
    memset(stream, 0, offsetof(struct stream, in));
    stream->in.read = stream->in.written = 0;
    stream->out.read = stream->out.written = 0;
}

struct stream *stream_open(void)
{
    unsigned at = 0;
    struct stream *stream;

    while (at < stream_end && streams[at].state != STREAM_FREE) {
        at++;
    }
    assert(at < STREAMS_MAX);
    if (at == stream_end) {
        stream_end++;
    }
    stream = &streams[at];
    stream_clear(stream);
    stream->state = STREAM_FRESH;
    stream->number = ++stream_number;
    stream->in.limit =
        limit_least + (uint32_t)kernel_below(limit_most - limit_least + 1);
    stream->out.limit =
        limit_least + (uint32_t)kernel_below(limit_most - limit_least + 1);
    return stream;
}

struct stream *stream_next(unsigned *at)
{
    while (*at < stream_end && streams[*at].state == STREAM_FREE) {
        ++*at;
    }
    return *at < stream_end ? &streams[*at] : NULL;
}

void stream_free(struct stream *stream)
{
    if (stream->other != NULL) {
        stream->other->other = NULL;
    }
    stream->state = STREAM_FREE;
}

void stream_free_if_over(struct stream *stream)
{
    if (stream->orphan && (stream->state != STREAM_OPEN || stream->fin_sent)) {
        stream_free(stream);
    }
}

/* ---- waking ------------------------------------------------------------ */

void stream_wake(struct stream *stream, uint32_t key)
{
    if (stream->holders > 1) {
        file_wake_all(stream, key);
    } else if (stream->file != NULL) {
        file_wake(stream->file, key);
    } else if (stream->wake != NULL && !stream->orphan) {
        stream->wake(stream->wake_arg);
    }
}

bool stream_still_there(const struct stream *stream, uint64_t number)
{
    return stream->state != STREAM_FREE && stream->number == number;
}

static void wake_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;

    if (stream_still_there(stream, tag >> 32)) {
        stream_wake(stream, (uint32_t)tag);
    }
}

void stream_wake_later(struct stream *stream, uint32_t key)
{
    kernel_after(kernel_latency_ns(), wake_event, stream,
                 stream->number << 32 | key);
}

void stream_wake_spuriously(struct stream *stream)
{
    if (stream->file != NULL && kernel_chance(kernel_faults()->spurious)) {
        stream_wake_later(stream, 0);
    }
}

/* ---- state ------------------------------------------------------------- */

void stream_become_closed(struct stream *stream)
{
    stream->state = STREAM_CLOSED;
    stream->recv_shut = stream->send_shut = true;
    stream_wake(stream, 0);
    stream_free_if_over(stream);
}

/* tcp_reset: received bytes stay, bytes to be sent go. */
static void break_connection(struct stream *stream, int error)
{
    stream->error = error;
    stream->lost = stream_unacknowledged(stream);
    stream->out.read = stream->out.written;
    stream->state = STREAM_CLOSED;
    stream->recv_shut = stream->send_shut = true;
    kernel_trace("reset    arrives at stream %lu, %u bytes unread",
                 stream->number, byte_queue_used(&stream->in));
    if (stream->orphan) {
        stream_free(stream);
        return;
    }
    stream_wake(stream, 0);
    stream_wake(stream, EPOLLERR);
}

void stream_reset_arrives(struct stream *stream)
{
    if (stream->state == STREAM_CONNECTING) {
        break_connection(stream, ECONNREFUSED);
    } else if (stream->state == STREAM_OPEN) {
        bool close_wait = stream->fin_got && !stream->fin_wanted;

        break_connection(stream, close_wait ? EPIPE : ECONNRESET);
    }
}

static void reset_event(void *arg, uint64_t tag)
{
    if (stream_still_there(arg, tag)) {
        stream_reset_arrives(arg);
    }
}

static void send_reset(struct stream *stream)
{
    struct stream *other = stream->other;

    if (other != NULL) {
        kernel_after(kernel_latency_ns(), reset_event, other, other->number);
        other->other = NULL;
        stream->other = NULL;
    }
}

int stream_shutdown(struct stream *stream)
{
    if (stream->state != STREAM_OPEN) {
        errno = ENOTCONN;
        return -1;
    }
    if (!stream->fin_wanted) {
        stream->fin_wanted = stream->send_shut = true;
        stream_start_moving(stream);
    }
    stream_wake(stream, 0);
    return 0;
}

void stream_dissolve(struct stream *stream)
{
    if (stream->state == STREAM_OPEN) {
        kernel_trace("reset    from stream %lu, which is dissolved",
                     stream->number);
        send_reset(stream);
        stream->out.read = stream->out.written;
        stream->state = STREAM_CLOSED;
        stream->recv_shut = stream->send_shut = true;
        stream_wake(stream, 0);
    }
}

void stream_abort(struct stream *stream)
{
    stream->linger_reset = true;
    stream_close(stream);
}

static void close_listener(struct stream *stream)
{
    struct list *link;

    if (kernel_now_ns() > stream->empty_ns + CLOSING_NS) {
        kernel_record()->dropped += stream->queued;
    }
    while ((link = list_pop(&stream->accepts)) != NULL) {
        stream_abort(container_of(link, struct stream, accept_link));
    }
    stream_free(stream);
}

void stream_close(struct stream *stream)
{
    if (stream->state == STREAM_LISTENING) {
        close_listener(stream);
        return;
    }
    stream->orphan = true;
    stream->file = NULL;
    if (stream->state == STREAM_OPEN) {
        /* tcp_close: unread bytes turn the FIN into a reset. */
        if (stream->linger_reset || byte_queue_used(&stream->in) > 0) {
            kernel_trace("reset    from stream %lu, %u bytes not delivered",
                         stream->number, byte_queue_used(&stream->out));
            send_reset(stream);
            stream->state = STREAM_CLOSED;
        } else {
            stream->fin_wanted = stream->send_shut = true;
            stream_start_moving(stream);
        }
    }
    stream_free_if_over(stream);
}
