#include "rig.h"

#include <stdio.h>
#include <string.h>

#define EVERYBODY "0.0.0.0/0"

#define HEADER_LEAST_MS 3000
#define HEADER_MOST_MS  6000

static unsigned place_of(const struct conn *conn)
{
    return (unsigned)(conn - rig.conns);
}

/* ---- services ---------------------------------------------------------- */

static void plan_size(struct rig_service *service, uint32_t wide_odds)
{
    static const unsigned wide[] = {64, 65, 65, 66, 66, 80, 129, UPSTREAMS_MAX};

    service->upstreams = kernel_chance(2) ? 1 : 3;
    service->attempts = 3;
    if (kernel_chance(wide_odds)) {
        service->upstreams = wide[kernel_below(ARRAY_LEN(wide))];
        service->attempts = service->upstreams <= 80 && !kernel_chance(3)
                                ? service->upstreams + 1
                                : ANSWERS_MAX;
    } else if (kernel_chance(8)) {
        service->upstreams = (unsigned)between(1, 8);
        service->attempts = (unsigned)between(1, ANSWERS_MAX);
    }
}

static struct rig_service *add_service(unsigned listen, uint32_t wide_odds)
{
    static const char *const balances[] = {"roundrobin", "leastconn", "random",
                                           "source"};
    struct rig_service *service = &rig.services[rig.service_count++];

    service->listen = listen;
    service->balance = balances[kernel_below(ARRAY_LEN(balances))];
    plan_size(service, wide_odds);
    return service;
}

static void ask_for(struct conn *conn, struct rig_service *service)
{
    conn->service = service;
    conn->listen = service->listen;
    service->clients++;
}

/* Connections share a service if none of them holds up others for long. */
static bool may_share(const struct conn *conn)
{
    const struct conn *before = conn - 1;

    return conn != rig.conns && conn->kind < CONN_STALL &&
           before->kind < CONN_STALL && before->service != NULL &&
           (!rig.listens[before->listen].named ||
            before->service->names[0] != 0);
}

/* Each service has a listen address of its own. */
static void plan_apart(bool proxy_protocol)
{
    for (unsigned i = 0; i < rig.count; i++) {
        struct conn *conn = &rig.conns[i];

        rig.listens[i].proxy_protocol = proxy_protocol;
        if (may_share(conn) && kernel_chance(8)) {
            ask_for(conn, conn[-1].service);
        } else {
            ask_for(conn, add_service(i, 128));
        }
    }
}

/* ---- names ------------------------------------------------------------- */

static void print(char text[64], const char *format, unsigned number)
{
    (void)snprintf(text, 64, format, number);
}

/* Gives the service names, and the client one of them. */
static void name_service(struct rig_service *service, struct conn *conn)
{
    static const char *const styles[][2] = {
        {"h%u.example", "h%u.example"},
        {"*.w%u.example", "a.w%u.example"},
        {"x%u.w0.example", "x%u.w0.example"}, /* 0 may have the wildcard */
        {"a%u.example, *.b%u.example", "long-label.b%u.example"},
    };
    const char *const *style = styles[kernel_below(ARRAY_LEN(styles))];
    unsigned place = place_of(conn);

    (void)snprintf(service->names, sizeof(service->names), style[0], place,
                   place);
    print(conn->name, style[1], place);
}

/* One that no service has; wildcards are for one label. */
static void name_nobody(struct conn *conn)
{
    static const char *const names[] = {"nobody%u.example", "w%u.example",
                                        "a.b.w%u.example", "example"};

    print(conn->name, names[kernel_below(ARRAY_LEN(names))], place_of(conn));
}

/* One listen address for all, told apart by name. */
static void plan_named(void)
{
    struct rig_service *rest = NULL;

    rig.listens[0].named = true;
    rig.listens[0].proxy_protocol = kernel_chance(3);
    if (!kernel_chance(4)) {
        rest = add_service(0, 32);
    }
    for (unsigned i = 0; i < rig.count; i++) {
        struct conn *conn = &rig.conns[i];

        if (kernel_chance(8) && (rest == NULL || rest->clients == 0)) {
            name_nobody(conn);
            if (rest != NULL) {
                ask_for(conn, rest);
            }
        } else if (may_share(conn) && kernel_chance(4)) {
            ask_for(conn, conn[-1].service);
            memcpy(conn->name, conn[-1].name, sizeof(conn->name));
        } else {
            ask_for(conn, add_service(0, 24));
            name_service(conn->service, conn);
        }
    }
    /* Without any name the address would be no shared one. */
    if (kernel_chance(3) || rig.service_count == (rest != NULL)) {
        print(add_service(0, 32)->names, "*.decoy%u.example", 0);
    }
}

/* The service that counts connections that end before they are routed: the one
 * that takes the rest, or the first. */
static void find_fronts(void)
{
    for (unsigned i = rig.service_count; i-- > 0;) {
        struct rig_service *service =
            &rig.services[rig.reversed ? rig.service_count - 1 - i : i];
        struct listen *listen = &rig.listens[service->listen];

        if (listen->front == NULL || listen->front->names[0] != 0) {
            listen->front = service;
        }
    }
}

