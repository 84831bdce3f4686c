/*
 * tls: TLS on one socket, by OpenSSL. Sock calls it and hides it: nobody else
 * does.
 *
 * What OpenSSL keeps of a connection is found by its descriptor, so that a
 * socket without TLS costs nothing. Bytes come and go by recv and send and obey
 * the bits of sock, as follows: SOCK_READABLE says that a read may give
 * something, and SOCK_TLS_INPUT, that the kernel may have bytes for OpenSSL.
 *
 *      kernel ── SOCK_TLS_INPUT ──▶ OpenSSL ── SOCK_READABLE ──▶ relay
 *
 * Where the kernel speaks TLS itself (kernel.org: networking/tls), a direction
 * is handed to it after the handshake, and then is that of a plain socket but
 * for the records that are no data: see ktls.h.
 *
 * The bytes of a peer that ends without a close_notify may have been cut by
 * anybody: that is no end of a stream, but a reset. Belongs to the thread of
 * its socket.
 */
#ifndef EVPROXY_NET_TLS_H
#define EVPROXY_NET_TLS_H

#include "net/sock_state.h"

struct tls_context;

/* Starts TLS on a connected socket, as the server of a client or as the client
 * of an upstream; see struct sock_peer. -1 with ENOMEM. No byte passes before
 * tls_handshake answers IO_OK. */
int tls_accept(struct sock *sock,
               const struct tls_context *context) WARN_UNUSED;
int tls_connect(struct sock *sock, const struct tls_context *context,
                const char *name, size_t place,
                const struct sock *other) WARN_UNUSED;

/* Goes on with it. IO_ERROR with errno EPROTO: it has failed, tls_reason()
 * says why; else as sock_recv. */
enum io tls_handshake(struct sock *sock) WARN_UNUSED;

/* Of this thread's last handshake that failed. A literal. */
const char *tls_reason(void);

/* As those of sock. */
enum io tls_recv(struct sock *sock, void *buffer, size_t size,
                 size_t *count) WARN_UNUSED;
enum io tls_peek(struct sock *sock, void *buffer, size_t size,
                 size_t *count) WARN_UNUSED;
enum io tls_send(struct sock *sock, const void *bytes, size_t size, bool last,
                 size_t *count) WARN_UNUSED;

/* Sends the close_notify, once. Answers as tls_send. */
enum io tls_finish(struct sock *sock) WARN_UNUSED;

/* Whether bytes were decrypted that nobody has read. */
bool tls_holds_bytes(const struct sock *sock);

/* Frees all; the descriptor is to be closed. */
void tls_end(struct sock *sock);

/* As sock_trim. */
bool tls_trim(void);

#endif
