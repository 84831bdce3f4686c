/*
 * stream_state: what the files of stream share: a connection's changes of
 * state, and what moves its bytes.
 *
 *      stream.c          sockets, who wakes whom, state, the end
 *      stream_segment.c  bytes under way from one end to the other
 *      stream_connect.c  listening and connecting
 *      stream_io.c       what poll, recv and send answer
 */
#ifndef EVPROXY_FAULT_STREAM_STATE_H
#define EVPROXY_FAULT_STREAM_STATE_H

#include "stream.h"

/* The first stream from place *at on; NULL: none. Sets *at to its place. */
struct stream *stream_next(unsigned *at);

/* Whether it is still the stream that an event was for. */
bool stream_still_there(const struct stream *stream, uint64_t number);

void stream_free(struct stream *stream);
/* Frees a socket that nobody holds, when its last byte is acknowledged. */
void stream_free_if_over(struct stream *stream);

/* Wakes it some time, once in as many times as the faults say. */
void stream_wake_spuriously(struct stream *stream);

/* tcp_done: both ends have sent their FIN. */
void stream_become_closed(struct stream *stream);
/* tcp_reset: the connection is broken by the other end. */
void stream_reset_arrives(struct stream *stream);

/* A segment leaves some time, if one is due. */
void stream_start_moving(struct stream *stream);

/* __sk_stream_is_writeable: a third of the queue is free. */
bool stream_writable(const struct stream *stream);

#endif
