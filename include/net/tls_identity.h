/*
 * tls_identity: the certificates of a server, found by name. An identity is an
 * OpenSSL context with the certificates of one set of names, which differ in
 * the type of their keys (RSA, ECDSA): OpenSSL uses what the client supports.
 *
 * Built by the control thread, then never changed and read by all threads.
 */
#ifndef EVPROXY_NET_TLS_IDENTITY_H
#define EVPROXY_NET_TLS_IDENTITY_H

#include "base/base.h"

#include <stddef.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

struct tls_identity {
    struct ssl_ctx_st *context;
    unsigned key_types; /* a bit for each */
};

/* "a.example" or "*.example", in lower case, and the context that has it. */
struct tls_name {
    char *text;
    struct ssl_ctx_st *context;
};

/* All-zero: there are none. */
struct tls_identities {
    struct tls_identity *list;
    size_t count;
    struct tls_name *names; /* sorted by text */
    size_t name_count;
};

void tls_identities_fini(struct tls_identities *identities);

/*
 * Adds a context, whose certificate is loaded, as an identity, and its names
 * except those that another identity has. Takes the context over. -1: no
 * memory.
 */
int tls_identities_add(struct tls_identities *identities,
                       struct ssl_ctx_st *context) WARN_UNUSED;

/*
 * The identity that the context's certificate can join, because it has all its
 * names, but no key of its type; NULL: none. The caller loads the certificate
 * into it; its type then counts as present.
 */
struct ssl_ctx_st *tls_identities_join(struct tls_identities *identities,
                                       const struct ssl_ctx_st *context);

/* By a server name in any case: exactly, or else by a wildcard for its first
 * label. NULL: none. */
struct ssl_ctx_st *tls_identities_find(const struct tls_identities *identities,
                                       const char *name);

#endif
