#include "control/health.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/pool.h"
#include "net/connect.h"

#include <errno.h>
#include <stdlib.h>

/* A probe without a time limit of its own, and one without a pause. */
#define HEALTH_DEFAULT_NS (30 * NS_PER_S)

/* One upstream of the current generation. */
struct health_target {
    struct upstream *upstream;
    const struct service *service;
    struct wheel_timer timer; /* idle: the next probe; connecting: its end */
    struct list waiting;      /* for its turn, in health->waiting */
    struct sock sock;         /* of the probe under way */
    uint32_t index;           /* in the pool */
    uint32_t instance;        /* of the probe, in the token */
    uint32_t streak;          /* answers in a row that speak for a change */
    uint32_t round;           /* the last health_apply that named it */
    uint64_t begun_ns;        /* the probe, or its wait */
};

struct health {
    struct loop *loop;
    unsigned kind;
    struct pool pool;
    struct health_target **targets; /* sorted by the upstream's place */
    size_t count;
    uint32_t round;
    uint32_t probes; /* under way */
    struct list waiting;
    uint64_t random;
};

enum verdict { VERDICT_NONE, VERDICT_GOOD, VERDICT_REFUSED, VERDICT_TIMEOUT };

struct health *health_create(struct loop *loop, unsigned kind)
{
    struct health *health = calloc(1, sizeof(*health));

    if (health != NULL) {
        health->loop = loop;
        health->kind = kind;
        health->random = loop->now_ns;
        pool_init(&health->pool, sizeof(struct health_target));
    }
    return health;
}

/* Which upstreams are probed, and how often. */

static uint32_t down(const struct health_target *target)
{
    return atomic_load_explicit(&target->upstream->down, memory_order_relaxed);
}

static bool wanted(const struct health_target *target)
{
    if (target->upstream->endpoint.length == 0) {
        return false;
    }
    return target->service->config->health_check ||
           (down(target) & UPSTREAM_FAILED);
}

static uint64_t interval_ns(const struct health_target *target)
{
    const struct config_service *config = target->service->config;
    uint64_t interval =
        config->health_check ? config->health_interval_ns : UINT64_MAX;

    if ((down(target) & UPSTREAM_FAILED) && config->fail_window_ns > 0 &&
        config->fail_window_ns < interval) {
        interval = config->fail_window_ns;
    }
    return interval == 0 || interval == UINT64_MAX ? HEALTH_DEFAULT_NS
                                                   : interval;
}

static uint64_t timeout_ns(const struct health_target *target)
{
    const struct config_service *config = target->service->config;
    uint64_t timeout = config->health_check ? config->health_timeout_ns
                                            : config->connect_timeout_ns;

    return timeout > 0 ? timeout : HEALTH_DEFAULT_NS;
}

static void arm(struct health *health, struct health_target *target,
                uint64_t due_ns)
{
    target->timer.kind = health->kind;
    wheel_arm(&health->loop->wheel, &target->timer, due_ns);
}

static bool connecting(const struct health_target *target)
{
    return target->sock.fd >= 0;
}

/* What an answer means. */

static void log_change(const struct health_target *target, const char *state,
                       const char *cause)
{
    char name[ADDR_HOST_MAX], address[ADDR_HOST_MAX + 16];

    log_write(cause[0] == '\0' ? LOG_INFO : LOG_WARN,
              "upstream service=%s address=%s state=%s%s%s",
              log_quote(target->service->config->name, name, sizeof(name)),
              log_quote(target->upstream->text, address, sizeof(address)),
              state, cause[0] == '\0' ? "" : " cause=", cause);
}

static void clear(struct health_target *target, uint32_t reason)
{
    if (upstream_clear_down(target->upstream, reason)) {
        log_change(target, "up", "");
    }
}

static void take_good(struct health_target *target)
{
    const struct config_service *config = target->service->config;

    clear(target, UPSTREAM_FAILED);
    if (!(down(target) & UPSTREAM_UNHEALTHY)) {
        target->streak = 0;
    } else if (++target->streak >= config->health_rise) {
        target->streak = 0;
        clear(target, UPSTREAM_UNHEALTHY);
    }
}

