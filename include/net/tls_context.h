/*
 * tls_context: what a service speaks TLS with. tls_server and tls_client make
 * it; here is what both have in common. The control thread makes it at a start
 * and at each reload; then it is never changed, except for the sessions of a
 * client, and shared by all threads.
 *
 * In a build without TLS none can be made (tls_absent.c).
 */
#ifndef EVPROXY_NET_TLS_CONTEXT_H
#define EVPROXY_NET_TLS_CONTEXT_H

#include "base/base.h"
#include "net/tls_identity.h"

#include <stddef.h>

/* OpenSSL's SSL_METHOD, SSL_CTX and SSL_SESSION. */
struct ssl_method_st;
struct ssl_ctx_st;
struct ssl_session_st;
struct tls_ticket_set;

#define TLS_PROTOCOL_BYTES_MAX 255 /* RFC 7301, section 3.1 */

struct tls_context {
    struct ssl_ctx_st *start; /* of new connections; a reference */
    unsigned char *protocols; /* ALPN, as in a ClientHello; NULL: none */
    size_t protocols_bytes;
    struct tls_identities identities;         /* of a server */
    struct tls_ticket_set *ticket_keys;       /* of a server; NULL: the keys of
                                                 the process */
    struct ssl_session_st *_Atomic *sessions; /* of a client: of each upstream
                                                 the last one, or NULL. Any
                                                 thread takes and stores it. */
    size_t places;                            /* of sessions */
    unsigned sharers; /* tls_context_share; control thread */
};

/* With the protocols, and without start. NULL: no memory. */
struct tls_context *tls_context_create(char *const *alpn,
                                       size_t alpn_count) WARN_UNUSED;

/* An OpenSSL context with the settings of all; NULL: no memory. */
struct ssl_ctx_st *
tls_context_new_ssl_ctx(const struct ssl_method_st *method) WARN_UNUSED;

/* Adds an owner: the last one's tls_context_destroy frees the context. Answers
 * it. Harmless for NULL. */
struct tls_context *tls_context_share(struct tls_context *context);

/* The same for a client, with other places, which are empty. NULL: no memory.
 */
struct tls_context *tls_context_copy(const struct tls_context *context,
                                     size_t places) WARN_UNUSED;

/* Takes the session of a place, if there is one, to a place of a copy. */
void tls_context_move_session(struct tls_context *to, size_t to_place,
                              struct tls_context *from, size_t from_place);

/* After the last connection of the context has ended. Harmless for NULL. */
void tls_context_destroy(struct tls_context *context);

#endif
