#include "proxy/choice.h"

#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

/* Local addresses tried for one connect when the ports of one are used up. */
#define SOURCES_TRIED_MAX 4u

/* What the pick asks. */
struct question {
    const struct service *service;
    const uint64_t *tried;
};

static bool upstream_usable(void *arg, uint32_t i)
{
    const struct question *question = arg;
    const struct upstream *upstream = question->service->upstreams[i];
    const uint64_t *tried = question->tried;
    uint32_t max = question->service->lines[i]->max_connections;

    if (tried != NULL && (tried[i / 64] >> (i % 64) & 1)) {
        return false;
    }
    return upstream_up(upstream) &&
           (max == 0 || atomic_load_explicit(&upstream->active,
                                             memory_order_relaxed) < max);
}

static uint32_t upstream_active(void *arg, uint32_t i)
{
    const struct question *question = arg;

    return atomic_load_explicit(&question->service->upstreams[i]->active,
                                memory_order_relaxed);
}

ssize_t choice_pick(struct plane *plane, struct service *service,
                    const struct addr *client, const uint64_t *tried)
{
    struct question question = {service, tried};
    struct balance_probe probe = {upstream_usable, upstream_active, &question};
    uint64_t hash = addr_hash(client, service->config->hash_prefix_v4,
                              service->config->hash_prefix_v6);

    return balance_pick(&service->balance, hash, hash_random(&plane->random),
                        &probe);
}

enum connect_result choice_connect(struct service *service,
                                   const struct upstream *upstream,
                                   struct sock *sock, choice_connect_fn connect)
{
    const struct endpoint *endpoint = &upstream->endpoint;
    int family = endpoint->u.any.sa_family;
    struct addr source;
    enum connect_result result = CONNECT_LOCAL;

    if (service->config->source_count == 0 || family == AF_UNIX) {
        return connect(sock, endpoint, NULL);
    }
    for (unsigned i = 0; i < SOURCES_TRIED_MAX; i++) {
        uint32_t turn = atomic_fetch_add_explicit(&service->source_cursor, 1,
                                                  memory_order_relaxed);

        if (!config_source(service->config, family, turn, &source)) {
            return connect(sock, endpoint, NULL);
        }
        result = connect(sock, endpoint, &source);
        /* Of ports: connect(2) says the one, and of datagrams the other. */
        if (result != CONNECT_LOCAL ||
            (errno != EADDRNOTAVAIL && errno != EAGAIN)) {
            break;
        }
    }
    return result;
}

/* Tells the log and the control thread that an upstream was taken out. */
static void report_failed(struct plane *plane, const struct service *service,
                          struct upstream *upstream, enum cause cause)
{
    struct worker_report *report = calloc(1, sizeof(*report));
    char name[sizeof(upstream->text) + 2];

    if (report == NULL) {
        /* Nobody would ever try it again: better to go on failing. */
        (void)upstream_clear_down(upstream, UPSTREAM_FAILED);
        return;
    }
    log_write(LOG_WARN, "upstream service=%s address=%s state=down cause=%s",
              service->config->name,
              log_quote(upstream->text, name, sizeof(name)), cause_name(cause));
    report->message.type = WORKER_UPSTREAM_FAILED;
    report->worker = plane->number;
    report->upstream = upstream;
    mailbox_post(plane->shared->control, &report->message);
}

void choice_blame(struct plane *plane, struct service *service,
                  struct upstream *upstream, enum cause cause)
{
    const struct config_service *config = service->config;

    counter_add(&upstream->counters[plane->number].failed, 1);
    if (upstream_connect_failed(upstream, config->fail_threshold,
                                config->fail_window_ns, plane->loop.now_ns)) {
        report_failed(plane, service, upstream, cause);
    }
}