static void take_bad(struct health_target *target, const char *cause)
{
    const struct config_service *config = target->service->config;

    if (!config->health_check || (down(target) & UPSTREAM_UNHEALTHY)) {
        target->streak = 0;
    } else if (++target->streak >= config->health_fall) {
        target->streak = 0;
        if (upstream_set_down(target->upstream, UPSTREAM_UNHEALTHY)) {
            log_change(target, "down", cause);
        }
    }
}

static void take(struct health_target *target, enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_NONE:
        break;
    case VERDICT_GOOD:
        take_good(target);
        break;
    case VERDICT_REFUSED:
        take_bad(target, cause_name(CAUSE_CONNECT_REFUSED));
        break;
    case VERDICT_TIMEOUT:
        take_bad(target, cause_name(CAUSE_CONNECT_TIMEOUT));
        break;
    }
}

/* The life of a probe. */

static void drop(struct health *health, struct health_target *target)
{
    if (connecting(target)) {
        sock_close(&target->sock);
        health->probes--;
    }
    list_remove(&target->waiting);
    wheel_disarm(&health->loop->wheel, &target->timer);
}

static void end(struct health *health, struct health_target *target,
                enum verdict verdict)
{
    uint64_t next;

    drop(health, target);
    take(target, verdict);
    if (wanted(target)) {
        next = target->begun_ns + interval_ns(target);
        arm(health, target,
            next > health->loop->now_ns ? next : health->loop->now_ns);
    }
}

static enum verdict verdict_of(int error)
{
    if (error == 0) {
        return VERDICT_GOOD;
    }
    if (connect_error_is_local(error)) {
        return VERDICT_NONE;
    }
    return error == ETIMEDOUT ? VERDICT_TIMEOUT : VERDICT_REFUSED;
}

static void watch(struct health *health, struct health_target *target)
{
    uint64_t token =
        loop_token(health->kind, target->index, ++target->instance);

    if (poller_add(&health->loop->poller, target->sock.fd, token) < 0) {
        end(health, target, VERDICT_NONE);
        return;
    }
    arm(health, target, health->loop->now_ns + timeout_ns(target));
}

static void begin(struct health *health, struct health_target *target)
{
    const struct config_service *config = target->service->config;
    const struct endpoint *endpoint = &target->upstream->endpoint;
    struct addr address;
    const struct addr *source =
        config_source(config, endpoint->u.any.sa_family, 0, &address) ? &address
                                                                      : NULL;
    enum connect_result answer;
    int error;

    if (config->mode == CONFIG_UDP) {
        end(health, target, VERDICT_GOOD); /* only a client's datagram tells */
        return;
    }
    answer = connect_stream(&target->sock, endpoint, source);
    error = errno;
    health->probes += connecting(target);
    switch (answer) {
    case CONNECT_PENDING:
        watch(health, target);
        break;
    case CONNECT_DONE:
        end(health, target, VERDICT_GOOD);
        break;
    case CONNECT_BUSY: /* nobody takes what waits there */
        end(health, target, VERDICT_TIMEOUT);
        break;
    case CONNECT_FAILED:
        end(health, target, verdict_of(error));
        break;
    case CONNECT_LOCAL:
        end(health, target, VERDICT_NONE);
        break;
    }
}

/* Begins the probes that wait, as far as there is room. */
static void begin_waiting(struct health *health)
{
    while (health->probes < HEALTH_PROBES_MAX) {
        struct list *link = list_pop(&health->waiting);

        if (link == NULL) {
            return;
        }
        begin(health, container_of(link, struct health_target, waiting));
    }
}

void health_event(struct health *health, uint32_t index, uint32_t instance,
                  uint32_t events)
{
    struct health_target *target = pool_at(&health->pool, index);
    int error;

    if (target == NULL || !connecting(target) || target->instance != instance) {
        return;
    }
    sock_event(&target->sock, events);
    error = sock_error(&target->sock);
    if (error == 0 && !(target->sock.ready & SOCK_WRITABLE)) {
        return;
    }
    end(health, target, verdict_of(error));
    begin_waiting(health);
}

void health_timer(struct health *health, struct wheel_timer *timer)
{
    struct health_target *target =
        container_of(timer, struct health_target, timer);

    if (connecting(target)) {
        end(health, target, VERDICT_TIMEOUT);
    } else if (wanted(target)) {
        target->begun_ns = health->loop->now_ns;
        list_append(&health->waiting, &target->waiting);
    }
    begin_waiting(health);
}

/* The targets of a generation. */

