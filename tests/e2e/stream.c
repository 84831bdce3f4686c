#include "stream.h"

#include "../unit/seeded.h"
#include "socket.h"
#include "test.h"
#include "transport.h"
#include "wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 65536

/* ---- the bytes ---- */

static uint64_t word_at(uint64_t seed, size_t position)
{
    struct seeded seeded = seeded_start(seed + position / 8);

    return seeded_next(&seeded);
}

static void fill(unsigned char *buffer, size_t count, uint64_t seed,
                 size_t position)
{
    uint64_t word = word_at(seed, position);

    for (size_t i = 0; i < count; i++, position++) {
        if (position % 8 == 0) {
            word = word_at(seed, position);
        }
        buffer[i] = (unsigned char)(word >> (position % 8 * 8));
    }
}

void stream_fill(const struct stream *stream, void *buffer)
{
    fill(buffer, stream->bytes, stream->seed, stream->offset);
}

/* ---- in the caller's thread ---- */

/* How much to move next: no further than to the next pause. */
static size_t next_step(const struct stream *stream)
{
    size_t step = stream->chunk > 0 && stream->chunk < CHUNK_BYTES
                      ? stream->chunk
                      : CHUNK_BYTES;
    size_t left = stream->bytes - stream->moved;

    if (stream->pause_every > 0) {
        size_t pause =
            stream->pause_every - stream->moved % stream->pause_every;

        step = pause < step ? pause : step;
    }
    return left < step ? left : step;
}

static void add_moved(struct stream *stream, size_t count)
{
    stream->moved += count;
    if (stream->pause_every > 0 && stream->moved % stream->pause_every == 0) {
        wait_sleep(stream->pause_ms);
    }
}

void stream_send(struct stream *stream)
{
    unsigned char buffer[CHUNK_BYTES];

    stream->moved = 0;
    stream->error = NULL;
    while (stream->moved < stream->bytes) {
        size_t step = next_step(stream);

        fill(buffer, step, stream->seed, stream->offset + stream->moved);
        if (transport_send_all(stream->fd, buffer, step) != 0) {
            stream->error = strerrordesc_np(errno);
            return;
        }
        add_moved(stream, step);
    }
    if (stream->fin && transport_finish(stream->fd) != 0) {
        stream->error = strerrordesc_np(errno);
    }
}

/* NULL if the stream ends here, and cleanly. */
static const char *end_error(int fd)
{
    char byte;
    ssize_t count = transport_recv_wait(fd, &byte, 1);

    if (count > 0) {
        return "more bytes than were sent";
    }
    return count == 0 ? NULL : strerrordesc_np(errno);
}

static const char *early_end_error(const struct stream *stream, ssize_t count)
{
    if (count < 0) {
        return strerrordesc_np(errno);
    }
    return stream->bytes == SIZE_MAX ? NULL : "an early end of the stream";
}

static void receive(struct stream *stream)
{
    unsigned char got[CHUNK_BYTES];
    unsigned char want[CHUNK_BYTES];

    stream->moved = 0;
    stream->error = NULL;
    while (stream->moved < stream->bytes) {
        ssize_t count = transport_recv_wait(stream->fd, got, next_step(stream));

        if (count <= 0) {
            stream->error = early_end_error(stream, count);
            return;
        }
        fill(want, (size_t)count, stream->seed, stream->offset + stream->moved);
        if (memcmp(got, want, (size_t)count) != 0) {
            stream->error = "other bytes than were sent";
            return;
        }
        add_moved(stream, (size_t)count);
    }
    if (stream->fin) {
        stream->error = end_error(stream->fd);
    }
}

/* ---- in a thread ---- */

/* It works on a copy: a failing test leaves its stack at once. */
struct stream_thread {
    struct stream stream;
    void (*run)(struct stream *stream);
    pthread_t thread;
    struct stream_thread *next;
};

static struct stream_thread *threads; /* main thread only */

static void *thread_main(void *arg)
{
    struct stream_thread *thread = arg;

    thread->run(&thread->stream);
    return NULL;
}

static void start(struct stream *stream, void (*run)(struct stream *))
{
    struct stream_thread *thread = calloc(1, sizeof(*thread));
    int error;

    assert_non_null(thread);
    thread->stream = *stream;
    thread->run = run;
    error = pthread_create(&thread->thread, NULL, thread_main, thread);
    assert_int_equal(error, 0);
    thread->next = threads;
    threads = thread;
    stream->thread = thread;
}

void stream_start_send(struct stream *stream)
{
    start(stream, stream_send);
}

void stream_start_receive(struct stream *stream)
{
    start(stream, receive);
}

/* Waits for its end, and takes it off the list. The caller frees it. */
static void join(struct stream_thread *thread)
{
    struct stream_thread **link = &threads;

    pthread_join(thread->thread, NULL);
    while (*link != thread) {
        link = &(*link)->next;
    }
    *link = thread->next;
}

static void check(const struct stream *stream, const char *who)
{
    if (stream->error != NULL) {
        fail_msg("%s at byte %zu: %s", who, stream->moved, stream->error);
    }
}

void stream_join(struct stream *stream)
{
    struct stream_thread *thread = stream->thread;
    bool sends = thread->run == stream_send;

    join(thread);
    *stream = thread->stream;
    stream->thread = NULL;
    free(thread);
    check(stream, sends ? "sender" : "receiver");
}

void stream_join_all(void)
{
    while (threads != NULL) {
        struct stream_thread *thread = threads;

        join(thread);
        free(thread);
    }
}

void stream_expect(struct stream *stream)
{
    receive(stream);
    check(stream, "receiver");
}

void stream_pass_all(struct stream *out, struct stream *in, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        stream_start_send(&out[i]);
        stream_start_receive(&in[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        stream_join(&out[i]);
        stream_join(&in[i]);
    }
}

void stream_pass(struct stream *out, struct stream *in)
{
    stream_start_send(out);
    stream_expect(in);
    stream_join(out);
}

void stream_carry(int from, int to, size_t count, uint64_t seed)
{
    struct stream stream = {
        .fd = to, .seed = seed, .bytes = count, .fin = true};
    char *bytes = malloc(count);

    assert_non_null(bytes);
    stream_fill(&stream, bytes);
    socket_send_last(from, bytes, count);
    free(bytes);
    stream_expect(&stream);
}
