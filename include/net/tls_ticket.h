/*
 * tls_ticket: the keys that encrypt session tickets (RFC 5077).
 *
 * Those of the process are random, and shared by all contexts and threads. They
 * are rotated, so that a stolen key reads few sessions (section 5.5). A rotated
 * key decrypts for a second lifetime, and its clients get a new ticket.
 *
 * Keys of a file are for machines that resume each other's sessions. This room
 * does not know the age of such a key and does not rotate it: the administrator
 * rotates the keys in the file.
 */
#ifndef EVPROXY_NET_TLS_TICKET_H
#define EVPROXY_NET_TLS_TICKET_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX */
struct tls_fault_report;

/* How long a key encrypts. */
#define TLS_TICKET_LIFETIME_S 7200

#define TLS_TICKET_NAME_BYTES 16

struct tls_ticket_key {
    unsigned char name[TLS_TICKET_NAME_BYTES]; /* sent with the ticket */
    unsigned char cipher[32];
    unsigned char mac[32];
    uint64_t made_ns; /* 0: no key */
};

/* All-zero: there are none. */
struct tls_ticket_keys {
    struct tls_ticket_key current;
    struct tls_ticket_key previous;
};

enum tls_ticket {
    TLS_TICKET_UNKNOWN, /* a full handshake is needed */
    TLS_TICKET_GOOD,
    TLS_TICKET_OLD, /* good, but a new ticket is needed */
};

/* Whether there is a current key, and it is young enough to encrypt. */
bool tls_ticket_has_current(const struct tls_ticket_keys *keys,
                            uint64_t now_ns);

/* Makes a new current key. False: no random bytes. */
bool tls_ticket_rotate(struct tls_ticket_keys *keys,
                       uint64_t now_ns) WARN_UNUSED;

/* Finds the key of that name, unless it is too old to decrypt. */
enum tls_ticket tls_ticket_find(const struct tls_ticket_keys *keys,
                                const unsigned char *name, uint64_t now_ns,
                                struct tls_ticket_key *key);

/* Keys of a file: the first one encrypts, all decrypt. Never changed. */
struct tls_ticket_set {
    size_t count;
    struct tls_ticket_key keys[];
};

/* Of one key in the file: its name, then the keys of the MAC and the cipher, as
 * in nginx's files. */
#define TLS_TICKET_KEY_BYTES 80

/* A client names a key, and the search takes time. */
#define TLS_TICKET_KEYS_MAX 64

/* NULL, with a report. Control thread. */
struct tls_ticket_set *
tls_ticket_set_load(const char *path,
                    struct tls_fault_report *report) WARN_UNUSED;

/* Wipes the keys. Harmless for NULL. */
void tls_ticket_set_destroy(struct tls_ticket_set *set);

/* As tls_ticket_find. */
enum tls_ticket tls_ticket_set_find(const struct tls_ticket_set *set,
                                    const unsigned char *name,
                                    struct tls_ticket_key *key);

/* Makes a server's context use the keys of a set, which outlives it, or with
 * NULL those of the process. Control thread. */
void tls_ticket_use(struct ssl_ctx_st *context,
                    const struct tls_ticket_set *set);

#endif
