#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define STREAMS_MAX   256
#define QUEUE_MASK    (STREAM_QUEUE_MAX - 1)
#define SEGMENT_MOST  1460
#define RETRANSMIT_NS (200 * NS_PER_MS)
/* Between the last accept and the close somebody may come: no help for it. */
#define CLOSING_NS  10000
#define QUEUE_LEAST 512

static struct stream streams[STREAMS_MAX];
static unsigned stream_end; /* those from here on were never used */
static uint64_t stream_number;
static struct world world;
static uint32_t queue_least = QUEUE_LEAST;
static uint32_t queue_most = STREAM_QUEUE_MAX;

void stream_set_world(const struct world *now)
{
    world = *now;
}

void stream_set_queues(uint32_t least, uint32_t most)
{
    assert(least > 0 && least <= most && most <= STREAM_QUEUE_MAX);
    queue_least = least;
    queue_most = most;
}

void stream_forget_all(void)
{
    for (unsigned i = 0; i < stream_end; i++) {
        streams[i].state = STREAM_FREE;
    }
    stream_end = 0;
    stream_number = 0;
}

/* Everything but the bytes, which are many. */
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
        queue_least + (uint32_t)kernel_below(queue_most - queue_least + 1);
    stream->out.limit =
        queue_least + (uint32_t)kernel_below(queue_most - queue_least + 1);
    return stream;
}

static void stream_free(struct stream *stream)
{
    if (stream->other != NULL) {
        stream->other->other = NULL;
    }
    stream->state = STREAM_FREE;
}

/* A socket that nobody holds lives until its last byte is acknowledged. */
static void free_if_over(struct stream *stream)
{
    if (stream->orphan && (stream->state != STREAM_OPEN || stream->fin_sent)) {
        stream_free(stream);
    }
}

/* ---- queues ------------------------------------------------------------ */

static uint32_t queue_used(const struct queue *queue)
{
    return (uint32_t)(queue->written - queue->read);
}

static uint32_t queue_space(const struct queue *queue)
{
    return queue->limit - queue_used(queue);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void queue_write(struct queue *queue, const unsigned char *bytes,
                        size_t count)
{
    size_t at = queue->written & QUEUE_MASK;
    size_t first = least(count, STREAM_QUEUE_MAX - at);

    memcpy(queue->bytes + at, bytes, first);
    memcpy(queue->bytes, bytes + first, count - first);
    queue->written += count;
}

/* Does not take them. */
static void queue_copy(const struct queue *queue, unsigned char *bytes,
                       size_t count)
{
    size_t at = queue->read & QUEUE_MASK;
    size_t first = least(count, STREAM_QUEUE_MAX - at);

    memcpy(bytes, queue->bytes + at, first);
    memcpy(bytes + first, queue->bytes, count - first);
}

/* ---- waking ------------------------------------------------------------ */

void stream_wake(struct stream *stream, uint32_t key)
{
    if (stream->file != NULL) {
        file_wake(stream->file, key);
    } else if (stream->wake != NULL && !stream->orphan) {
        stream->wake(stream->wake_arg);
    }
}

/* An event for a stream that may be gone by then. */
static bool still_there(const struct stream *stream, uint64_t number)
{
    return stream->state != STREAM_FREE && stream->number == number;
}

static void wake_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;

    if (still_there(stream, tag >> 32)) {
        stream_wake(stream, (uint32_t)tag);
    }
}

void stream_wake_later(struct stream *stream, uint32_t key)
{
    kernel_after(kernel_latency_ns(), wake_event, stream,
                 stream->number << 32 | key);
}

static void wake_for_nothing(struct stream *stream)
{
    if (stream->file != NULL && kernel_chance(kernel_faults()->spurious)) {
        stream_wake_later(stream, 0);
    }
}

/* ---- state ------------------------------------------------------------- */

/* tcp_done */
static void become_closed(struct stream *stream)
{
    stream->state = STREAM_CLOSED;
    stream->recv_shut = stream->send_shut = true;
    stream_wake(stream, 0);
    free_if_over(stream);
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
                 stream->number, queue_used(&stream->in));
    if (stream->orphan) {
        stream_free(stream);
        return;
    }
    stream_wake(stream, 0);
    stream_wake(stream, EPOLLERR);
}

