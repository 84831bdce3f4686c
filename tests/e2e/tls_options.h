/*
 * tls_options: how one end of a connection speaks TLS, and OpenSSL's context
 * for that. Any thread.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_OPTIONS_H
#define EVPROXY_TESTS_E2E_TLS_OPTIONS_H

#include "identity.h"

#include <openssl/ssl.h>

/* All zero: a client that trusts everybody. */
struct tls_options {
    const struct identity *identity; /* shown when asked; a server needs one */
    const struct identity *ca; /* must have signed the peer's certificate; NULL:
                                  a client trusts everybody, a server does not
                                  ask for a certificate */
    const char *name;    /* a client's SNI, and with a ca the name it expects */
    int version;         /* the only one; 0: 1.2 and 1.3 */
    const char *ciphers; /* up to 1.2; OpenSSL's notation */
    const char *signatures; /* that we accept; OpenSSL's notation */
    const char *alpn;       /* "h2,http/1.1": a client's offer, or a server's
                               choice, first the preferred one */
    SSL_SESSION *session;   /* a client resumes it */
    SSL_CTX *context;       /* shared; NULL: one for each connection */
    bool byte_by_byte;      /* each byte is a segment */
    bool coalesce; /* a client's last flight waits for its first bytes */
};

/* NULL: OpenSSL refuses. To be freed by SSL_CTX_free. */
SSL_CTX *tls_options_context(const struct tls_options *options, bool server);

#endif
