/*
 * tls_context: what a service speaks TLS with: its certificates, or whom it
 * trusts. Read from files by the control thread at a start and at each reload;
 * never changed afterwards, and shared by all threads.
 *
 * A server's context holds one OpenSSL context for each set of names; the
 * server name of a ClientHello picks one, exact names before wildcards, the
 * first for names of none. Certificates of the same names and of different
 * kinds (RSA, ECDSA) share one, and OpenSSL takes what the client understands.
 *
 * Sessions are resumed by tickets, and nothing is kept for them here but the
 * keys, which all contexts share, so that a reload ends none (RFC 5077,
 * section 5.5: they are changed, and an old one is taken for a while). Of each
 * upstream the last session is kept, for as long as the context lives.
 *
 * A build without TLS can make none (tls_context_absent.c).
 */
#ifndef EVPROXY_NET_TLS_CONTEXT_H
#define EVPROXY_NET_TLS_CONTEXT_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_context;
struct ssl_st; /* OpenSSL's SSL */

/* Files in PEM. */
struct tls_pair {
    const char *certificate; /* and those between it and a root */
    const char *key;         /* may be the same file */
};

/* How TLS is ended. What is pointed to is not kept. */
struct tls_server_options {
    const struct tls_pair *pairs;
    size_t pair_count;     /* at least 1 */
    const char *client_ca; /* NULL: clients need no certificate */
    bool only_1_3;
    char *const *alpn; /* protocols, the preferred one first */
    size_t alpn_count;
    const char *scope; /* a session is resumed within one scope only */
};

/* How TLS is begun. */
struct tls_client_options {
    const char *ca;  /* NULL: whom the system trusts */
    bool unverified; /* whoever it is */
    char *const *alpn;
    size_t alpn_count;
    size_t places; /* upstreams there are */
};

/* What a context could not be made of. */
enum tls_fault {
    TLS_FAULT_OTHER, /* no memory, or the library itself */
    TLS_FAULT_CERTIFICATE,
    TLS_FAULT_KEY,
    TLS_FAULT_CA,
};

struct tls_fault_report {
    enum tls_fault fault;
    size_t pair;      /* which one it is about */
    const char *text; /* without a final stop; lives until the next call */
};

/* NULL, and why. */
struct tls_context *
tls_server_create(const struct tls_server_options *options,
                  struct tls_fault_report *complaint) WARN_UNUSED;
struct tls_context *
tls_client_create(const struct tls_client_options *options,
                  struct tls_fault_report *complaint) WARN_UNUSED;

/*
 * OpenSSL's state of a new connection; the caller's. name, place: see struct
 * sock_peer; other: the state of the session's other side, or NULL. NULL: no
 * memory. Any thread.
 */
struct ssl_st *
tls_context_accept(const struct tls_context *context) WARN_UNUSED;
struct ssl_st *tls_context_connect(const struct tls_context *context,
                                   const char *name, size_t place,
                                   const struct ssl_st *other) WARN_UNUSED;

/* Harmless for NULL. Connections that were begun with it may go on. */
void tls_context_destroy(struct tls_context *context);

#endif
