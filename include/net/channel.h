/*
 * channel: messages with descriptors between two processes, through a pair of
 * unix sockets (SOCK_SEQPACKET, SCM_RIGHTS). It does not know what the bytes
 * mean.
 *
 * A descriptor that is sent stays the sender's too: both name the same open
 * file. One that is received is the receiver's, with FD_CLOEXEC.
 *
 * The kernel counts what is under way against RLIMIT_NOFILE of the user. So the
 * receiver answers each message, and the sender waits with a few under way.
 */
#ifndef EVPROXY_NET_CHANNEL_H
#define EVPROXY_NET_CHANNEL_H

#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

#define CHANNEL_BYTES_MAX 65536
/* SCM_MAX_FD is 253: two descriptors for each of 126 connections. */
#define CHANNEL_FDS_MAX 252

struct channel_message {
    size_t count; /* bytes */
    size_t fd_count;
    int fds[CHANNEL_FDS_MAX];
    unsigned char bytes[CHANNEL_BYTES_MAX];
};

/* Both ends, with FD_CLOEXEC. -1 with errno. */
int channel_open(int ends[2]) WARN_UNUSED;

/* Sends 1 to CHANNEL_BYTES_MAX bytes, without waiting. -1 with errno: EPIPE or
 * ECONNRESET if the other process is gone, EAGAIN or ETOOMANYREFS if it has not
 * read what was sent before. */
int channel_send(int fd, const struct channel_message *message) WARN_UNUSED;

/*
 * Receives one message, waiting at most timeout_ms for it. 1; 0: the other end
 * is closed; -1 with errno: EAGAIN after the timeout, EMFILE if this process
 * may not have so many descriptors. The caller takes the descriptors.
 */
int channel_receive(int fd, struct channel_message *message,
                    int timeout_ms) WARN_UNUSED;

/* Closes the descriptors that a message still has. */
void channel_close_fds(struct channel_message *message);

#endif