/* ---- what services do with connections --------------------------------- */

/* Of a service that no connection asks for: whatever it sets would be noticed
 * where it counted. */
static void plan_decoy(struct rig_service *service)
{
    service->max_connections = service->per_source = 1;
    service->upstream_max = 1;
    service->rule = RULE_DENY;
    service->rule_source = EVERYBODY;
    service->connect_ms = service->idle_ms = service->read_ms = 1;
    service->write_ms = service->half_close_ms = service->lifetime_ms = 1;
    service->rate[UP] = service->rate[DOWN] = 16;
    service->burst = 16;
    service->fail_threshold = 1;
    service->attempts = 1;
}

static void plan_limits(struct rig_service *service)
{
    if (service->clients > 1) {
        service->max_connections =
            kernel_chance(3) ? (unsigned)between(1, service->clients) : 0;
        service->per_source = kernel_chance(3) ? (unsigned)between(1, 2) : 0;
        service->upstream_max = kernel_chance(3);
    } else {
        service->max_connections = kernel_chance(8);
        service->per_source = kernel_chance(8);
        service->upstream_max = kernel_chance(8);
    }
}

static void plan_rule(struct rig_service *service)
{
    if (!rig.flood && kernel_chance(10)) {
        service->rule = kernel_chance(2) ? RULE_DENY : RULE_ALLOW;
        service->rule_source =
            entry_source(rig.listens[service->listen].proxy_protocol);
    }
}

static void plan_rates(struct rig_service *service)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (kernel_chance(2)) {
            service->rate[i] = (unsigned)between(RATE_LEAST_BYTES, 400000);
        }
        if (kernel_chance(2)) {
            service->shared_rate[i] =
                (unsigned)between(RATE_LEAST_BYTES, 400000);
        }
    }
    service->burst = (unsigned)between(1024, 8192);
}

/* Timeouts that end a connection that stalls. */
static void plan_timeouts(struct rig_service *service)
{
    service->write_ms = (unsigned)between(1000, 3000);
    service->idle_ms = (unsigned)between(1000, 4000);
    service->half_close_ms = (unsigned)between(1000, 4000);
    if (kernel_chance(2)) {
        service->read_ms = (unsigned)between(1000, 3000);
    }
    if (kernel_chance(4)) {
        service->lifetime_ms = (unsigned)between(500, 3000);
    }
}

static void plan_told(struct rig_service *service)
{
    bool shared = service->clients > 1;

    if (shared && !rig.listens[service->listen].named) {
        service->told = (enum told)between(TOLD_V1, TOLD_V2);
    } else if (kernel_chance(4)) {
        service->told = (enum told)between(TOLD_V1, TOLD_MIXED);
    }
}

static void plan_service(struct rig_service *service)
{
    const struct listen *listen = &rig.listens[service->listen];

    if (listen->front != service) {
        service->header_ms = 1;
    } else if (listen->named || listen->proxy_protocol) {
        service->header_ms = (unsigned)between(HEADER_LEAST_MS, HEADER_MOST_MS);
    }
    if (service->clients == 0) {
        plan_decoy(service);
        return;
    }
    service->connect_ms = (unsigned)between(200, 2000);
    service->sources = kernel_chance(16);
    plan_told(service);
    plan_limits(service);
    plan_rule(service);
    if (kernel_chance(5)) {
        plan_rates(service);
    }
}

bool layout_denies(const struct rig_service *service, const char *source)
{
    bool same = service->rule != RULE_NONE &&
                (strcmp(service->rule_source, source) == 0 ||
                 strcmp(service->rule_source, EVERYBODY) == 0);

    return service->rule == RULE_DENY ? same
                                      : service->rule == RULE_ALLOW && !same;
}

static void plan_senders(void)
{
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        rig.listens[i].senders =
            kernel_chance(4) && !rig.flood ? (unsigned)between(1, 6) : 7;
    }
}

uint64_t layout_header_ns(void)
{
    return HEADER_MOST_MS * NS_PER_MS;
}

void layout_plan(void)
{
    memset(rig.services, 0, sizeof(rig.services));
    memset(rig.listens, 0, sizeof(rig.listens));
    rig.service_count = 0;
    rig.reversed = kernel_chance(2);
    stream_set_accept_queue(8192);
    plan_senders();
    switch (kernel_below(8)) {
    case 0 ... 2:
        plan_named();
        break;
    case 3:
        plan_apart(true);
        break;
    default:
        plan_apart(false);
        break;
    }
    find_fronts();
    for (unsigned i = 0; i < rig.service_count; i++) {
        plan_service(&rig.services[i]);
    }
    for (unsigned i = 0; i < rig.count; i++) {
        struct conn *conn = &rig.conns[i];

        entry_plan(conn);
        if (conn->service != NULL && conn->kind >= CONN_STALL) {
            plan_timeouts(conn->service);
        }
        if (conn->entry == ENTRY_ROUTED &&
            layout_denies(conn->service, conn->source)) {
            conn->entry = ENTRY_DENIED;
        }
    }
}
