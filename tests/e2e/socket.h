/*
 * socket: TCP and unix sockets of the test itself, all non-blocking.
 *
 * Each belongs to the test until it is closed; what a test leaves open is
 * closed after it. What goes wrong fails the test, so: main thread only, except
 * socket_connect_blocking.
 */
#ifndef EVPROXY_TESTS_E2E_SOCKET_H
#define EVPROXY_TESTS_E2E_SOCKET_H

#include "loopback.h"

#include <stddef.h>

/* Gives a descriptor to the test, or takes it away again. Answer fd. */
int socket_adopt(int fd);
int socket_disown(int fd);

int socket_listen(const struct loopback *address);
int socket_listen_backlog(const struct loopback *address, int backlog);

/* Waits for a client. */
int socket_accept(int listener);

/* Waits until the connection stands. The source is an IP address or NULL. */
int socket_connect(const struct loopback *address);
int socket_connect_from(const char *source, const struct loopback *address);
/* With a receive buffer of a few kilobytes. */
int socket_connect_narrow(const struct loopback *address);
/* -1 with errno where the others fail the test. */
int socket_try_connect(const char *source, const struct loopback *address);

/* For clients in threads: a blocking socket that the caller closes, or -1. */
int socket_connect_blocking(const struct loopback *address);

void socket_close(int fd);
void socket_close_all(void);
void socket_reset(int fd); /* closes with a RST */
void socket_finish(int fd);

/* For the end of a failed test: wakes the threads that are blocked in a socket.
 */
void socket_shutdown_all(void);

void socket_send(int fd, const void *bytes, size_t count);
void socket_send_text(int fd, const char *text);
void socket_send_urgent(int fd, char byte);
/* The bytes and the FIN, in one segment if they fit. */
void socket_send_last(int fd, const void *bytes, size_t count);

/* Waits until the peer's kernel has all that was sent. */
void socket_await_acknowledged(int fd);

/* Sends until the socket has taken nothing for so long; answers how much it
 * took. */
size_t socket_fill(int fd, int quiet_ms);

#endif