static void reset_arrives(struct stream *stream)
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
    if (still_there(arg, tag)) {
        reset_arrives(arg);
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

/* ---- bytes under way --------------------------------------------------- */

static void move_event(void *arg, uint64_t tag);

/* Sees to it that what waits to be sent is sent some time. */
static void start_moving(struct stream *stream)
{
    bool due = queue_used(&stream->out) > 0 ||
               (stream->fin_wanted && !stream->fin_sent);

    if (due && !stream->moving && stream->state == STREAM_OPEN) {
        stream->moving = true;
        kernel_after(kernel_latency_ns(), move_event, stream, stream->number);
    }
}

/* __sk_stream_is_writeable: a third of the queue is free. */
static bool writable(const struct stream *stream)
{
    return queue_space(&stream->out) > 0 &&
           queue_space(&stream->out) >= queue_used(&stream->out) / 2;
}

/* tcp_check_space */
static void tell_space(struct stream *stream)
{
    if (stream->no_space && writable(stream)) {
        stream->no_space = false;
        stream_wake(stream, EPOLLOUT);
    }
}

/* tcp_check_urg, when a new mark comes: an urgent byte that was next to be read
 * and is not to be read in line is taken away. */
static void forget_old_mark(struct stream *stream)
{
    if (stream->urgent && !stream->urgent_inline &&
        stream->urgent_at == stream->in.read) {
        stream->in.read++;
    }
}

static void deliver_bytes(struct stream *stream, struct stream *other,
                          size_t count)
{
    unsigned char bytes[STREAM_QUEUE_MAX];

    queue_copy(&stream->out, bytes, count);
    stream->out.read += count;
    if (stream->urgent_sent && stream->urgent_sent_at < stream->out.read) {
        forget_old_mark(other);
        stream->urgent_sent = false;
        other->urgent = true;
        other->urgent_at = stream->urgent_sent_at;
    }
    queue_write(&other->in, bytes, count);
    kernel_trace("segment  %zu bytes to stream %lu", count, other->number);
}

/* tcp_fin, and the acknowledgement of it. */
static void deliver_fin(struct stream *stream)
{
    struct stream *other = stream->other;

    stream->fin_sent = true;
    if (other != NULL && other->state == STREAM_OPEN) {
        kernel_trace("segment  FIN to stream %lu", other->number);
        other->fin_got = other->recv_shut = true;
        if (other->fin_sent) {
            become_closed(other);
        } else {
            stream_wake(other, 0);
        }
    }
    if (stream->fin_got) {
        become_closed(stream);
        return;
    }
    stream_wake(stream, 0);
    free_if_over(stream);
}

/* One segment, of at most that many bytes and perhaps with a FIN. */
static void move_segment(struct stream *stream, size_t most)
{
    struct stream *other = stream->other;
    size_t count = least(queue_used(&stream->out), most);

    if (count > 0 && (other == NULL || other->orphan)) {
        if (other != NULL) {
            stream_free(other);
        }
        reset_arrives(stream);
        return;
    }
    if (count > 0) {
        count = least(count, queue_space(&other->in));
    }
    if (count > 0) {
        deliver_bytes(stream, other, count);
        tell_space(stream);
        stream_wake(other, EPOLLIN | EPOLLPRI);
        wake_for_nothing(other);
        wake_for_nothing(stream);
    }
    /* With the last bytes, or in a segment of its own. */
    if (stream->fin_wanted && !stream->fin_sent &&
        queue_used(&stream->out) == 0 && (count == 0 || kernel_chance(2))) {
        deliver_fin(stream);
    }
}

static bool window_open(const struct stream *stream)
{
    return queue_used(&stream->out) == 0 || stream->other == NULL ||
           stream->other->orphan || queue_space(&stream->other->in) > 0;
}

static void move_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;

    if (!still_there(stream, tag)) {
        return;
    }
    stream->moving = false;
    if (stream->state == STREAM_OPEN) {
        move_segment(stream, 1 + kernel_below(3 * SEGMENT_MOST));
    }
    /* A closed window is opened by the reader. */
    if (still_there(stream, tag) && window_open(stream)) {
        start_moving(stream);
    }
}

void stream_hurry(struct stream *stream)
{
    if (stream->state == STREAM_OPEN) {
        move_segment(stream, STREAM_QUEUE_MAX);
    }
}

/* ---- connecting -------------------------------------------------------- */

