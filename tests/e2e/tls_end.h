/*
 * tls_end: our end of a TLS connection, below the transport of tls_socket.h:
 * OpenSSL's object, and the BIO by which it uses the socket.
 *
 * Any thread. Two may share an end, one that sends and one that receives; they
 * hold the lock whenever they use ssl.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_END_H
#define EVPROXY_TESTS_E2E_TLS_END_H

#include "tls_alpn.h"
#include "tls_options.h"

#include <pthread.h>

struct tls_end {
    int fd;
    SSL *ssl; /* its app data is the end */
    pthread_mutex_t lock;
    bool byte_by_byte;
    bool coalesce;
    bool has_sent;                    /* the first flight of the handshake */
    bool fin_read;                    /* the peer's FIN */
    char offered[TLS_ALPN_MAX];       /* the client's ALPN list, as text */
    unsigned char alpn[TLS_ALPN_MAX]; /* ours, as on the wire */
    unsigned alpn_size;
};

/* NULL, and tls_end_error tells why. fd -1: no socket yet. */
struct tls_end *tls_end_create(int fd, const struct tls_options *options,
                               bool server);
void tls_end_destroy(struct tls_end *end);

/* Keeps what OpenSSL, or else errno, tells of a failure in this thread; and
 * what was kept last. */
void tls_end_keep_error(void);
void tls_end_set_error(const char *error);
const char *tls_end_error(void);

#endif
