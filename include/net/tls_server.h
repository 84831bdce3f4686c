/*
 * tls_server: the TLS context for connections of a service's clients: its
 * certificates, and the authorities of theirs.
 *
 * The server name of a ClientHello picks the certificates: an exact name before
 * a wildcard; the first ones if no name matches.
 *
 * Sessions are resumed by tickets alone, so none is stored here. All contexts
 * share the keys of tickets (tls_ticket) unless they have a file of their own,
 * so a reload ends no session.
 */
#ifndef EVPROXY_NET_TLS_SERVER_H
#define EVPROXY_NET_TLS_SERVER_H

#include "base/base.h"
#include "net/tls_context.h"
#include "net/tls_file.h"
#include "net/tls_trust.h"

#include <stdbool.h>
#include <stddef.h>

struct ssl_st; /* OpenSSL's SSL */

/* What it points to is not kept. */
struct tls_server_options {
    const struct tls_pair *pairs;
    size_t pair_count;         /* at least 1 */
    struct tls_trusts *trusts; /* shared by all that are made together */
    const char *client_ca;     /* NULL: clients need no certificate */
    bool only_1_3;
    char *const *alpn; /* protocols, the preferred one first */
    size_t alpn_count;
    const char *ticket_keys; /* a file; NULL: the keys of the process */
    const char *scope;       /* sessions are resumed within one scope only */
};

/* NULL, with a report. Control thread. */
struct tls_context *
tls_server_create(const struct tls_server_options *options,
                  struct tls_fault_report *report) WARN_UNUSED;

/* The state of a new connection, which the caller frees; NULL: no memory. Any
 * thread. */
struct ssl_st *
tls_server_connection(const struct tls_context *context) WARN_UNUSED;

#endif
