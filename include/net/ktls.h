/*
 * ktls: TLS of the kernel (kernel.org: networking/tls): whether it is there,
 * and records that are no data. Any thread; a socket belongs to one.
 */
#ifndef EVPROXY_NET_KTLS_H
#define EVPROXY_NET_KTLS_H

#include "base/base.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether this kernel has TLS. To be asked once for a context: without the
 * module, each connection would make the kernel look for it in vain. */
bool ktls_available(void);

/*
 * Reads data by recvmsg with these flags from a socket whose reading the kernel
 * has taken over. IO_EOF: a close_notify. IO_ERROR with EPROTO: any other
 * record that is no data, or too many without any; with ECONNRESET: an end
 * without close_notify. Else as sock_recv.
 */
enum io ktls_recv(int fd, void *buffer, size_t size, int flags,
                  size_t *count) WARN_UNUSED;

/* Sends a close_notify. */
enum io ktls_finish(int fd) WARN_UNUSED;

#endif
