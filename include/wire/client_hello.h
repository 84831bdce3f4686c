/*
 * client_hello: the server name that a TLS client asks for, read from its first
 * message without decrypting anything; and the patterns that names are matched
 * with. Pure; any thread. Keeps nothing and allocates nothing: the bytes stay
 * the caller's and are passed on unchanged.
 *
 * Sources: RFC 8446, 4.1.2, 4.2 and 5.1 (the message, its extensions, records);
 * RFC 6066, 3 (server_name). With an encrypted hello (ECH) the name is the
 * outer one, that of the server which can decrypt it.
 */
#ifndef EVPROXY_WIRE_CLIENT_HELLO_H
#define EVPROXY_WIRE_CLIENT_HELLO_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest message that is taken, its 4 bytes of type and length included. In a
 * single record it is CLIENT_HELLO_MAX + 5 bytes on the wire; records of one
 * byte each make that six times as many. */
#define CLIENT_HELLO_MAX (16u << 10)

#define CLIENT_HELLO_NAME_MAX 254 /* 253 characters and the final zero */

struct client_hello {
    char name[CLIENT_HELLO_NAME_MAX]; /* in lower case, without a dot at its
                                         end; "" if the client names none */
};

/*
 * Reads a ClientHello, in one record or many, from the first bytes of a
 * connection. Above 0: it is complete, *out is set, and so many bytes are its
 * own. 0: so far so good, ask again with more bytes, the earlier ones included.
 * -1: not TLS (SSL 2.0 is not), malformed, too long, two names, or a name that
 * is no host name: whatever comes, there will be no name. *out is set only with
 * a complete message.
 *
 * What is wrong is refused when it comes: other protocols at their first byte
 * in most cases, and in no case later than a complete message would be. The
 * work is in proportion to the records and extensions that have come, not to
 * their bytes.
 */
int client_hello_parse(const uint8_t *bytes, size_t count,
                       struct client_hello *out) WARN_UNUSED;

/*
 * A pattern is a host name, or a wildcard for one label in front of one:
 * "*.b.example" is for a.b.example, not for b.example nor for x.a.b.example.
 * NULL, or a sentence without a final stop that says what is wrong, which lives
 * as those of base/value.h do.
 */
const char *client_hello_check_pattern(const char *pattern) WARN_UNUSED;

/* Whether the pattern, which was checked, is for the name; case plays no part.
 * None is for "". */
bool client_hello_matches(const char *pattern, const char *name);

#endif
