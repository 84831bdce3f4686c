/*
 * tls_expect: what a client with TLS must meet, beyond expect.h. Main thread
 * only.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_EXPECT_H
#define EVPROXY_TESTS_E2E_TLS_EXPECT_H

#include "loopback.h"
#include "tls_options.h"

/* Connects, and is refused at its first read at the latest: with TLS 1.3 a
 * client has finished its handshake before the server verifies its certificate.
 * The reason is a part of OpenSSL's message; NULL: any. */
void tls_expect_connect_refused(const struct loopback *address,
                                const struct tls_options *options,
                                const char *reason);

/* A FIN, and nothing else, behind the close_notify that was read. */
void tls_expect_fin(int fd);

#endif
