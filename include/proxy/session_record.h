/*
 * session_record: an established session as a record (base/record.h), to go
 * from one process to another. Pure.
 *
 * The bytes that a relay holds do not fit into a record of a bounded size. They
 * travel before it, and the record has their number. The descriptors travel
 * beside it, in this order: client, upstream, and the ends of each pipe that
 * has bytes, the reading one first.
 */
#ifndef EVPROXY_PROXY_SESSION_RECORD_H
#define EVPROXY_PROXY_SESSION_RECORD_H

#include "base/record.h"
#include "proxy/session_image.h"

#define SESSION_RECORD_FDS_MAX   6
#define SESSION_RECORD_BYTES_MAX 656
#define SESSION_RECORD_NO_PLACE  UINT64_MAX

/* Services and upstreams have numbers that both processes know. */
struct session_record {
    struct session_image image; /* without service, upstream and blocks */
    uint64_t service;
    uint64_t upstream;
    uint64_t place;    /* in which the descriptors of its sockets are already;
                          SESSION_RECORD_NO_PLACE: they travel with it */
    uint32_t fd_count; /* that travel with it */
};

/* Writes a record with that tag. Sets the descriptors that travel with it, and
 * answers their number. */
unsigned session_record_write(struct record_writer *writer, unsigned tag,
                              const struct session_record *session,
                              int fds[SESSION_RECORD_FDS_MAX]);

/* Reads one. False: it is malformed, or has a critical part that is not known.
 * The descriptors are numbered from 0, as they are to travel. */
bool session_record_read(const struct record *record,
                         struct session_record *session) WARN_UNUSED;

/* Sets the descriptors, which are session->fd_count. */
void session_record_set_fds(struct session_record *session, const int *fds);

#endif
