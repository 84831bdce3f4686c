/*
 * stream: bytes that both ends know. Each follows from a seed and its position,
 * so one that is lost, repeated, changed or out of order is noticed.
 *
 * stream_fill and stream_send: any thread. The others: main thread only, and
 * failures fail the test.
 */
#ifndef EVPROXY_TESTS_E2E_STREAM_H
#define EVPROXY_TESTS_E2E_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream_thread;

struct stream {
    int fd;
    uint64_t seed;
    size_t offset;      /* the position of the first byte; a multiple of 8 */
    size_t bytes;       /* how many; SIZE_MAX for a receiver: until the end */
    size_t chunk;       /* at most so many in one call; 0: 64 KB */
    size_t pause_every; /* bytes; 0: never */
    int pause_ms;
    bool fin;          /* a sender ends the stream, a receiver expects that */
    size_t moved;      /* result: bytes that came through */
    const char *error; /* result: NULL, or what went wrong */
    struct stream_thread *thread; /* while it has one */
};

/* All its bytes. */
void stream_fill(const struct stream *stream, void *buffer);

/* Sends it in this thread, and sets .moved and .error. */
void stream_send(struct stream *stream);

/* Receives it in this thread, and sets .moved. */
void stream_expect(struct stream *stream);

/* The same in a new thread, until stream_join, which sets .moved. */
void stream_start_send(struct stream *stream);
void stream_start_receive(struct stream *stream);
void stream_join(struct stream *stream);

/* After a failed test, when its sockets are shut down. */
void stream_join_all(void);

/* Sends and receives so many at once, each in a thread. */
void stream_pass_all(struct stream *out, struct stream *in, unsigned count);

/* Sends one in a thread, and receives the other here. */
void stream_pass(struct stream *out, struct stream *in);

/* count bytes and the FIN, in one segment if they fit; the other end must see
 * just that. */
void stream_carry(int from, int to, size_t count, uint64_t seed);

#endif
