/*
 * tls_socket: TLS at our end of a socket, by OpenSSL, as client or as server.
 *
 * After the handshake TLS is the socket's transport, so all functions of
 * socket.h, expect.h and stream.h are about the plaintext: socket_finish sends
 * a close_notify and a FIN, expect_eof wants a close_notify, expect_reset a
 * reset without one, and streams can run both ways at once. A stream that ends
 * without a close_notify answers EPROTO, as does every breach of the protocol.
 *
 * Main thread only, and failures fail the test, except where any thread is
 * stated.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_SOCKET_H
#define EVPROXY_TESTS_E2E_TLS_SOCKET_H

#include "loopback.h"
#include "server.h"
#include "tls_options.h"

#include <stddef.h>

/* 0, or -1, and tls_socket_error tells why. Any thread. */
int tls_socket_handshake(int fd, const struct tls_options *options,
                         bool server);
const char *tls_socket_error(void); /* of this thread */

/* The handshake on a socket that stands already; or all of it. */
void tls_socket_start_client(int fd, const struct tls_options *options);
void tls_socket_start_server(int fd, const struct tls_options *options);
int tls_socket_connect(const struct loopback *address,
                       const struct tls_options *options);
int tls_socket_accept(int listener, const struct tls_options *options);

/* Writes the ClientHello that a client would send; answers its size. */
size_t tls_socket_hello(const struct tls_options *options, void *buffer,
                        size_t size);

/* What was agreed on. Texts are "" where there is none, and valid until the
 * next call, or as long as the socket. */
SSL *tls_socket_ssl(int fd);
const char *tls_socket_peer(int fd);         /* its certificate's common name */
const char *tls_socket_alpn(int fd);         /* the protocol chosen */
const char *tls_socket_server_name(int fd);  /* a server: the client's SNI */
const char *tls_socket_offered_alpn(int fd); /* a server: the client's list */

/* To be freed by SSL_SESSION_free. With TLS 1.3 the ticket comes before the
 * first bytes, so some must have been read. */
SSL_SESSION *tls_socket_session(int fd);

void tls_socket_close_notify(int fd); /* and no FIN */
void tls_socket_truncate(int fd);     /* a FIN, and no close_notify */

/* For server_start: accepts TLS, then serves. */
struct tls_service {
    struct tls_options options;
    server_fn serve;
    const void *arg;
};
void serve_tls(int fd, const void *service);

#endif
