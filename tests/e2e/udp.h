/*
 * udp: datagram sockets of the test, all non-blocking and owned as those of
 * socket.h are. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_UDP_H
#define EVPROXY_TESTS_E2E_UDP_H

#include "loopback.h"

#include <stddef.h>

#define UDP_PAYLOAD_MAX 65507 /* over IPv4 */

/* A socket that is bound there; and a client's, connected, so that it receives
 * from nobody else. The source is an IP address or NULL. */
int udp_bind(const struct loopback *address);
int udp_connect(const char *source, const struct loopback *address);

/* One datagram of a connected socket. */
void udp_send(int fd, const void *bytes, size_t count);

/* The next datagram must be this one; it comes from *sender. */
void udp_expect(int fd, const void *bytes, size_t count);
void udp_expect_from(int fd, const void *bytes, size_t count,
                     struct socket_address *sender);

/* One datagram to the sender of another. */
void udp_reply(int fd, const struct socket_address *sender, const void *bytes,
               size_t count);

/* Fills bytes so that each position differs from its neighbours. */
void udp_fill(char *bytes, size_t count);

/*
 * A GSO batch: one message to the kernel, which divides it into UDP_BATCH_COUNT
 * datagrams of UDP_BATCH_EACH bytes and one of a single byte. Skips the test
 * where the kernel has no GSO for UDP. sender NULL: fd is connected.
 */
#define UDP_BATCH_EACH  300
#define UDP_BATCH_COUNT 20
#define UDP_BATCH_BYTES (UDP_BATCH_COUNT * UDP_BATCH_EACH + 1)

void udp_send_batch(int fd, const struct socket_address *sender,
                    const char *bytes);
void udp_expect_batch(int fd, const char *bytes);

#endif
