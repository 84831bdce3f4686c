/*
 * tube: simulated pipes, as splice fills and drains them.
 *
 * splice takes bytes from a stream up to the urgent mark and never past it, in
 * line or not, and may take fewer than there are and fit: a pipe counts pages,
 * not bytes.
 */
#ifndef EVPROXY_FAULT_TUBE_H
#define EVPROXY_FAULT_TUBE_H

#include "stream.h"

struct tube;

void tube_forget_all(void);
/* Both ends, as of pipe2. */
int tube_open(int fds[2]);
/* There is another descriptor of an end. */
void tube_share(struct tube *tube);
/* One end was closed. */
void tube_close(struct tube *tube);

/* splice, from the stream and to it. */
ssize_t tube_fill(struct tube *tube, struct stream *stream, size_t size);
ssize_t tube_drain(struct tube *tube, struct stream *stream, size_t size);

#endif
