/*
 * loopback: addresses of this machine: where the proxy listens, where its
 * upstreams are, and where clients come from.
 *
 * Addresses and ports are derived from the process id, so that several test
 * programs can run at once. Ports are below the ephemeral ones, which the
 * kernel gives away. Main thread only, except where stated.
 */
#ifndef EVPROXY_TESTS_E2E_LOOPBACK_H
#define EVPROXY_TESTS_E2E_LOOPBACK_H

#include <sys/socket.h>

struct loopback {
    char text[112]; /* as the configuration writes it */
};

/* A free port: on this program's own IPv4 address, or on a host such as
 * "[::1]", where "" stands for every address of both families. */
struct loopback loopback_new(void);
struct loopback loopback_on(const char *host);

/* "unix:" and a path in the test's directory. */
struct loopback loopback_unix(const char *name);

/* The other address's port, on that host. */
struct loopback loopback_at(const char *host, const struct loopback *other);

/* The local or the remote address of a socket. */
struct loopback loopback_local(int fd);
struct loopback loopback_remote(int fd);

/* IPv4 address number n of this program for clients to come from, without a
 * port; 1 to 60000. None is one of loopback_new. Valid until the next call. */
const char *loopback_source(unsigned n);

/* As the socket calls want it. */
struct socket_address {
    struct sockaddr_storage storage;
    socklen_t length;
};

/* -1: the text is no address. Any thread. */
int loopback_parse(const struct loopback *address, struct socket_address *to);

/* The same, but fails the test. */
struct socket_address loopback_resolve(const struct loopback *address);

/* A socket of that type (SOCK_STREAM, ...) bound there, or -1 with errno. */
int loopback_bind(const struct loopback *address, int type);

/* Binds a socket that is about to connect to an IP address without a port. */
void loopback_bind_source(int fd, const char *source);

#endif
