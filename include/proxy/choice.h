/*
 * choice: which upstream a client is sent to, from which local address, and
 * what is said of one that failed it. For sessions of every kind; the plane's
 * thread.
 */
#ifndef EVPROXY_PROXY_CHOICE_H
#define EVPROXY_PROXY_CHOICE_H

#include "net/connect.h"
#include "proxy/plane.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * The place of the upstream in the service, or -1 if none is usable. tried: bit
 * n is set if upstream n failed this client already; NULL: none did.
 */
ssize_t choice_pick(struct plane *plane, struct service *service,
                    const struct addr *client, const uint64_t *tried);

/* connect_stream, or connect_datagram. */
typedef enum connect_result (*choice_connect_fn)(
    struct sock *sock, const struct endpoint *endpoint,
    const struct addr *source);

/* Connects from one of the service's source addresses, and from the next when
 * the local ports of the first are used up. */
enum connect_result choice_connect(struct service *service,
                                   const struct upstream *upstream,
                                   struct sock *sock,
                                   choice_connect_fn connect) WARN_UNUSED;

/* A connect failed by the upstream's fault. */
void choice_blame(struct plane *plane, struct service *service,
                  struct upstream *upstream, enum cause cause);

#endif
