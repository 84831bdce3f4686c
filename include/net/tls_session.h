/*
 * tls_session: how long a TLS session may be resumed. It stands for a full
 * handshake, so it ends two hours after that, and with the first certificate
 * of the chain that was verified there. Every resumption of TLS 1.3 brings a
 * new ticket, but not a later end. Any thread.
 */
#ifndef EVPROXY_NET_TLS_SESSION_H
#define EVPROXY_NET_TLS_SESSION_H

#include "base/base.h"

#include <stdbool.h>

#define TLS_SESSION_LIFETIME_S 7200

/* OpenSSL's SSL, SSL_CTX and SSL_SESSION. */
struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

/* Sets the end of a session that the connection has made, or has resumed and
 * renewed. False: no memory. */
bool tls_session_limit(struct ssl_st *ssl,
                       struct ssl_session_st *session) WARN_UNUSED;

/* Whether it must not be resumed any more. */
bool tls_session_is_over(const struct ssl_session_st *session);

/* Limits the sessions in the tickets that the server's context sends. OpenSSL
 * refuses those that are over. */
void tls_session_limit_tickets(struct ssl_ctx_st *context);

#endif
