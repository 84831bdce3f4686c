/*
 * ktls: TLS in the kernel: whether it has it, and records that are no data.
 * (kernel.org: networking/tls.) Any thread; a socket is its thread's.
 */
#ifndef EVPROXY_NET_KTLS_H
#define EVPROXY_NET_KTLS_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether this kernel speaks TLS. Asked when a context is made: to ask for a
 * module that is not there, with each connection, would be slow. */
bool ktls_available(void);

/*
 * Reads data, or with MSG_PEEK among the flags looks at it, from a socket whose
 * reading the kernel has taken over. IO_EOF: a close_notify. IO_ERROR with
 * errno: EPROTO for any other record that is no data, or the end of the
 * connection without one; IO_AGAIN and IO_BUSY as sock_recv.
 */
enum io ktls_recv(int fd, void *buffer, size_t size, int flags,
                  size_t *count) WARN_UNUSED;

/* Sends a close_notify. */
enum io ktls_finish(int fd) WARN_UNUSED;

#endif