/* One of those that listen there: SO_REUSEPORT spreads connections. */
static struct stream *find_listener(const struct endpoint *endpoint)
{
    struct stream *found = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < stream_end; i++) {
        if (streams[i].state == STREAM_LISTENING &&
            endpoint_equal(&streams[i].local, endpoint) &&
            kernel_below(++count) == 0) {
            found = &streams[i];
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
    list_append(&listener->accepts, &other->accept_link);
    listener->queued++;
    stream_wake(stream, EPOLLOUT);
    stream_wake(listener, EPOLLIN);
    wake_for_nothing(listener);
}

static void handshake_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;
    struct stream *listener;

    if (!still_there(stream, tag) || stream->state != STREAM_CONNECTING) {
        return;
    }
    listener = find_listener(&stream->remote);
    if (listener == NULL) {
        reset_arrives(stream);
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

    if (!still_there(stream, tag) || stream->state != STREAM_CONNECTING) {
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
        reset_arrives(stream);
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

/* ---- the calls --------------------------------------------------------- */

/* tcp_poll */
uint32_t stream_poll(struct stream *stream)
{
    uint32_t mask = stream->error != 0 ? EPOLLERR : 0;

    if (stream->state == STREAM_LISTENING) {
        return list_empty(&stream->accepts) ? 0 : EPOLLIN;
    }
    if (stream->state == STREAM_FRESH) {
        return EPOLLOUT | EPOLLHUP;
    }
    if (stream->recv_shut) {
        mask |= EPOLLIN | EPOLLRDHUP | (stream->send_shut ? EPOLLHUP : 0u);
    }
    if (stream->state == STREAM_CONNECTING) {
        return mask;
    }
    if (queue_used(&stream->in) > (stream->urgent && !stream->urgent_inline &&
                                   stream->urgent_at == stream->in.read)) {
        mask |= EPOLLIN;
    }
    if (stream->send_shut || writable(stream)) {
        mask |= EPOLLOUT;
    } else {
        stream->no_space = true;
    }
    return mask | (stream->urgent ? (uint32_t)EPOLLPRI : 0);
}

int stream_take_error(struct stream *stream)
{
    int error = stream->error;

    stream->error = 0;
    return error;
}

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* What recv answers when there is no byte. */
static ssize_t recv_nothing(struct stream *stream)
{
    if (stream->state == STREAM_FRESH || stream->state == STREAM_LISTENING) {
        return fail(ENOTCONN);
    }
    if (stream->fin_got) {
        return 0;
    }
    if (stream->error != 0) {
        return fail(stream_take_error(stream));
    }
    return stream->recv_shut ? 0 : fail(EAGAIN);
}

/* How many of size bytes a read gives in front of the urgent mark. */
static size_t up_to_mark(struct stream *stream, size_t size)
{
    size_t count = least(size, queue_used(&stream->in));

    if (!stream->urgent || stream->urgent_at >= stream->in.read + count) {
        return count;
    }
    if (stream->urgent_at > stream->in.read) {
        return stream->urgent_at - stream->in.read;
    }
    if (!stream->urgent_inline) {
        stream->in.read++;
        stream->urgent = false;
        return least(size, queue_used(&stream->in));
    }
    return count;
}

static void bytes_read(struct stream *stream, size_t count)
{
    stream->in.read += count;
    if (stream->urgent && stream->in.read > stream->urgent_at) {
        stream->urgent = false;
    }
    if (stream->other != NULL) {
        start_moving(stream->other);
    }
}

ssize_t stream_recv(struct stream *stream, void *buffer, size_t size, int flags,
                    size_t most)
{
    size_t count = least(up_to_mark(stream, size), most);

    if (count == 0) {
        return recv_nothing(stream);
    }
    queue_copy(&stream->in, buffer, count);
    if (!(flags & MSG_PEEK)) {
        bytes_read(stream, count);
    }
    return (ssize_t)count;
}

/* tcp_splice_read: at the mark it answers as if there were no byte. */
ssize_t stream_recv_before_mark(struct stream *stream, void *buffer,
                                size_t size, size_t most)
{
    if (stream->urgent && stream->urgent_at == stream->in.read) {
        return recv_nothing(stream);
    }
    return stream_recv(stream, buffer, size, 0, most);
}

ssize_t stream_send(struct stream *stream, const void *bytes, size_t size,
                    int flags, size_t most)
{
    size_t count = least(least(size, most), queue_space(&stream->out));

    if (stream->state == STREAM_CONNECTING) {
        return fail(EAGAIN);
    }
    if (stream->state == STREAM_FRESH || stream->send_shut) {
        int error = stream_take_error(stream);

        return fail(error != 0 ? error : EPIPE);
    }
    if (count < size) {
        stream->no_space = true;
    }
    if (count == 0) {
        return fail(EAGAIN);
    }
    queue_write(&stream->out, bytes, count);
    if (flags & MSG_OOB) {
        stream->urgent_sent = true;
        stream->urgent_sent_at = stream->out.written - 1;
    }
    start_moving(stream);
    return (ssize_t)count;
}

int stream_shutdown(struct stream *stream)
{
    if (stream->state != STREAM_OPEN) {
        errno = ENOTCONN;
        return -1;
    }
    if (!stream->fin_wanted) {
        stream->fin_wanted = stream->send_shut = true;
        start_moving(stream);
    }
    stream_wake(stream, 0);
    return 0;
}

uint32_t stream_unread(const struct stream *stream)
{
    if (stream->urgent && !stream->urgent_inline) {
        return (uint32_t)(stream->urgent_at - stream->in.read);
    }
    return queue_used(&stream->in);
}

uint32_t stream_unacknowledged(const struct stream *stream)
{
    /* A reset purges the queue, but snd_una stays where it was. */
    if (stream->state == STREAM_CLOSED) {
        return stream->lost;
    }
    return queue_used(&stream->out) + (stream->fin_wanted && !stream->fin_sent);
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
        if (stream->linger_reset || queue_used(&stream->in) > 0) {
            kernel_trace("reset    from stream %lu, %u bytes not delivered",
                         stream->number, queue_used(&stream->out));
            send_reset(stream);
            stream->state = STREAM_CLOSED;
        } else {
            stream->fin_wanted = stream->send_shut = true;
            start_moving(stream);
        }
    }
    free_if_over(stream);
}
