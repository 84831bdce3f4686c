/*
 * tls: TLS on one socket, by OpenSSL or by the kernel. Only sock calls it. A
 * connection belongs to the thread of its socket.
 *
 * OpenSSL's state of a connection is found by its descriptor, so a socket
 * without TLS has no cost. OpenSSL reads and writes by recv and send, which
 * obey the bits of sock_state: SOCK_READABLE says that a read may give bytes,
 * and SOCK_TLS_INPUT, that the kernel may have bytes for OpenSSL.
 *
 *      kernel ── SOCK_TLS_INPUT ──▶ OpenSSL ── SOCK_READABLE ──▶ relay
 *
 * Where the kernel has TLS (kernel.org: networking/tls), it takes over each
 * direction that it can after the handshake. Such a direction works as without
 * TLS, except for records that are no data: see ktls.h.
 *
 * Anybody can cut off a stream that has no close_notify, so an end without one
 * is a reset.
 */
#ifndef EVPROXY_NET_TLS_H
#define EVPROXY_NET_TLS_H

#include "base/base.h"
#include "net/sock_state.h"

#include <stdbool.h>
#include <stddef.h>

struct tls_context;
struct sock_tls;

/* Starts TLS on a connected socket, as the server of a client or as the client
 * of an upstream; see struct sock_peer. -1 with ENOMEM. No byte passes before
 * tls_handshake answers IO_OK. */
int tls_accept(struct sock *sock,
               const struct tls_context *context) WARN_UNUSED;
int tls_connect(struct sock *sock, const struct tls_context *context,
                const char *name, size_t place,
                const struct sock *other) WARN_UNUSED;

/* As those of sock. tls_recv fills the buffer from as many records as there
 * are. tls_handshake stops after TLS_WORK_MAX with IO_BUSY. */
enum io tls_handshake(struct sock *sock) WARN_UNUSED;
const char *tls_error(void);

/* As sock_ask_tls and sock_release_tls. */
void tls_ask(const struct sock *sock, struct sock_tls *tls);
void tls_release(struct sock *sock);

/* As those of sock. */
enum io tls_recv(struct sock *sock, void *buffer, size_t size,
                 size_t *count) WARN_UNUSED;
enum io tls_peek(struct sock *sock, void *buffer, size_t size,
                 size_t *count) WARN_UNUSED;
enum io tls_send(struct sock *sock, const void *bytes, size_t size, bool last,
                 size_t *count) WARN_UNUSED;

/* Sends the close_notify unless it is sent. Answers as tls_send. */
enum io tls_finish(struct sock *sock) WARN_UNUSED;

/* As sock_take_work. */
size_t tls_take_work(void);

/* Whether there are decrypted bytes that were not read. */
bool tls_has_bytes(const struct sock *sock);

/* Frees OpenSSL's state; the caller closes the descriptor. */
void tls_free(struct sock *sock);

/* As sock_trim. */
bool tls_trim(void);

#endif
