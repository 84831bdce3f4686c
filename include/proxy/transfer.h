/*
 * transfer: a connection that was just accepted, on its way to a worker that
 * has far fewer (spread.h), before anything else is done with it. The process
 * counts it already; all else is the receiving worker's.
 *
 * It travels in the receiver's mailbox, in the epoch of the generation that the
 * sender has: only if the receiver has been sent that generation, and neither a
 * newer one nor its drain. As messages arrive in order, the generation is the
 * receiver's current one when the connection arrives. So the generation needs
 * no hold on the way, and no connection arrives in a drain.
 */
#ifndef EVPROXY_PROXY_TRANSFER_H
#define EVPROXY_PROXY_TRANSFER_H

#include "net/sock.h"
#include "proxy/plane.h"

#include <stdbool.h>

struct transfer {
    struct message message; /* PLANE_TRANSFER */
    const struct listen_socket *listen;
    struct sock sock;
    struct addr client;
};

/* Hands over a connection of the current generation, if another plane is to
 * have it. False: it stays. */
bool transfer_send(struct plane *plane, const struct listen_socket *listen,
                   const struct sock *sock,
                   const struct addr *client) WARN_UNUSED;

/* The message has come. When the connection has been dealt with,
 * transfer_done. */
struct transfer *transfer_of(struct message *message);
void transfer_done(struct plane *plane, struct transfer *transfer);

#endif
