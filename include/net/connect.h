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
    CONNECT_PENDING,  /* an event will tell */
    CONNECT_DONE,     /* at once: unix sockets, and all for datagrams */
    CONNECT_BUSY,     /* a unix socket whose backlog is full; no event comes */
    CONNECT_FAILED,   /* by the other end, or no way leads there from here */
    CONNECT_SHORTAGE, /* of this machine: see connect_error_is_shortage */
};

/*
 * Opens a socket and begins to connect it to the endpoint. source: the local
 * address, whose port is ignored; NULL: the system's choice. SO_OOBINLINE alone
 * is set; sock_set_options sets the rest once the connection turns out to last.
 */
enum connect_result connect_stream(struct sock *sock,
                                   const struct endpoint *endpoint,
                                   const struct addr *source) WARN_UNUSED;

/*
 * The same for a stream on which this end writes at once and the other end
 * answers: the kernel delays acknowledgements (TCP_QUICKACK off), so the first
 * bytes carry that of the handshake, and the next ones, or the FIN, that of the
 * answer. Each saves a segment. Another end that writes first would wait for
 * the delayed one, up to 200 ms.
 */
enum connect_result connect_to_ask(struct sock *sock,
                                   const struct endpoint *endpoint,
                                   const struct addr *source) WARN_UNUSED;

/* The same for datagrams, which is never CONNECT_PENDING: nothing is sent. */
enum connect_result connect_datagram(struct sock *sock,
                                     const struct endpoint *endpoint,
                                     const struct addr *source) WARN_UNUSED;

/*
 * Whether an error of connect is a shortage of this machine, which passes: of
 * local ports, descriptors or memory. Errors that last (no such family, no
 * permission, no route, no address to connect from) are none: they are the same
 * to a client as an upstream that is down.
 */
bool connect_error_is_shortage(int error);

/* What a log line about a failed connect adds for an error that its cause does
 * not tell: a space and reason="...", or "". */
#define CONNECT_REASON_MAX 128
const char *connect_format_reason(int error, char text[CONNECT_REASON_MAX]);

/* Whether the address is one of this machine's, as the routes have it. scope:
 * interface of a link-local one, else 0. At most four system
 * calls. */
bool connect_is_own(const struct addr *ip, uint32_t scope);

#endif
