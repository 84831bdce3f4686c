/*
 * tls_client: the TLS context for connections to a service's upstreams: the
 * authorities it trusts, and the last session of each upstream, which the next
 * connection resumes.
 */
#ifndef EVPROXY_NET_TLS_CLIENT_H
#define EVPROXY_NET_TLS_CLIENT_H

#include "base/base.h"
#include "net/tls_context.h"
#include "net/tls_file.h"
#include "net/tls_trust.h"

#include <stdbool.h>
#include <stddef.h>

struct ssl_st; /* OpenSSL's SSL */

/* What it points to is not kept. */
struct tls_client_options {
    struct tls_trusts *trusts; /* shared by all that are made together */
    const char *ca;            /* authorities; NULL: those of the system */
    bool unverified;           /* certificates are not verified */
    struct tls_pair pair;      /* shown to upstreams; NULL: none is */
    char *const *alpn;         /* protocols, the preferred one first */
    size_t alpn_count;
    size_t places; /* the number of upstreams */
};

/* NULL, with a report. Control thread. */
struct tls_context *
tls_client_create(const struct tls_client_options *options,
                  struct tls_fault_report *report) WARN_UNUSED;

/*
 * The state of a new connection, which the caller frees; NULL: no memory. Any
 * thread. name, place: see struct sock_peer. client: the state of the client's
 * connection, whose protocol is offered; NULL: all of the context are.
 */
struct ssl_st *tls_client_connection(const struct tls_context *context,
                                     const char *name, size_t place,
                                     const struct ssl_st *client) WARN_UNUSED;

#endif
