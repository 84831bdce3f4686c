/*
 * secure: TLS at our end of a socket, by OpenSSL, as its client or its server.
 *
 * After the handshake TLS is the socket's carrier, and all that the harness
 * does to it is meant of the plaintext: finish sends a close_notify and a FIN,
 * expect_eof wants a close_notify, expect_reset a reset without one, flows run
 * in both directions at once. A stream that is cut off without a close_notify
 * answers EPROTO, and so does every other breach of the protocol.
 *
 * Main thread only, but for secure_begin and serve_secure.
 */
#ifndef EVPROXY_TESTS_E2E_SECURE_H
#define EVPROXY_TESTS_E2E_SECURE_H

#include "authority.h"
#include "harness.h"

#include <openssl/ssl.h>

/* How one end speaks. All zero: a client that trusts anybody. */
struct secure {
    const struct identity *identity; /* shown when asked; a server needs one */
    const struct identity
        *ca;                /* the peer must show what it signed; NULL: a
                               client trusts anybody, a server does not ask */
    const char *name;       /* a client asks for it, and expects it of a ca */
    int version;            /* the only one; 0: 1.2 and 1.3 */
    const char *ciphers;    /* up to 1.2; OpenSSL's notation */
    const char *signatures; /* that we take; OpenSSL's notation */
    const char *alpn;       /* "h2,http/1.1": offered, or taken from */
    SSL_SESSION *session;   /* to be resumed */
    SSL_CTX *context;       /* shared; NULL: one for each connection */
    bool drops;             /* each byte is sent by itself */
    bool together;          /* the last part of the handshake waits for the
                               first bytes, and goes with them */
};

/* A new context, NULL if it cannot be. */
SSL_CTX *secure_context(const struct secure *how, bool server);

/* The handshake: 0, or -1 when it failed, and secure_why tells. */
int secure_begin(int fd, const struct secure *how, bool server);
void secure_connect(int fd, const struct secure *how);
void secure_accept(int fd, const struct secure *how);
int secure_dial(const struct place *place, const struct secure *how);
int secure_take(int listener, const struct secure *how);

/* It is not let in, at the latest when it reads for the first time. The reason
 * is a part of what OpenSSL says of that; NULL: any. */
void secure_expect_refused(int fd, const struct secure *how,
                           const char *reason);
void secure_expect_no_entry(const struct place *place, const struct secure *how,
                            const char *reason);

/* What the last failure of this thread was. */
const char *secure_why(void);

/* A ClientHello as it would be sent: its size. */
size_t secure_hello(const struct secure *how, void *buffer, size_t size);

/* Of the connection: OpenSSL's own, and what was agreed on. */
SSL *secure_ssl(int fd);
const char *secure_peer(int fd);    /* the common name that it showed, "" */
const char *secure_alpn(int fd);    /* "" */
const char *secure_asked(int fd);   /* a server: which name was asked for, "" */
const char *secure_offered(int fd); /* a server: the ALPN list, "" */

/* To be freed. Some bytes must have been read, which a ticket may precede. */
SSL_SESSION *secure_session(int fd);

void secure_notify(int fd); /* a close_notify, and no FIN */
void secure_cut(int fd);    /* a FIN, and no close_notify */
/* A FIN, and nothing else, behind the close_notify that was read. */
void secure_expect_fin(int fd);

/* ---- one service "web" where TLS ends, its upstream in our hand ---- */

/* The lines tls_certificate and tls_key; good for eight more calls. */
const char *secure_keys(const struct identity *identity);

/* The service shows what secure_server is, and has more keys. */
const struct identity *secure_server(void); /* of a.example and 127.0.0.1 */
void secure_scene_open(struct scene *scene, const char *global,
                       const char *service);
/* A client that speaks the version (0: both) and expects that certificate. */
struct secure secure_client(int version);
struct pair secure_pair(const struct scene *scene, const struct secure *how);

/* For server_start: accepts TLS, then serves by fn. */
struct secure_service {
    struct secure how;
    server_fn fn;
    const void *arg;
};
void serve_secure(int fd, const void *service);

#endif