static int by_upstream(const void *a, const void *b)
{
    const struct health_target *const *left = a, *const *right = b;
    uintptr_t x = (uintptr_t)(*left)->upstream;
    uintptr_t y = (uintptr_t)(*right)->upstream;

    return (x > y) - (x < y);
}

static struct health_target *find(const struct health *health,
                                  const struct upstream *upstream)
{
    struct health_target wanted_one = {.upstream = (struct upstream *)upstream};
    struct health_target *key = &wanted_one, **found;

    if (health->count == 0) {
        return NULL;
    }
    found = bsearch(&key, health->targets, health->count,
                    sizeof(struct health_target *), by_upstream);
    return found == NULL ? NULL : *found;
}

static struct health_target *target_create(struct health *health,
                                           struct upstream *upstream)
{
    uint32_t index;
    struct health_target *target = pool_borrow(&health->pool, &index);

    if (target != NULL) {
        target->upstream = upstream;
        target->sock.fd = -1;
        target->index = index;
    }
    return target;
}

/* Frees those of the list whom the last round did not name. */
static void sweep(struct health *health, struct health_target **list,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i]->round != health->round) {
            drop(health, list[i]);
            pool_return(&health->pool, list[i]->index);
        }
    }
}

/* Sets a target to the service's rules of this generation. */
static void adopt(struct health *health, struct health_target *target,
                  const struct service *service)
{
    uint64_t latest;

    target->service = service;
    target->round = health->round;
    if (!service->config->health_check) {
        target->streak = 0;
        clear(target, UPSTREAM_UNHEALTHY);
    }
    if (connecting(target) || list_linked(&target->waiting)) {
        return;
    }
    if (!wanted(target)) {
        wheel_disarm(&health->loop->wheel, &target->timer);
        return;
    }
    latest = health->loop->now_ns + interval_ns(target);
    if (!wheel_armed(&target->timer) ||
        wheel_due_ns(&target->timer) > latest + NS_PER_MS) {
        arm(health, target,
            latest - hash_random(&health->random) % interval_ns(target));
    }
}

static size_t upstreams_of(const struct generation *generation)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        count += generation->services[i].upstream_count;
    }
    return count;
}

/* Fills the list with the generation's targets, the new ones without a service
 * yet. Answers how many; fewer than there are: no memory. */
static size_t gather(struct health *health, const struct generation *generation,
                     struct health_target **list)
{
    size_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            struct upstream *upstream = service->upstreams[j];
            struct health_target *target = find(health, upstream);

            if (target == NULL) {
                target = target_create(health, upstream);
            }
            if (target == NULL) {
                return count;
            }
            list[count++] = target;
        }
    }
    return count;
}

static void adopt_all(struct health *health,
                      const struct generation *generation,
                      struct health_target **list)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        const struct service *service = &generation->services[i];

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            adopt(health, *list++, service);
        }
    }
}

/* Frees the targets of the list that have no service yet. */
static void forget_new(struct health *health, struct health_target **list,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i]->service == NULL) {
            pool_return(&health->pool, list[i]->index);
        }
    }
}

int health_apply(struct health *health, struct generation *generation)
{
    size_t count = upstreams_of(generation);
    struct health_target **list = calloc(count + 1, sizeof(list[0]));
    size_t gathered;

    if (list == NULL) {
        return -1;
    }
    gathered = gather(health, generation, list);
    if (gathered < count) {
        forget_new(health, list, gathered);
        free(list);
        errno = ENOMEM;
        return -1;
    }
    health->round++;
    adopt_all(health, generation, list);
    sweep(health, health->targets, health->count);
    free(health->targets);
    qsort(list, count, sizeof(list[0]), by_upstream);
    health->targets = list;
    health->count = count;
    begin_waiting(health);
    return 0;
}

void health_upstream_failed(struct health *health,
                            const struct upstream *upstream)
{
    struct health_target *target = find(health, upstream);

    if (target == NULL || connecting(target) || list_linked(&target->waiting) ||
        !wanted(target)) {
        return;
    }
    if (!wheel_armed(&target->timer) ||
        wheel_due_ns(&target->timer) >
            health->loop->now_ns + interval_ns(target)) {
        arm(health, target, health->loop->now_ns + interval_ns(target));
    }
}

void health_destroy(struct health *health)
{
    health->round++;
    sweep(health, health->targets, health->count);
    free(health->targets);
    pool_fini(&health->pool);
    free(health);
}
