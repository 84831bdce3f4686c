#include "control/capacity.h"

#include "control/descriptors.h"

#include <inttypes.h>
#include <sys/param.h>

/*
 * Memory that the kernel counts for a connection. An idle one holds none. One
 * whose sockets have a small message between them takes a page; so much is
 * counted for each.
 */
#define TCP_PAGE_BYTES 4096

/* ---- the limits ---- */

static uint64_t product(uint64_t a, uint64_t b)
{
    uint64_t result;

    return __builtin_mul_overflow(a, b, &result) ? CAPACITY_NONE - 1 : result;
}

static uint64_t limit_or_none(uint64_t limit)
{
    return limit == 0 ? CAPACITY_NONE : limit;
}

/* The sum of the limits of its upstreams, if each has one. What waits in line
 * for a place is held too. */
static int count_upstreams(uint64_t *count,
                           const struct config_service *service,
                           const struct resolution_names *names)
{
    struct resolution resolution;
    int result;

    *count = CAPACITY_NONE;
    if (service->queue_timeout_ns != 0) {
        return 0;
    }
    for (size_t i = 0; i < service->upstream_count; i++) {
        if (service->upstreams[i].max_connections == 0) {
            return 0;
        }
    }
    *count = 0;
    result = resolution_init(&resolution, service, names);
    for (size_t i = 0; i < resolution.count; i++) {
        const struct config_upstream *line = resolution.list[i].line;

        *count += line->drain ? 0 : line->max_connections;
    }
    resolution_fini(&resolution);
    return result;
}

static int count_services(uint64_t *count, const struct config *config,
                          const struct resolution_names *names)
{
    *count = 0;
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];
        uint64_t most;

        if (count_upstreams(&most, service, names) < 0) {
            return -1;
        }
        most = MIN(most, limit_or_none(service->max_connections));
        if (service->mode == CONFIG_UDP) {
            most = MIN(most, limit_or_none(service->max_sessions));
        }
        if (most == CAPACITY_NONE) {
            *count = CAPACITY_NONE;
            return 0;
        }
        *count += most;
    }
    return 0;
}

static uint64_t count_local_ports(const struct local_ports *local,
                                  const struct machine *machine)
{
    return limit_or_none(
        product(machine->ports, local->pairs + local->sources));
}

/* One side's receive buffer and the other side's send buffer are full, of which
 * tcp_notsent_lowat bounds what is not sent yet. The most of all services; 0:
 * none has TCP. */
static uint64_t tcp_bytes_in_flight(const struct config *config,
                                    const struct machine *machine)
{
    uint64_t most = 0;

    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        if (service->mode == CONFIG_TCP) {
            most =
                MAX(most, machine->tcp_receive_bytes + machine->tcp_send_bytes +
                              service->tcp_notsent_lowat);
        }
    }
    return most;
}

static bool has_tcp(const struct config *config)
{
    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == CONFIG_TCP) {
            return true;
        }
    }
    return false;
}

static void count_memory(struct capacity *capacity, const struct config *config)
{
    const struct capacity_facts *facts = &capacity->facts;
    uint64_t bytes = facts->machine.tcp.memory_bytes;

    capacity->held[CAPACITY_TCP_MEMORY] = CAPACITY_NONE;
    capacity->in_flight[CAPACITY_FLIGHT_TCP_MEMORY] = CAPACITY_NONE;
    capacity->in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY] = CAPACITY_NONE;
    if (!has_tcp(config)) {
        return; /* datagrams are not kept */
    }
    capacity->in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY] =
        facts->buffer_bytes / 2 / facts->block_bytes;
    capacity->tcp_bytes = tcp_bytes_in_flight(config, &facts->machine);
    if (bytes > 0) {
        capacity->held[CAPACITY_TCP_MEMORY] = bytes / TCP_PAGE_BYTES;
        if (capacity->tcp_bytes > 0) {
            capacity->in_flight[CAPACITY_FLIGHT_TCP_MEMORY] =
                bytes / capacity->tcp_bytes;
        }
    }
}

void capacity_clear(struct capacity *capacity)
{
    *capacity = (struct capacity){.tcp_bytes = 0};
    for (unsigned i = 0; i < CAPACITY_LIMITS; i++) {
        capacity->held[i] = CAPACITY_NONE;
    }
    for (unsigned i = 0; i < CAPACITY_FLIGHTS; i++) {
        capacity->in_flight[i] = CAPACITY_NONE;
    }
}

int capacity_count(struct capacity *capacity, const struct config *config,
                   const struct resolution_names *names,
                   const struct capacity_facts *facts)
{
    const struct machine *machine = &facts->machine;
    uint64_t *held = capacity->held;

    *capacity = (struct capacity){.facts = *facts};
    if (count_services(&held[CAPACITY_SERVICES], config, names) < 0 ||
        local_ports_count(&capacity->local_ports, config, names) < 0) {
        return -1;
    }
    held[CAPACITY_MAX_CONNECTIONS] = limit_or_none(config->max_connections);
    held[CAPACITY_DESCRIPTORS] =
        descriptors_hold(MIN(machine->descriptors, machine->descriptors_max),
                         config, facts->workers);
    held[CAPACITY_LOCAL_PORTS] =
        count_local_ports(&capacity->local_ports, machine);
    count_memory(capacity, config);
    return 0;
}

