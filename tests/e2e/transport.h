/*
 * transport: what carries the bytes of a socket: its own system calls, or TLS
 * (tls_socket.h).
 *
 * Everything here that sends, receives or ends a stream goes through it. What
 * looks at the socket alone does not. Any thread; two may use one socket if
 * only one of them sends.
 */
#ifndef EVPROXY_TESTS_E2E_TRANSPORT_H
#define EVPROXY_TESTS_E2E_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TRANSPORT_DESCRIPTORS_MAX 65536

struct transport {
    /* Answer as send(2) and recv(2) do. */
    ssize_t (*send)(int fd, const void *bytes, size_t count);
    ssize_t (*recv)(int fd, void *buffer, size_t size);
    /* Ends our stream: a FIN, and what precedes it. 0, or -1 with errno. */
    int (*finish)(int fd);
    /* Frees its state; the peer is told nothing. */
    void (*drop)(int fd);
};

/* Until the descriptor is closed. */
void transport_set(int fd, const struct transport *transport);
bool transport_is_plain(int fd);

ssize_t transport_send(int fd, const void *bytes, size_t count);
ssize_t transport_recv(int fd, void *buffer, size_t size);
int transport_finish(int fd);

/* Sends all of it: 0, or -1 with errno. ETIMEDOUT: the peer took no byte until
 * the deadline. */
int transport_send_all(int fd, const void *bytes, size_t count);

/* As recv(2), but waits, and only until the deadline, whether the socket blocks
 * or not. */
ssize_t transport_recv_wait(int fd, void *buffer, size_t size);

/* Closes. What is not plain finishes its stream first. */
void transport_close(int fd);

/* The close that follows sends a RST, and nothing before it. */
void transport_abort(int fd);

#endif
