/*
 * connect: begins a connection to an endpoint, and tells the failures of this
 * machine from those of the other one. Does not wait: the poller reports the
 * outcome. The socket belongs to the calling thread.
 */
#ifndef EVPROXY_NET_CONNECT_H
#define EVPROXY_NET_CONNECT_H

#include "net/sock.h"

/* With the last three the socket is closed, and errno is set. */
enum connect_result {
    CONNECT_PENDING, /* an event will tell */
    CONNECT_DONE,    /* at once: unix sockets, and all for datagrams */
    CONNECT_BUSY,    /* a unix socket whose backlog is full; no event comes */
    CONNECT_FAILED,  /* by the other end */
    CONNECT_LOCAL,   /* by this machine: see connect_error_is_local */
};

/*
 * Opens a socket and begins to connect it to the endpoint. source: the local
 * address, whose port is ignored; NULL: the system's choice. SO_OOBINLINE alone
 * is set; sock_set_options sets the rest once the connection turns out to last.
 */
enum connect_result connect_stream(struct sock *sock,
                                   const struct endpoint *endpoint,
                                   const struct addr *source) WARN_UNUSED;

/* The same for datagrams, which is never CONNECT_PENDING: nothing is sent. */
enum connect_result connect_datagram(struct sock *sock,
                                     const struct endpoint *endpoint,
                                     const struct addr *source) WARN_UNUSED;

/* Whether this machine caused an error of connect: it has no port, descriptor
 * or memory left, or it may not send there. */
bool connect_error_is_local(int error);

#endif
