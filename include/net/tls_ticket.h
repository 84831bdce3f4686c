/*
 * tls_ticket: the keys that session tickets are sealed with (RFC 5077), made at
 * random, shared by all contexts and threads, and changed while they are used,
 * so that who gets hold of one reads few sessions. One that was changed is
 * taken for as long again, and the client is given a new ticket.
 */
#ifndef EVPROXY_NET_TLS_TICKET_H
#define EVPROXY_NET_TLS_TICKET_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */

/* How long a session can be resumed, and a key seals tickets, in seconds. */
#define TLS_TICKET_LIFETIME_S 7200

#define TLS_TICKET_NAME_BYTES 16

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_BYTES]; /* goes with the ticket */
    unsigned char cipher[32];
    unsigned char mac[32];
    uint64_t made_ns; /* 0: there is none */
};

/* An all-zero one is valid and has none. */
struct tls_ticket_keys {
    struct tls_ticket_key current;
    struct tls_ticket_key former;
};

enum tls_ticket {
    TLS_TICKET_UNKNOWN, /* a whole handshake is due */
    TLS_TICKET_GOOD,
    TLS_TICKET_OLD, /* good, but another is due */
};

/* Whether the current key, if there is one, may seal. */
bool tls_ticket_key_serves(const struct tls_ticket_keys *keys, uint64_t now_ns);

/* Makes a new one the current. False: there is no randomness. */
bool tls_ticket_change(struct tls_ticket_keys *keys,
                       uint64_t now_ns) WARN_UNUSED;

/* The key of that name, if it is to be taken still. */
enum tls_ticket tls_ticket_find(const struct tls_ticket_keys *keys,
                                const unsigned char *name, uint64_t now_ns,
                                struct tls_ticket_key *key);

/* The server context's tickets are sealed with the process's keys. Control
 * thread. */
void tls_ticket_use(struct ssl_ctx_st *context);

#endif
