#include "control/preflight.h"

#include "control/capacity.h"
#include "control/credentials.h"
#include "control/descriptors.h"
#include "control/holder.h"
#include "control/privileges.h"
#include "control/workers.h"
#include "net/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 0, or what a start would fail with. No connection to a listener is made: it
 * would be one of its clients. */
static int probe_unix(const struct endpoint *endpoint, struct holder *holder)
{
    struct stat status;

    if (lstat(endpoint->u.un.sun_path, &status) < 0) {
        return 0; /* its folder may be made at the start (RuntimeDirectory=) */
    }
    if (!S_ISSOCK(status.st_mode)) {
        return EEXIST;
    }
    holder_find(endpoint, SOCK_STREAM, holder);
    /* A start removes the file of a socket without a listener. */
    return holder->kind == HOLDER_UNKNOWN ? 0 : EADDRINUSE;
}

/* Whether the error may be of this process alone. */
static bool is_pardoned(int error, const struct holder *holder, bool as_service)
{
    switch (error) {
    case EADDRINUSE:
        return holder->kind == HOLDER_OURS ||
               (holder->kind == HOLDER_UNKNOWN && !as_service);
    case EACCES:
        return !as_service && geteuid() != 0;
    default:
        return false;
    }
}

/*
 * 0, or the errno that a start would fail with. A search for the holder is slow
 * where thousands of ports are open. So if evproxy holds the port before in the
 * range, it is taken for the holder of this one too, without a search, if this
 * port can be shared: then all its sockets are of our user. Datagram ports are
 * not tested for that, as the socket of the test would receive datagrams.
 */
static int probe_ip(const struct endpoint *endpoint, int type,
                    const struct listen_options *options, struct holder *holder)
{
    struct listen_options shared = *options;

    if (listen_probe(endpoint, type, options) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return errno;
    }
    shared.shares = true;
    if (holder->kind != HOLDER_OURS ||
        (type == SOCK_STREAM && listen_probe(endpoint, type, &shared) < 0)) {
        holder_find(endpoint, type, holder);
    }
    return EADDRINUSE;
}

/* False: an error was added, in that line. The holder is that of the port
 * before in its range. */
static bool check_listen(const struct endpoint *endpoint, unsigned line,
                         int type, const struct listen_options *options,
                         bool as_service, struct holder *holder,
                         struct config_errors *errors)
{
    char text[ADDR_TEXT_MAX], who[HOLDER_TEXT_MAX];
    int error = endpoint->u.any.sa_family == AF_UNIX
                    ? probe_unix(endpoint, holder)
                    : probe_ip(endpoint, type, options, holder);

    if (error == 0 || is_pardoned(error, holder, as_service)) {
        return true;
    }
    config_errors_add(errors, line, "cannot listen on %s: %s%s",
                      endpoint_format(endpoint, text), strerror(error),
                      holder_format(holder, who));
    return false;
}

/* Of the ports of a range the first with an error is told. */
static void check_ports(const struct config *config, size_t service,
                        size_t listen, uid_t owner, bool as_service,
                        struct config_errors *errors)
{
    const struct config_service *of = &config->services[service];
    const struct config_listen *ports = &of->listens[listen];
    int type = of->mode == CONFIG_UDP ? SOCK_DGRAM : SOCK_STREAM;
    const struct listen_options options = {.owner = owner,
                                           .freebind = of->freebind};
    struct holder holder = {.kind = HOLDER_UNKNOWN};
    bool good = true;

    for (size_t i = 0; good && i < config_listen_ports(ports); i++) {
        struct endpoint endpoint = config_listen_at(ports, i);

        if (config_listen_is_first(config, service, &endpoint)) {
            good = check_listen(&endpoint, ports->line, type, &options,
                                as_service, &holder, errors);
        }
    }
}

static void check_listens(const struct config *config, uid_t owner,
                          bool as_service, struct config_errors *errors)
{
    const struct config_listen *metrics = &config->metrics_listen;
    const struct listen_options options = {.owner = owner};
    struct holder holder = {.kind = HOLDER_UNKNOWN};

    if (metrics->address.endpoint.length > 0) {
        (void)check_listen(&metrics->address.endpoint, metrics->line,
                           SOCK_STREAM, &options, as_service, &holder, errors);
    }
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        for (size_t j = 0; j < service->listen_count; j++) {
            check_ports(config, i, j, owner, as_service, errors);
        }
    }
}

static void check_capacity(const struct config *config,
                           struct config_errors *errors)
{
    uint32_t connections;
    const char *error = descriptors_capacity(
        descriptors_raise(), config, workers_wanted(config), &connections);

    if (error != NULL) {
        config_errors_add(errors,
                          connections == 0 ? 0 : config->max_connections_line,
                          "%s", error);
    }
}

/* What a reload as that user meets: it reads all files again. */
static void become(const struct source *source, const struct identity *identity,
                   struct config_errors *errors)
{
    const char *error = privileges_drop(identity);

    if (error != NULL) {
        config_errors_add(errors, 0, "%s", error);
    } else if (identity->changes) {
        config_destroy(source_load(source, errors));
    }
}

/* In the order of a start. */
int preflight(const struct source *source, const struct config *config,
              bool as_service, struct config_errors *errors)
{
    size_t before = errors->count;
    struct identity identity;
    unsigned line;
    const char *unknown = privileges_find(config, &identity, &line);
    int result;

    if (unknown != NULL) {
        config_errors_add(errors, line, "%s", unknown);
    }
    check_capacity(config, errors);
    check_listens(config, identity.uid, as_service, errors);
    if (unknown == NULL && (as_service || geteuid() == 0)) {
        become(source, &identity, errors);
    }
    result = credentials_check(config, as_service, errors);
    return errors->count == before ? result : -1;
}

int preflight_report(const struct config *config,
                     const struct resolution_names *names, struct text *text)
{
    struct capacity_facts facts = {
        .workers = workers_wanted(config),
        .buffer_bytes = workers_buffer_memory(config),
        .block_bytes = config->buffer_size,
    };
    struct capacity capacity;

    machine_read(&facts.machine, MACHINE_PROC);
    if (capacity_count(&capacity, config, names, &facts) < 0) {
        return -1;
    }
    capacity_write(&capacity, text);
    return 0;
}
