#include "control/listeners.h"

#include "base/log.h"
#include "control/claims.h"
#include "control/private_tmp.h"
#include "net/listen.h"
#include "proxy/socket_options.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The sockets of one address; listen_socket.fds points to its fds, and dropped
 * behind these. */
struct listener_set {
    unsigned holders;  /* generations that have it */
    dev_t path_device; /* of the socket file, which is removed only if it is */
    ino_t path_inode;  /* still the one that was made here */
    int fds[];
};

static struct listener_set *set_of(const struct listen_socket *listen)
{
    return container_of(listen->fds, struct listener_set, fds[0]);
}

static bool is_unix(const struct endpoint *endpoint)
{
    return endpoint->u.any.sa_family == AF_UNIX;
}

static bool is_udp(const struct listen_socket *listen)
{
    return listen->service->config->mode == CONFIG_UDP;
}

static void release(struct listen_socket *listen)
{
    struct listener_set *set;

    if (listen->fds == NULL) {
        return;
    }
    set = set_of(listen);
    listen->fds = NULL;
    listen->dropped = NULL;
    if (--set->holders == 0) {
        free(set);
    }
}

static void share(struct listen_socket *listen,
                  const struct listen_socket *from)
{
    listen->fds = from->fds;
    listen->dropped = from->dropped;
    listen->inherited = from->inherited;
    set_of(listen)->holders++;
}

static void remember_path(struct listener_set *set,
                          const struct endpoint *endpoint)
{
    struct stat status;

    if (is_unix(endpoint) && stat(endpoint->u.un.sun_path, &status) == 0) {
        set->path_device = status.st_dev;
        set->path_inode = status.st_ino;
    }
}

static void unlink_path(const struct listen_socket *listen)
{
    const struct listener_set *set = set_of(listen);
    const char *path = listen->endpoint.u.un.sun_path;
    struct stat status;

    if (is_unix(&listen->endpoint) && stat(path, &status) == 0 &&
        status.st_dev == set->path_device && status.st_ino == set->path_inode) {
        unlink(path);
    }
}

static void close_all(struct listen_socket *listen, unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        if (listen->fds[i] >= 0) {
            close(listen->fds[i]);
        }
    }
    unlink_path(listen);
    release(listen);
}

static int type_of(const struct listen_socket *listen)
{
    return is_udp(listen) ? SOCK_DGRAM : SOCK_STREAM;
}

static int bind_all(const struct claims *claims,
                    const struct listen_socket *listen, unsigned workers)
{
    listen->fds[0] = claims_bind(claims, listen);
    if (listen->fds[0] < 0) {
        return -1;
    }
    remember_path(set_of(listen), &listen->endpoint);
    if (is_udp(listen)) {
        listen_share(listen->fds[0]);
    }
    for (unsigned i = 1; i < workers; i++) {
        listen->fds[i] = is_unix(&listen->endpoint)
                             ? fcntl(listen->fds[0], F_DUPFD_CLOEXEC, 0)
                             : claims_bind_next(claims, listen);
        if (listen->fds[i] < 0) {
            return -1;
        }
    }
    return 0;
}

/* Each socket must have a worker, or what comes to it would wait for ever. */
static int check_count(const struct listen_socket *listen, size_t count,
                       unsigned workers)
{
    char text[ADDR_TEXT_MAX], quoted[LOG_QUOTED_MAX(ADDR_TEXT_MAX)];

    if (count <= workers) {
        return 0;
    }
    log_write(LOG_ERROR,
              "inherited address=%s error=\"%zu sockets, but workers = %u\"",
              log_quote(endpoint_format(&listen->endpoint, text), quoted,
                        sizeof(quoted)),
              count, workers);
    errno = EUSERS;
    return -1;
}

/* Takes the sockets that were passed on for the address, of which there are
 * some. */
static int take_inherited(const struct listen_socket *listen,
                          struct inherited *inherited, size_t count,
                          unsigned workers)
{
    int type = type_of(listen);

    if (check_count(listen, count, workers) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < workers; i++) {
        if (is_udp(listen) && i >= count) {
            break;
        }
        listen->fds[i] =
            inherited_take(inherited, type, &listen->endpoint, i % count);
        if (listen->fds[i] < 0) {
            return -1;
        }
        if (is_udp(listen)) {
            listen_adopt_datagram(listen->fds[i], &listen->endpoint);
            listen->dropped[i] = listen_dropped(listen->fds[i]);
        }
    }
    return 0;
}

/* Takes the sockets that the process before had for the address. False: there
 * are none. What it had for no worker is opened. */
