#include "control/claims.h"

#include "control/holder.h"
#include "net/listen.h"
#include "proxy/socket_options.h"

#include <errno.h>

static int type_of(const struct listen_socket *listen)
{
    return listen->service->config->mode == CONFIG_UDP ? SOCK_DGRAM
                                                       : SOCK_STREAM;
}

static bool is_unix(const struct listen_socket *listen)
{
    return listen->endpoint.u.any.sa_family == AF_UNIX;
}

static bool overlap(const struct endpoint *a, const struct endpoint *b)
{
    return endpoint_port(a) == endpoint_port(b) &&
           (endpoint_equal(a, b) || endpoint_covers(a, b) ||
            endpoint_covers(b, a));
}

static bool has_overlap(const struct listen_socket *list, size_t count,
                        const struct listen_socket *listen)
{
    for (size_t i = 0; i < count; i++) {
        if (type_of(&list[i]) == type_of(listen) &&
            overlap(&list[i].endpoint, &listen->endpoint)) {
            return true;
        }
    }
    return false;
}

static bool was_handed(const struct handed *handed,
                       const struct listen_socket *listen)
{
    for (size_t i = 0; handed != NULL && i < handed->count; i++) {
        if (handed->list[i].type == type_of(listen) &&
            overlap(&handed->list[i].endpoint, &listen->endpoint)) {
            return true;
        }
    }
    return false;
}

/* Whether this process has an address in the way, as :80 is in the way of
 * 127.0.0.1:80, so that it must share. */
static bool is_ours(const struct claims *claims,
                    const struct listen_socket *listen)
{
    const struct generation *running = claims->running;

    return has_overlap(claims->wanted->listens, claims->count, listen) ||
           (running != NULL &&
            has_overlap(running->listens, running->listen_count, listen)) ||
           was_handed(claims->handed, listen);
}

static int bind_one(const struct listen_socket *listen, uid_t owner,
                    bool shares)
{
    const struct listen_options options = {.owner = owner,
                                           .freebind = listen->freebind,
                                           .multipath = listen->multipath,
                                           .shares = shares};

    return type_of(listen) == SOCK_DGRAM
               ? listen_bind_datagram(&listen->endpoint, &options)
               : listen_bind(&listen->endpoint, &options);
}

int claims_bind(const struct claims *claims, const struct listen_socket *listen)
{
    uid_t owner = claims->owner;
    int fd = bind_one(listen, owner, false);
    size_t own, others;

    if (fd >= 0 || errno != EADDRINUSE || is_unix(listen)) {
        return fd;
    }
    if (is_ours(claims, listen)) {
        return bind_one(listen, owner, true);
    }
    /* A worker may have an address still that an earlier reload took away. */
    holder_count(&listen->endpoint, type_of(listen), &own, &others);
    if (others > 0) {
        errno = EADDRINUSE;
        return -1;
    }
    return bind_one(listen, owner, own > 0);
}

int claims_bind_next(const struct claims *claims,
                     const struct listen_socket *listen)
{
    return bind_one(listen, claims->owner, true);
}

int claims_listen(const struct claims *claims,
                  const struct listen_socket *listen)
{
    struct sock_options options = socket_options_of(listen->service->config);
    int fd = listen->fds[0];
    int result;

    if (type_of(listen) == SOCK_DGRAM || fd < 0) {
        return 0; /* datagrams arrive as soon as it is bound */
    }
    result = listen_start(fd, &options);
    if (listen->inherited || is_unix(listen)) {
        return result;
    }
    if (result < 0 && (errno != EADDRINUSE || !is_ours(claims, listen))) {
        return -1;
    }
    listen_share(fd);
    return result < 0 ? listen_start(fd, &options) : 0;
}
