/*
 * udp_relay: moves the datagrams of one session in both directions and says how
 * far it got. Ends no session. The plane's thread.
 *
 * Replies of many sessions gather in the batch down and leave together.
 */
#ifndef EVPROXY_PROXY_UDP_RELAY_H
#define EVPROXY_PROXY_UDP_RELAY_H

#include "proxy/udp.h"

#include <stdbool.h>

enum udp_relay {
    UDP_RELAY_EMPTY,    /* nothing more now: an event will tell */
    UDP_RELAY_MORE,     /* it had its turn and has more */
    UDP_RELAY_FINISHED, /* the last reply that is due is in the batch down */
    UDP_RELAY_GONE,     /* the network says that no socket receives there */
};

/* Counts datagrams that are not passed on. */
void udp_relay_drop(struct plane *plane, const struct service *service,
                    enum drop drop, unsigned count);

/* A datagram, or a GRO batch, has come. False: it is over a rate, and counted
 * as dropped; of a batch the segments over the rate are removed. */
bool udp_relay_admit(struct plane *plane, struct udp_session *session,
                     enum direction direction,
                     struct datagram *datagram) WARN_UNUSED;

/* Sends to the upstream. UDP_RELAY_EMPTY or UDP_RELAY_GONE. */
enum udp_relay udp_relay_send(struct plane *plane, struct udp_session *session,
                              struct datagram *const *list,
                              unsigned count) WARN_UNUSED;

/* Takes what the upstream has sent, as much as is one session's turn. */
enum udp_relay udp_relay_receive(struct plane *plane,
                                 struct udp_session *session) WARN_UNUSED;

/* The upstream is gone: takes what it sent before. */
void udp_relay_receive_last(struct plane *plane, struct udp_session *session);

/* Sends the batch down. */
void udp_relay_flush(struct plane *plane);

#endif
