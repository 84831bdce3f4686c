/*
 * tls_link: a client's TLS connection, in steps that never block. A step that
 * waits is called again after any event on the descriptor. Certificates are not
 * verified.
 */
#ifndef EVPROXY_BENCH_TLS_LINK_H
#define EVPROXY_BENCH_TLS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_link {
    SSL *ssl; /* NULL: not opened, or closed */
    int fd;
    long sent; /* of the current message or stream */
    long got;
    bool cut;             /* the peer ended without a close_notify */
    SSL_SESSION *session; /* for the next connection here, or NULL */
};

enum tls_step { TLS_WAITS, TLS_DONE, TLS_FAILED };

typedef enum tls_step (*tls_step_fn)(struct tls_link *link);

struct tls_link_options {
    int version; /* TLS1_2_VERSION, or 0: the newest that both have */
    bool resume; /* resume the session of the connection before */
    bool kernel; /* use kernel TLS where available */
};

void tls_link_set_up(const struct tls_link_options *options);

/* Starts a connection and adds it to epoll with the tag; false: failed. */
bool tls_link_dial(struct tls_link *link, int epoll, uint32_t tag);

/* The steps: the handshake; load.bytes and load.total bytes there and back,
 * each byte compared; close_notify in both directions. */
enum tls_step tls_link_handshake(struct tls_link *link);
enum tls_step tls_link_echo(struct tls_link *link);
enum tls_step tls_link_stream(struct tls_link *link);
enum tls_step tls_link_shutdown(struct tls_link *link);

/* Frees everything except the session. */
void tls_link_close(struct tls_link *link);

#endif
