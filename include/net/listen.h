/*
 * listen: sockets that clients come to: bound, listening, and accepted from;
 * and bound ones for datagrams. One belongs to the thread that accepts from it;
 * the control thread may call listen_start on it.
 */
#ifndef EVPROXY_NET_LISTEN_H
#define EVPROXY_NET_LISTEN_H

#include "net/sock.h"

#include <stdbool.h>
#include <sys/types.h>

struct listen_options {
    uid_t owner;    /* see below */
    bool freebind;  /* the machine need not have the address */
    bool multipath; /* Multipath TCP, where the kernel has it; see
                       listen_is_multipath. Not of datagrams and paths */
    bool shares;    /* see below */
};

/*
 * A non-blocking socket bound to the endpoint; it does not listen yet. An IPv6
 * endpoint of all addresses takes IPv4 too, and becomes IPv4 on a machine
 * without IPv6. For a unix path, a socket file without a listener is
 * removed first. -1 with errno.
 *
 * The kernel lets sockets share a port only if they belong to one user. So a
 * process that will change its user gives the sockets to that user: the owner.
 *
 * The first socket of an address does not share the address, so no other
 * process can have it: bind(2), and for TCP also listen(2), fail with
 * EADDRINUSE while any process, also one of the same user, listens there. There
 * is no moment in which two processes both have the address. Connections of a
 * closed listener do not make the calls fail. After the first socket is bound
 * and listens, listen_share allows further sockets to share the address.
 */
int listen_bind(const struct endpoint *endpoint,
                const struct listen_options *options) WARN_UNUSED;

/* As listen_bind for datagrams, which arrive from now on. */
int listen_bind_datagram(const struct endpoint *endpoint,
                         const struct listen_options *options) WARN_UNUSED;

/* The same of a socket that another process has bound, before it listens to any
 * datagram that has not come yet. */
void listen_adopt_datagram(int fd, const struct endpoint *endpoint);

/* Lets later sockets of this user share the address: SO_REUSEPORT. */
void listen_share(int fd);

/* How many datagrams the kernel has dropped at the socket so far, mostly for
 * want of room, modulo 2^32; 0 if it does not tell. */
uint32_t listen_dropped(int fd);

/* 0 if a socket of that type (SOCK_STREAM, SOCK_DGRAM) can claim the IP
 * endpoint, else -1 with errno. Nothing is taken from sockets that are there.
 */
int listen_probe(const struct endpoint *endpoint, int type,
                 const struct listen_options *options) WARN_UNUSED;

/*
 * Sets how many bytes of datagrams the kernel may queue. It reserves twice as
 * much, for what it needs itself. Without CAP_NET_ADMIN net.core.rmem_max is
 * the most. 0: what net.core.rmem_default says.
 */
void listen_set_receive_buffer(int fd, uint32_t bytes);

/* Sets the options, which accepted connections inherit, and listens. Called
 * again, it changes them and the backlog. -1 with errno. */
int listen_start(int fd, const struct sock_options *options) WARN_UNUSED;

/* Whether the socket, which listens or was accepted, has Multipath TCP. The
 * kernel gives a client with plain TCP a plain socket. */
bool listen_is_multipath(int fd);

enum listen_accept {
    LISTEN_ACCEPTED,
    LISTEN_EMPTY,    /* no connection is queued */
    LISTEN_SHORTAGE, /* of descriptors or memory; errno */
};

/* Accepts the next connection, non-blocking. Skips those that died in the
 * queue. */
enum listen_accept listen_accept(int listen_fd, struct sock *sock,
                                 struct addr *client) WARN_UNUSED;

#endif
