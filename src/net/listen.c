#include "net/listen.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

/* Dead connections that one call skips. Without a bound, clients that abort
 * could hold the thread here. */
#define ACCEPT_SKIP_MAX 64

/* Where Multipath TCP is missing, of plain TCP. */
static int open_family(int family, int type, bool multipath)
{
    int fd = -1;

    if (multipath && type == SOCK_STREAM && family != AF_UNIX) {
        fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_MPTCP);
    }
    return fd >= 0 ? fd
                   : socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Opens a socket of that type. Where IPv6 is missing, an endpoint of all
 * addresses is changed to IPv4. */
static int open_socket(struct endpoint *endpoint, int type, bool multipath)
{
    int family = endpoint->u.any.sa_family;
    int fd = open_family(family, type, multipath);

    if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 &&
        IN6_IS_ADDR_UNSPECIFIED(&endpoint->u.in6.sin6_addr)) {
        in_port_t port = endpoint->u.in6.sin6_port;

        endpoint->u.in =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        endpoint->length = sizeof(endpoint->u.in);
        fd = open_family(AF_INET, type, multipath);
    }
    return fd;
}

/* Removes the file of a unix socket on which nobody listens any more. */
static bool remove_stale(const struct endpoint *endpoint)
{
    const char *path = endpoint->u.un.sun_path;
    struct stat file;
    bool stale;
    int fd;

    if (lstat(path, &file) < 0 || !S_ISSOCK(file.st_mode)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    stale = connect(fd, &endpoint->u.any, endpoint->length) < 0 &&
            errno == ECONNREFUSED;
    close(fd);
    return stale && unlink(path) == 0;
}

/* Before bind: a datagram that arrived without the option would not tell its
 * destination address. Of IPv4 on an IPv6 socket only IP_PKTINFO tells whether
 * that is a broadcast address. */
static void report_destination(int fd, int family)
{
    if (family == AF_INET6) {
        sock_set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    }
    sock_set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
}

static int bind_socket(int fd, const struct endpoint *endpoint, int type,
                       bool shares)
{
    if (endpoint->u.any.sa_family != AF_UNIX) {
        /* For datagrams SO_REUSEADDR would let others take the port over. */
        sock_set_int(fd, SOL_SOCKET, SO_REUSEADDR, type == SOCK_STREAM);
        sock_set_int(fd, SOL_SOCKET, SO_REUSEPORT, shares);
    }
    if (endpoint->u.any.sa_family == AF_INET6) {
        sock_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY,
                     !IN6_IS_ADDR_UNSPECIFIED(&endpoint->u.in6.sin6_addr));
    }
    if (type == SOCK_DGRAM) {
        report_destination(fd, endpoint->u.any.sa_family);
    }
    if (bind(fd, &endpoint->u.any, endpoint->length) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE || endpoint->u.any.sa_family != AF_UNIX) {
        return -1;
    }
    if (!remove_stale(endpoint)) {
        errno = EADDRINUSE;
        return -1;
    }
    return bind(fd, &endpoint->u.any, endpoint->length);
}

static int open_bound(const struct endpoint *endpoint, int type,
                      const struct listen_options *options)
{
    struct endpoint local = *endpoint;
    int fd = open_socket(&local, type, options->multipath);
    int error;

    if (fd < 0) {
        return -1;
    }
    if (options->freebind && local.u.any.sa_family != AF_UNIX) {
        /* Of both families, in spite of its name. */
        sock_set_int(fd, IPPROTO_IP, IP_FREEBIND, 1);
    }
    if (options->owner != geteuid()) {
        /* Without the right to do so it works, but for a later socket that
         * overlaps with this one. */
        (void)!fchown(fd, options->owner, (gid_t)-1);
    }
    if (bind_socket(fd, &local, type, options->shares) < 0) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int listen_bind(const struct endpoint *endpoint,
                const struct listen_options *options)
{
    return open_bound(endpoint, SOCK_STREAM, options);
}

int listen_bind_datagram(const struct endpoint *endpoint,
                         const struct listen_options *options)
{
    return open_bound(endpoint, SOCK_DGRAM, options);
}

void listen_share(int fd)
{
    sock_set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

void listen_adopt_datagram(int fd, const struct endpoint *endpoint)
{
    report_destination(fd, endpoint->u.any.sa_family);
}

uint32_t listen_dropped(int fd)
{
    uint32_t figures[SK_MEMINFO_VARS] = {0};
    socklen_t length = sizeof(figures);

    /* Linux 4.12; before, all stay 0. */
    (void)getsockopt(fd, SOL_SOCKET, SO_MEMINFO, figures, &length);
    return figures[SK_MEMINFO_DROPS];
}

/* What a new socket has. */
static int default_receive_buffer(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int bytes = 0;
    socklen_t length = sizeof(bytes);

    if (fd >= 0) {
        (void)getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &length);
        close(fd);
    }
    return bytes / 2; /* it is told without what the kernel adds */
}

void listen_set_receive_buffer(int fd, uint32_t bytes)
{
    int size = bytes > 0 ? (int)bytes : default_receive_buffer();

    if (size > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0) {
        sock_set_int(fd, SOL_SOCKET, SO_RCVBUF, size);
    }
}

int listen_probe(const struct endpoint *endpoint, int type,
                 const struct listen_options *options)
{
    int fd = open_bound(endpoint, type, options);

    return fd < 0 ? -1 : close(fd);
}

int listen_start(int fd, const struct sock_options *options)
{
    sock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    sock_set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    sock_replace_options(fd, options);
    sock_set_int(fd, IPPROTO_TCP, TCP_FASTOPEN, (int)options->fastopen_queue);
    return listen(fd, (int)options->backlog);
}

bool listen_is_multipath(int fd)
{
    int protocol = 0;
    socklen_t length = sizeof(protocol);

    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
           protocol == IPPROTO_MPTCP;
}

/* Whether the error is that of one connection, which died in the queue, or of
 * the network: accept(2). */
static bool error_passes(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM: /* a firewall rule */
        return true;
    default:
        return false;
    }
}

enum listen_accept listen_accept(int listen_fd, struct sock *sock,
                                 struct addr *client)
{
    struct endpoint peer = {0};

    for (int skipped = 0; skipped < ACCEPT_SKIP_MAX; skipped++) {
        peer.length = sizeof(peer.u);
        sock->fd = accept4(listen_fd, &peer.u.any, &peer.length,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (sock->fd >= 0) {
            sock->ready = SOCK_WRITABLE;
            /* The listener's options are inherited. */
            sock->options = SOCK_OPTION_NODELAY | SOCK_OPTION_ALL;
            sock->tls = 0;
            addr_from_sockaddr(client, &peer.u.any);
            if (client->family == AF_UNIX) {
                sock->options |= SOCK_OPTION_UNIX;
            }
            return LISTEN_ACCEPTED;
        }
        if (errno == EAGAIN) {
            return LISTEN_EMPTY;
        }
        if (!error_passes(errno)) {
            return LISTEN_SHORTAGE;
        }
    }
    return LISTEN_EMPTY;
}