bool capacity_is_total(const struct capacity *capacity,
                       enum capacity_limit limit)
{
    return limit != CAPACITY_LOCAL_PORTS || !capacity->local_ports.unix_sockets;
}

enum capacity_limit capacity_first(const struct capacity *capacity)
{
    enum capacity_limit first = CAPACITY_DESCRIPTORS;

    for (unsigned i = 0; i < CAPACITY_LIMITS; i++) {
        if (capacity_is_total(capacity, i) &&
            capacity->held[i] < capacity->held[first]) {
            first = i;
        }
    }
    return first;
}

/* ---- the report ---- */

static const char *const names[CAPACITY_LIMITS] = {
    [CAPACITY_MAX_CONNECTIONS] = "max_connections",
    [CAPACITY_SERVICES] = "services",
    [CAPACITY_DESCRIPTORS] = "descriptors",
    [CAPACITY_LOCAL_PORTS] = "local_ports",
    [CAPACITY_TCP_MEMORY] = "tcp_memory",
};

static const char *const flight_names[CAPACITY_FLIGHTS] = {
    [CAPACITY_FLIGHT_TCP_MEMORY] = "tcp_memory",
    [CAPACITY_FLIGHT_BUFFER_MEMORY] = "buffer_memory",
};

const char *capacity_name(enum capacity_limit limit)
{
    return names[limit];
}

const char *capacity_flight_name(enum capacity_flight limit)
{
    return flight_names[limit];
}

static void write_descriptors(const struct machine *machine, struct text *text)
{
    bool nr_open = machine->descriptors_max < machine->descriptors;

    if (nr_open) {
        text_add(text, "fs.nr_open=%" PRIu64 " raise=\"fs.nr_open\"",
                 machine->descriptors_max);
        return;
    }
    text_add(text,
             "RLIMIT_NOFILE=%" PRIu64 " raise=\"LimitNOFILE= of the unit%s\"",
             machine->descriptors,
             machine->descriptors_max == machine->descriptors
                 ? " and fs.nr_open"
                 : ", ulimit -n of a shell");
}

static void write_local_ports(const struct capacity *capacity,
                              struct text *text)
{
    const struct local_ports *local = &capacity->local_ports;

    text_add(text,
             "ports=%" PRIu64 " pairs=%" PRIu64 " udp_sources=%" PRIu64
             " unix=%s raise=\"net.ipv4.ip_local_port_range, source_address, "
             "more upstreams\"",
             capacity->facts.machine.ports, local->pairs, local->sources,
             local->unix_sockets ? "yes" : "no");
}

/* What the sockets of the whole machine take, and what raises the limit. */
static void write_tcp_memory(const struct machine_tcp *tcp, uint64_t bytes_each,
                             struct text *text)
{
    text_add(text, "bytes=%" PRIu64 " bytes_each=%" PRIu64 " ",
             tcp->memory_bytes, bytes_each);
    if (tcp->used_bytes != MACHINE_UNKNOWN) {
        text_add(text, "used=%" PRIu64 " ", tcp->used_bytes);
    }
    text_add_string(text, "raise=\"net.ipv4.tcp_mem\"");
}

static void write_limit(const struct capacity *capacity,
                        enum capacity_limit limit, struct text *text)
{
    text_add(text, "limit=%s connections=%" PRIu64 " first=%s ", names[limit],
             capacity->held[limit],
             limit == capacity_first(capacity) ? "yes" : "no");
    switch (limit) {
    case CAPACITY_MAX_CONNECTIONS:
        text_add_string(text, "raise=\"max_connections of [global]\"");
        break;
    case CAPACITY_SERVICES:
        text_add_string(text, "raise=\"max_connections, and max_sessions of "
                              "UDP, of services and their upstreams\"");
        break;
    case CAPACITY_DESCRIPTORS:
        write_descriptors(&capacity->facts.machine, text);
        break;
    case CAPACITY_LOCAL_PORTS:
        write_local_ports(capacity, text);
        break;
    default:
        write_tcp_memory(&capacity->facts.machine.tcp, TCP_PAGE_BYTES, text);
        break;
    }
    text_add_string(text, "\n");
}

static void write_flight(const struct capacity *capacity,
                         enum capacity_flight limit, struct text *text)
{
    const struct capacity_facts *facts = &capacity->facts;

    text_add(text, "limit=%s in_flight=%" PRIu64 " ", flight_names[limit],
             capacity->in_flight[limit]);
    if (limit == CAPACITY_FLIGHT_TCP_MEMORY) {
        write_tcp_memory(&facts->machine.tcp, capacity->tcp_bytes, text);
    } else {
        text_add(text,
                 "bytes=%" PRIu64 " bytes_each=%" PRIu64
                 " raise=\"buffer_memory\"",
                 facts->buffer_bytes, 2 * (uint64_t)facts->block_bytes);
    }
    text_add_string(text, "\n");
}

void capacity_write(const struct capacity *capacity, struct text *text)
{
    text_add(text, "connections=%" PRIu64 "\n",
             capacity->held[capacity_first(capacity)]);
    for (unsigned i = 0; i < CAPACITY_LIMITS; i++) {
        if (capacity->held[i] != CAPACITY_NONE) {
            write_limit(capacity, i, text);
        }
    }
    for (unsigned i = 0; i < CAPACITY_FLIGHTS; i++) {
        if (capacity->in_flight[i] != CAPACITY_NONE) {
            write_flight(capacity, i, text);
        }
    }
}
