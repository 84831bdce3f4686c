/*
 * client_hello: the server name that a TLS client asks for and the protocols
 * that it offers, read from its first message without decryption; and the
 * patterns that names are matched with.
 * Pure; any thread. Keeps nothing and allocates nothing: the bytes stay the
 * caller's and do not change.
 *
 * Sources: RFC 8446, 4.1.2, 4.2 and 5.1 (the message, its extensions, records);
 * RFC 6066, 3 (server_name); RFC 7301, 3.1 (ALPN). With an encrypted hello
 * (ECH) it is the outer name, that of the server that can decrypt the inner
 * one.
 */
#ifndef EVPROXY_WIRE_CLIENT_HELLO_H
#define EVPROXY_WIRE_CLIENT_HELLO_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest message that is accepted, including its 4 bytes of type and
 * length. That is CLIENT_HELLO_MAX + 5 bytes on the wire in a single record,
 * and six times as many in records of one byte. */
#define CLIENT_HELLO_MAX (16u << 10)

#define CLIENT_HELLO_NAME_MAX 254 /* 253 characters and the final zero */

/* The longest list of offered protocols that is read. Clients in use send fewer
 * than 50 bytes. */
#define CLIENT_HELLO_ALPN_MAX 512

struct client_hello {
    uint16_t alpn_bytes;                 /* of alpn; 0: none is offered */
    uint8_t alpn[CLIENT_HELLO_ALPN_MAX]; /* whole names, the length before each,
                                            as on the wire */
    char name[CLIENT_HELLO_NAME_MAX];    /* in lower case, without a final dot;
                                            "" if the client sends none */
};

/*
 * Reads a ClientHello, in one record or many, from the first bytes of a
 * connection. Above 0: it is complete, has so many bytes, and *out is set. 0:
 * incomplete; call again with more bytes after the same ones. -1: no further
 * bytes can give a name: it is not TLS (SSL 2.0 is not), malformed or too long,
 * or it has two names or one that is no host name. *out is set only when the
 * message is complete.
 *
 * Wrong bytes are refused as soon as they arrive: most other protocols at their
 * first byte. The work is proportional to the records and extensions, not to
 * their bytes.
 */
int client_hello_parse(const uint8_t *bytes, size_t count,
                       struct client_hello *out) WARN_UNUSED;

enum client_hello_state {
    CLIENT_HELLO_INCOMPLETE, /* more bytes may complete it */
    CLIENT_HELLO_WHOLE,
    CLIENT_HELLO_TOO_LONG, /* for CLIENT_HELLO_MAX */
    CLIENT_HELLO_NONE, /* the bytes begin with another message, or are no TLS
                        */
};

/* How much of a ClientHello the first bytes of a connection are. What is in the
 * message is not looked at. */
enum client_hello_state client_hello_state(const uint8_t *bytes,
                                           size_t count) WARN_UNUSED;

/*
 * A pattern is a host name, or a host name after a wildcard for one label:
 * "*.b.example" matches a.b.example, but neither b.example nor x.a.b.example.
 * NULL, or a sentence that says what is wrong, as base/value.h describes it.
 */
const char *client_hello_check_pattern(const char *pattern) WARN_UNUSED;

/* Whether a pattern that was checked matches the name, in any case. None
 * matches
 * "". */
bool client_hello_matches(const char *pattern, const char *name);

/* Whether the client offers the protocol. */
bool client_hello_offers(const struct client_hello *hello,
                         const char *protocol);

#endif