static bool take_handed(struct listen_socket *listen, struct handed *handed,
                        unsigned workers)
{
    bool found = false;

    /* The path is not ours until the upgrade has succeeded. */
    for (unsigned i = 0; i < workers; i++) {
        const struct handed_socket *socket =
            handed_take(handed, type_of(listen), &listen->endpoint, i);

        if (socket != NULL) {
            listen->fds[i] = socket->fd;
            listen->inherited = socket->inherited;
            listen->dropped[i] = socket->dropped_known
                                     ? socket->dropped
                                     : listen_dropped(socket->fd);
            found = true;
        }
    }
    return found;
}

static int open_address(const struct claims *claims,
                        const struct listeners_origin *origin,
                        struct listen_socket *listen, unsigned workers)
{
    struct listener_set *set =
        calloc(1, sizeof(*set) + workers * (sizeof(set->fds[0]) +
                                            sizeof(listen->dropped[0])));
    size_t count = 0;

    if (set == NULL) {
        return -1;
    }
    set->holders = 1;
    memset(set->fds, 0xff, workers * sizeof(set->fds[0]));
    listen->fds = set->fds;
    listen->dropped = (uint32_t *)&set->fds[workers];
    if (origin->handed != NULL &&
        take_handed(listen, origin->handed, workers)) {
        return 0;
    }
    if (origin->inherited != NULL) {
        count = inherited_count(origin->inherited, type_of(listen),
                                &listen->endpoint);
    }
    listen->inherited = count > 0;
    return count > 0 ? take_inherited(listen, origin->inherited, count, workers)
                     : bind_all(claims, listen, workers);
}

/* Datagrams arrive as soon as it is bound. */
static void set_receive_buffers(const struct listen_socket *listen,
                                unsigned workers)
{
    for (unsigned i = 0; i < workers; i++) {
        if (listen->fds[i] >= 0) {
            listen_set_receive_buffer(
                listen->fds[i], listen->service->config->udp_receive_buffer);
        }
    }
}

static int listen_from(const struct listen_socket *listen, unsigned first,
                       unsigned workers)
{
    struct sock_options options = socket_options_of(listen->service->config);

    if (is_udp(listen)) {
        set_receive_buffers(listen, workers);
        return 0;
    }
    for (unsigned i = first; i < workers; i++) {
        if (listen->fds[i] >= 0 && listen_start(listen->fds[i], &options) < 0) {
            return -1;
        }
    }
    return 0;
}

/* Says once that the kernel has none, of however many addresses. */
static void check_multipath(const struct generation *generation)
{
    char text[ADDR_TEXT_MAX], quoted[LOG_QUOTED_MAX(ADDR_TEXT_MAX)];

    for (size_t i = 0; i < generation->listen_count; i++) {
        const struct listen_socket *listen = &generation->listens[i];

        if (!listen->multipath || is_unix(&listen->endpoint) ||
            listen->fds[0] < 0 || listen_is_multipath(listen->fds[0])) {
            continue;
        }
        log_write(LOG_WARN, "listen address=%s error=\"%s\"",
                  log_quote(endpoint_format(&listen->endpoint, text), quoted,
                            sizeof(quoted)),
                  "no Multipath TCP: the kernel has none (net.mptcp.enabled), "
                  "or the socket was passed on without");
        break;
    }
}

/* A socket that the service manager has passed on was made outside. */
static void check_private(const struct generation *wanted,
                          const struct reload_plan *plan)
{
    char text[ADDR_TEXT_MAX], quoted[LOG_QUOTED_MAX(ADDR_TEXT_MAX)];

    for (size_t i = 0; i < plan->listen_count; i++) {
        const struct listen_socket *listen = &wanted->listens[i];

        if (plan->listens[i].action != RELOAD_OPEN || listen->inherited ||
            !is_unix(&listen->endpoint) ||
            !private_tmp_hides(PRIVATE_TMP_MOUNTS,
                               listen->endpoint.u.un.sun_path)) {
            continue;
        }
        log_write(LOG_WARN, "listen address=%s error=\"%s\"",
                  log_quote(endpoint_format(&listen->endpoint, text), quoted,
                            sizeof(quoted)),
                  "no other process sees it: the unit has PrivateTmp=yes; "
                  "/run/evproxy is visible");
    }
}

