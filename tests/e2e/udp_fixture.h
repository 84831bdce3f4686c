/*
 * udp_fixture: a proxy with one service "web" of mode udp, whose upstream is a
 * socket of the test. Main thread only.
 *
 * global and service are lines of the two sections. Unless global says
 * otherwise there is one worker, and a drain ends all sessions after 50 ms.
 */
#ifndef EVPROXY_TESTS_E2E_UDP_FIXTURE_H
#define EVPROXY_TESTS_E2E_UDP_FIXTURE_H

#include "loopback.h"
#include "proxy.h"

#include <stdint.h>

struct udp_fixture {
    struct loopback front;
    struct loopback back;
    int upstream; /* bound at back */
    struct proxy *proxy;
};

/* The second form names the front address, and options that follow the address
 * of the upstream. */
void udp_fixture_open(struct udp_fixture *fixture, const char *global,
                      const char *service);
void udp_fixture_open_at(struct udp_fixture *fixture,
                         const struct loopback *front,
                         const char *upstream_options, const char *global,
                         const char *service);

/* Stops the proxy. */
void udp_fixture_close(struct udp_fixture *fixture);

/* Reloads with that address and these lines of the service. */
void udp_fixture_reload(const struct udp_fixture *fixture,
                        const struct loopback *front, const char *service);

/* A datagram to the upstream and one back. Answers the session's address, as
 * the upstream sees it. */
struct socket_address udp_fixture_ping(const struct udp_fixture *fixture,
                                       int client);

/* A value of the service's stats line. */
uint64_t udp_fixture_stat(const struct udp_fixture *fixture, const char *key);

/* Every session that was accepted is active or has ended. */
void udp_fixture_expect_balanced(const struct udp_fixture *fixture);

/* A new client from a source, or NULL, gets no session: its datagram is
 * dropped, by that cause. */
void udp_fixture_expect_refused(const struct udp_fixture *fixture,
                                const char *source, const char *cause);

/* One thread sends back what that socket receives, until it is stopped; the
 * second does nothing where there is none. */
void udp_echo_start(int fd);
void udp_echo_stop(void);

#endif
