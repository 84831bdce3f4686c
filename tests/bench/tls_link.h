/*
 * tls_link: a client's connection by TLS, in steps that never block. Each step
 * is called again, after any event on the descriptor, until it no longer waits.
 * Whose certificate it is, is not asked.
 */
#ifndef EVPROXY_BENCH_TLS_LINK_H
#define EVPROXY_BENCH_TLS_LINK_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

struct tls_link {
    SSL *ssl; /* NULL: not dialled, or closed */
    int fd;
    long sent; /* of the current message or stream */
    long got;
    bool cut;             /* the other side ended without a close_notify */
    SSL_SESSION *session; /* to be resumed by the next one here, or NULL */
};

enum tls_step { TLS_WAITS, TLS_DONE, TLS_FAILED };

typedef enum tls_step (*tls_step_fn)(struct tls_link *link);

struct tls_link_options {
    int version; /* TLS1_2_VERSION, or 0: the best that both have */
    bool resume; /* begin with the session of the one before */
    bool kernel; /* by kernel TLS, where there is one */
};

void tls_link_set_up(const struct tls_link_options *options);

/* Starts a connection and watches it with the tag; false: it cannot. */
bool tls_link_dial(struct tls_link *link, int epoll, uint32_t tag);

/* A handshake; load.bytes there and back; load.total bytes there and back, each
 * compared; an end from both sides. */
enum tls_step tls_link_greet(struct tls_link *link);
enum tls_step tls_link_echo(struct tls_link *link);
enum tls_step tls_link_stream(struct tls_link *link);
enum tls_step tls_link_part(struct tls_link *link);

/* Frees all but the session. */
void tls_link_close(struct tls_link *link);

#endif
