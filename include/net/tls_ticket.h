/*
 * tls_ticket: the keys that session tickets are sealed with (RFC 5077): made at
 * random, shared by all contexts and threads, and changed while they are used,
 * so that who gets hold of one reads few sessions. One that was changed is
 * taken for as long again, and the client is given a new ticket.
 */
#ifndef EVPROXY_NET_TLS_TICKET_H
#define EVPROXY_NET_TLS_TICKET_H

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* How long a session can be resumed, and a key seals tickets, in seconds. */
#define TLS_TICKET_LIFETIME_S 7200

/* The server context's tickets are sealed with them. Control thread. */
void tls_ticket_use(struct ssl_ctx_st *context);

#endif
