#include "stream_state.h"

#define SEGMENT_MOST 1460

static void move_event(void *arg, uint64_t tag);

void stream_start_moving(struct stream *stream)
{
    bool due = byte_queue_used(&stream->out) > 0 ||
               (stream->fin_wanted && !stream->fin_sent);

    if (due && !stream->moving && stream->state == STREAM_OPEN) {
        stream->moving = true;
        kernel_after(kernel_latency_ns(), move_event, stream, stream->number);
    }
}

bool stream_writable(const struct stream *stream)
{
    return byte_queue_space(&stream->out) > 0 &&
           byte_queue_space(&stream->out) >= byte_queue_used(&stream->out) / 2;
}

/* tcp_check_space */
static void tell_space(struct stream *stream)
{
    if (stream->no_space && stream_writable(stream)) {
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
    unsigned char bytes[QUEUE_BYTES_MAX];

    byte_queue_copy(&stream->out, bytes, count);
    stream->out.read += count;
    if (stream->urgent_sent && stream->urgent_sent_at < stream->out.read) {
        forget_old_mark(other);
        stream->urgent_sent = false;
        other->urgent = true;
        other->urgent_at = stream->urgent_sent_at;
    }
    byte_queue_write(&other->in, bytes, count);
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
            stream_become_closed(other);
        } else {
            stream_wake(other, 0);
        }
    }
    if (stream->fin_got) {
        stream_become_closed(stream);
        return;
    }
    stream_wake(stream, 0);
    stream_free_if_over(stream);
}

/* One segment, of at most that many bytes and perhaps with a FIN. */
static void move_segment(struct stream *stream, size_t most)
{
    struct stream *other = stream->other;
    size_t count = MIN(byte_queue_used(&stream->out), most);

    if (count > 0 && (other == NULL || other->orphan)) {
        if (other != NULL) {
            stream_free(other);
        }
        stream_reset_arrives(stream);
        return;
    }
    if (count > 0) {
        count = MIN(count, byte_queue_space(&other->in));
    }
    if (count > 0) {
        deliver_bytes(stream, other, count);
        tell_space(stream);
        stream_wake(other, EPOLLIN | EPOLLPRI);
        stream_wake_spuriously(other);
        stream_wake_spuriously(stream);
    }
    /* With the last bytes, or in a segment of its own. */
    if (stream->fin_wanted && !stream->fin_sent &&
        byte_queue_used(&stream->out) == 0 &&
        (count == 0 || kernel_chance(2))) {
        deliver_fin(stream);
    }
}

static bool window_open(const struct stream *stream)
{
    return byte_queue_used(&stream->out) == 0 || stream->other == NULL ||
           stream->other->orphan || byte_queue_space(&stream->other->in) > 0;
}

static void move_event(void *arg, uint64_t tag)
{
    struct stream *stream = arg;

    if (!stream_still_there(stream, tag)) {
        return;
    }
    stream->moving = false;
    if (stream->state == STREAM_OPEN) {
        move_segment(stream, 1 + kernel_below(3 * SEGMENT_MOST));
    }
    /* The reader opens a closed window. */
    if (stream_still_there(stream, tag) && window_open(stream)) {
        stream_start_moving(stream);
    }
}

void stream_hurry(struct stream *stream)
{
    if (stream->state == STREAM_OPEN) {
        move_segment(stream, QUEUE_BYTES_MAX);
    }
}
