#include "control/descriptors.h"

#include "control/health_check.h"
#include "control/http_server.h"
#include "control/machine.h"
#include "control/resolver.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    PER_CONNECTION = 2,
    PER_LOOP = 2,   /* epoll, eventfd */
    PER_LOOKUP = 2, /* a file or a socket, and what sorts the addresses */
    PER_HTTP = HTTP_CLIENTS_MAX + 2, /* two listeners, during a reload */
    /* Standard streams, log, notify socket, signalfd and configuration file.
     * The rest is for sockets that a reload opens while workers still accept
     * from those that it closes. */
    RESERVED = 24,
};

int descriptors_fill_standard(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* open gives the lowest number that is free. */
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
            return -1;
        }
    }
    return 0;
}

uint64_t descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 0;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t soft = limit.rlim_cur;

        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            limit.rlim_cur = soft;
        }
    }
    return MIN(limit.rlim_cur, machine_descriptors_max(MACHINE_PROC));
}

/* How many look-ups its names may need at a time. The targets of an SRV name
 * are not known yet. */
static uint64_t count_names(const struct config_service *service)
{
    uint64_t count = 0;

    for (size_t i = 0; i < service->upstream_count; i++) {
        enum address_kind kind = service->upstreams[i].address.kind;

        count += kind == ADDRESS_NAME  ? 1
                 : kind == ADDRESS_SRV ? RESOLVER_THREADS
                                       : 0;
    }
    return count;
}

/* Descriptors that are not for connections. */
static uint64_t other_descriptors(uint64_t limit, const struct config *config,
                                  unsigned workers)
{
    uint64_t listens = 0, upstreams = 0, names = 0;

    for (size_t i = 0; i < config->service_count; i++) {
        listens += config_count_ports(&config->services[i]);
        upstreams += config->services[i].upstream_count;
        names += count_names(&config->services[i]);
    }
    return RESERVED + PER_LOOP * ((uint64_t)workers + 1) + listens * workers +
           MIN(upstreams, health_checks_most(limit)) +
           PER_LOOKUP * MIN(names, RESOLVER_THREADS) +
           (config->metrics_listen.address.endpoint.length > 0 ? PER_HTTP : 0);
}

static uint32_t connections_within(uint64_t limit, uint64_t others)
{
    uint64_t connections =
        limit > others ? (limit - others) / PER_CONNECTION : 0;

    return connections > UINT32_MAX ? UINT32_MAX : (uint32_t)connections;
}

/* That so many connections are more than the limit holds. */
static const char *too_many(uint64_t limit, uint32_t connections,
                            uint64_t others, uint32_t wanted)
{
    static char sentence[160];
    uint64_t machine = machine_descriptors_max(MACHINE_PROC);
    const char *name = "RLIMIT_NOFILE";

    if (PER_CONNECTION * (uint64_t)wanted + others > machine) {
        name = "fs.nr_open";
        limit = machine;
        connections = connections_within(machine, others);
    }
    snprintf(sentence, sizeof(sentence),
             "max_connections = %" PRIu32 " is more than %s = %" PRIu64
             " holds, which is %" PRIu32,
             wanted, name, limit, connections);
    return sentence;
}

uint32_t descriptors_hold(uint64_t limit, const struct config *config,
                          unsigned workers)
{
    return connections_within(limit, other_descriptors(limit, config, workers));
}

const char *descriptors_capacity(uint64_t limit, const struct config *config,
                                 unsigned workers, uint32_t *connections)
{
    static char sentence[80];
    uint64_t others = other_descriptors(limit, config, workers);

    *connections = connections_within(limit, others);
    if (*connections == 0) {
        snprintf(sentence, sizeof(sentence),
                 "RLIMIT_NOFILE = %" PRIu64
                 " leaves no descriptors for connections",
                 limit);
        return sentence;
    }
    return config->max_connections <= *connections
               ? NULL
               : too_many(limit, *connections, others, config->max_connections);
}
