#include "stream_state.h"

#include <errno.h>

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
    if (byte_queue_used(&stream->in) >
        (stream->urgent && !stream->urgent_inline &&
         stream->urgent_at == stream->in.read)) {
        mask |= EPOLLIN;
    }
    if (stream->send_shut || stream_writable(stream)) {
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

/* How many of size bytes a read gives: none behind the urgent mark. */
static size_t up_to_mark(struct stream *stream, size_t size)
{
    size_t count = MIN(size, byte_queue_used(&stream->in));

    if (!stream->urgent || stream->urgent_at >= stream->in.read + count) {
        return count;
    }
    if (stream->urgent_at > stream->in.read) {
        return stream->urgent_at - stream->in.read;
    }
    if (!stream->urgent_inline) {
        stream->in.read++;
        stream->urgent = false;
        return MIN(size, byte_queue_used(&stream->in));
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
        stream_start_moving(stream->other);
    }
}

ssize_t stream_recv(struct stream *stream, void *buffer, size_t size, int flags,
                    size_t most)
{
    size_t count = up_to_mark(stream, size);

    count = MIN(count, most);
    if (count == 0) {
        return recv_nothing(stream);
    }
    byte_queue_copy(&stream->in, buffer, count);
    if (flags & MSG_PEEK) {
        stream->peeked = stream->in.read + count;
    } else {
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
    size_t count = MIN(size, most);

    if (stream->state == STREAM_CONNECTING) {
        return fail(EAGAIN);
    }
    if (stream->state == STREAM_FRESH || stream->send_shut) {
        int error = stream_take_error(stream);

        return fail(error != 0 ? error : EPIPE);
    }
    count = MIN(count, byte_queue_space(&stream->out));
    if (count < size) {
        stream->no_space = true;
    }
    if (count == 0) {
        return fail(EAGAIN);
    }
    byte_queue_write(&stream->out, bytes, count);
    if (flags & MSG_OOB) {
        stream->urgent_sent = true;
        stream->urgent_sent_at = stream->out.written - 1;
    }
    stream_start_moving(stream);
    return (ssize_t)count;
}

uint32_t stream_unread(const struct stream *stream)
{
    if (stream->urgent && !stream->urgent_inline) {
        return (uint32_t)(stream->urgent_at - stream->in.read);
    }
    return byte_queue_used(&stream->in);
}

uint32_t stream_unacknowledged(const struct stream *stream)
{
    /* A reset purges the queue, but snd_una stays where it was. */
    if (stream->state == STREAM_CLOSED) {
        return stream->lost;
    }
    return byte_queue_used(&stream->out) +
           (stream->fin_wanted && !stream->fin_sent);
}
