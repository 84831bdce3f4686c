/*
 * server: upstreams that serve by themselves, each connection in a thread; and
 * addresses where nobody does. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_SERVER_H
#define EVPROXY_TESTS_E2E_SERVER_H

#include "loopback.h"

struct server;

/* Serves one connection (serve.h has some). The socket is blocking, and the
 * server closes it afterwards. When the server is stopped, recv answers 0. */
typedef void (*server_fn)(int fd, const void *arg);

/* arg must live as long as the server. */
struct server *server_start(const struct loopback *address, server_fn serve,
                            const void *arg);

/* How many connections it has accepted. */
unsigned server_accepted(struct server *server);

/* Ends its connections, and frees it. What a test leaves is stopped after it.
 */
void server_stop(struct server *server);
void server_stop_all(void);

/* An address that refuses connections, and one that answers nothing, as its
 * queue is full. They last until the test closes all its sockets. */
struct loopback server_refusing(void);
struct loopback server_silent(void);

#endif
