/*
 * receive_buffer: bounds the kernel's receive buffer of a connection, and gives
 * it back to the kernel's autotuning. Belongs to the thread of the socket.
 *
 * SO_RCVBUF sets the size and locks it, and SO_BUF_LOCK takes the lock off
 * (Linux 5.14). To take it off is not enough: while a buffer is locked and its
 * source waits for it, each round trip brings what the buffer lets in, and the
 * kernel grows a buffer only for more than it has ever seen in a round trip
 * (tcp_rcv_space_adjust). So a buffer is made wider as it is released, which
 * net.core.rmem_max must allow: one that is too wide for that is never locked.
 *
 * Nothing happens to a unix socket, and before Linux 5.14. Errors are ignored.
 */
#ifndef EVPROXY_NET_RECEIVE_BUFFER_H
#define EVPROXY_NET_RECEIVE_BUFFER_H

#include "net/sock.h"

/* As SO_RCVBUF is told them: the kernel doubles each for what it needs itself.
 * A released one has at least the wide one, the default of net.core.rmem_max
 * before Linux 6.18. */
#define RECEIVE_BUFFER_SMALL (36 * 1024)
#define RECEIVE_BUFFER_WIDE  (208 * 1024)

/* From so long a round trip on, a source is far away. A small buffer still
 * takes 11 MB a second from a nearer one. */
#define RECEIVE_BUFFER_FAR_US 5000

enum receive_buffer {
    RECEIVE_BUFFER_SMALL_NOW,
    RECEIVE_BUFFER_HELD, /* at its size: bytes wait that a small one drops */
    RECEIVE_BUFFER_FREE, /* it cannot be locked */
    RECEIVE_BUFFER_FAR,  /* it is not touched: its source is far away */
};

/* Makes it small and keeps it so, unless the source is far away. Never before
 * the connection is begun, and never on a listener: its windows would be small
 * for ever. */
enum receive_buffer receive_buffer_shrink(const struct sock *source);

/* Keeps it at the size that it has: the kernel does not grow a buffer again
 * that was larger once. */
void receive_buffer_hold(const struct sock *source);

/* Makes it at least twice as wide, and lets the kernel grow it further. */
void receive_buffer_release(const struct sock *source);

#endif