int listeners_open(struct generation *wanted, const struct generation *running,
                   const struct reload_plan *plan,
                   const struct listeners_origin *origin,
                   const struct listen_socket **failed)
{
    struct claims claims = {.wanted = wanted,
                            .running = running,
                            .handed = origin->handed,
                            .owner = origin->owner};
    struct listen_socket *listens = wanted->listens;
    size_t i;
    int error;

    assert(plan->listen_count == wanted->listen_count);
    for (i = 0; i < plan->listen_count; i++) {
        /* A TCP socket that is bound and does not listen does not conflict. */
        claims.count = is_udp(&listens[i]) ? i : 0;
        if (plan->listens[i].action == RELOAD_KEEP) {
            share(&listens[i], &running->listens[plan->listens[i].old_index]);
        } else if (open_address(&claims, origin, &listens[i], wanted->workers) <
                   0) {
            goto fail;
        }
    }
    for (i = 0; i < plan->listen_count; i++) {
        claims.count = i;
        if (plan->listens[i].action == RELOAD_OPEN &&
            (claims_listen(&claims, &listens[i]) < 0 ||
             listen_from(&listens[i], 1, wanted->workers) < 0)) {
            goto fail;
        }
    }
    check_multipath(wanted);
    check_private(wanted, plan);
    return 0;

fail:
    error = errno;
    *failed = &listens[i];
    listeners_abandon(wanted, plan);
    errno = error;
    return -1;
}

void listeners_abandon(struct generation *wanted,
                       const struct reload_plan *plan)
{
    for (size_t i = 0; i < plan->listen_count; i++) {
        struct listen_socket *listen = &wanted->listens[i];

        if (listen->fds == NULL) {
            continue;
        }
        if (plan->listens[i].action == RELOAD_OPEN) {
            close_all(listen, wanted->workers);
        } else {
            release(listen);
        }
    }
}

static bool same_options(const struct config_service *a,
                         const struct config_service *b)
{
    struct sock_options one = socket_options_of(a);
    struct sock_options two = socket_options_of(b);

    return a->mode == CONFIG_UDP
               ? a->udp_receive_buffer == b->udp_receive_buffer
               : socket_options_equal(&one, &two);
}

static void update_options(const struct listen_socket *listen,
                           const struct listen_socket *before, unsigned workers)
{
    char text[ADDR_TEXT_MAX], quoted[LOG_QUOTED_MAX(ADDR_TEXT_MAX)];

    if (!same_options(listen->service->config, before->service->config) &&
        listen_from(listen, 0, workers) < 0) {
        log_write(LOG_WARN, "listen address=%s error=\"%s\"",
                  log_quote(endpoint_format(&listen->endpoint, text), quoted,
                            sizeof(quoted)),
                  strerror(errno));
    }
}

void listeners_commit(const struct generation *wanted,
                      const struct generation *running,
                      const struct reload_plan *plan)
{
    for (size_t i = 0; i < plan->listen_count; i++) {
        const struct reload_listen *step = &plan->listens[i];

        if (step->action == RELOAD_KEEP) {
            update_options(&wanted->listens[i],
                           &running->listens[step->old_index], wanted->workers);
        }
    }
    for (size_t i = 0; i < plan->close_count; i++) {
        unlink_path(&running->listens[plan->closes[i]]);
    }
}

void listeners_release(struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        release(&generation->listens[i]);
    }
}

void listeners_disown(struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        set_of(&generation->listens[i])->path_inode = 0;
    }
}

void listeners_own(struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listen_socket *listen = &generation->listens[i];

        if (!listen->inherited) {
            remember_path(set_of(listen), &listen->endpoint);
        }
    }
}

void listeners_unlink(const struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        unlink_path(&generation->listens[i]);
    }
}

/* All addresses, in the order of the listens, in an array to be freed, even if
 * there are none. */
static struct reload_address *addresses_of(const struct generation *generation)
{
    struct reload_address *list =
        calloc(generation->listen_count + 1, sizeof(*list));

    for (size_t i = 0; list != NULL && i < generation->listen_count; i++) {
        list[i].endpoint = generation->listens[i].endpoint;
        list[i].mode = generation->listens[i].service->config->mode;
        list[i].multipath = generation->listens[i].multipath;
    }
    return list;
}

int listeners_plan(struct reload_plan *plan, const struct generation *running,
                   const struct config *wanted)
{
    struct reload_address *open = NULL;
    int result;

    if (running == NULL) {
        return reload_plan(plan, NULL, 0, wanted);
    }
    open = addresses_of(running);
    if (open == NULL) {
        return -1;
    }
    result = reload_plan(plan, open, running->listen_count, wanted);
    free(open);
    return result;
}
