/*
 * claims: how an address gets its first listening socket, so that no other
 * process shares it: see net/listen. An address of this process that is in the
 * way, as :80 is in the way of 127.0.0.1:80, is shared. Control thread.
 */
#ifndef EVPROXY_CONTROL_CLAIMS_H
#define EVPROXY_CONTROL_CLAIMS_H

#include "control/handed.h"
#include "service/generation.h"

#include <sys/types.h>

/* What is open while a generation is opened. */
struct claims {
    const struct generation *wanted;
    size_t count;                     /* its listens so far */
    const struct generation *running; /* NULL: none */
    const struct handed *handed;      /* by the process before; NULL: none */
    uid_t owner;                      /* of new sockets */
};

/* The first socket of the address, bound. -1 with errno. */
int claims_bind(const struct claims *claims,
                const struct listen_socket *listen) WARN_UNUSED;

/* Another one, not of a unix path. */
int claims_bind_next(const struct claims *claims,
                     const struct listen_socket *listen) WARN_UNUSED;

/* Makes the first socket of the address listen, unless it is for datagrams;
 * from then on the next ones may. -1 with errno. */
int claims_listen(const struct claims *claims,
                  const struct listen_socket *listen) WARN_UNUSED;

#endif
