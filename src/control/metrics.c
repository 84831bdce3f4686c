#include "control/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes after which a piece ends. */
#define PIECE_BYTES 16384

/* A service's name and an upstream's text as labels: each byte may be two. */
#define SERVICE_LABEL_MAX  (2 * CONFIG_NAME_MAX)
#define UPSTREAM_LABEL_MAX (2 * UPSTREAM_TEXT_MAX)

#define SECONDS(ns) ((double)(ns) / (double)NS_PER_S)

static const char *const directions[DIRECTIONS] = {
    [UP] = "up", [DOWN] = "down"};

void metrics_escape(const char *value, char *buffer, size_t size)
{
    size_t used = 0;

    for (; *value != '\0' && used + 3 <= size; value++) {
        if (*value == '\\' || *value == '"' || *value == '\n') {
            buffer[used++] = '\\';
        }
        buffer[used++] = *value;
        if (*value == '\n') {
            buffer[used - 1] = 'n';
        }
    }
    buffer[used] = '\0';
}

/* One of four functions writes the lines of an item; without any, it is a
 * number of a service. */
struct family {
    const char *name;
    const char *type;
    const char *help;
    void (*process)(struct text *text, const struct family *family,
                    const struct sample_process *process);
    size_t offset; /* of the number in it, where that is all; of a service's
                      in its sums */
    void (*worker)(struct text *text, const char *name, uint32_t number,
                   const struct sample_worker *worker);
    void (*service)(struct text *text, const char *name, const char *label,
                    const struct sample_service *service);
    void (*upstream)(struct text *text, const char *name, const char *labels,
                     const struct sample_upstream *upstream);
};

/* ---- of the process ---- */

static void number(struct text *text, const struct family *family,
                   const struct sample_process *process)
{
    const char *base = (const char *)process;
    uint64_t value;

    memcpy(&value, base + family->offset, sizeof(value));
    text_add(text, "%s %" PRIu64 "\n", family->name, value);
}

static void seconds(struct text *text, const struct family *family,
                    const struct sample_process *process)
{
    const char *base = (const char *)process;
    uint64_t ns;

    memcpy(&ns, base + family->offset, sizeof(ns));
    text_add(text, "%s %.6f\n", family->name, SECONDS(ns));
}

static void build_info(struct text *text, const struct family *family,
                       const struct sample_process *process)
{
    (void)process;
    text_add(text, "%s{version=\"%s\",tls=\"%s\"} 1\n", family->name,
             EVPROXY_VERSION, EVPROXY_TLS ? "yes" : "no");
}

static void stopping(struct text *text, const struct family *family,
                     const struct sample_process *process)
{
    text_add(text, "%s %d\n", family->name, process->facts.stopping);
}

static void reloads(struct text *text, const struct family *family,
                    const struct sample_process *process)
{
    const uint64_t *counts = process->facts.reloads;

    text_add(text,
             "%s{result=\"ok\"} %" PRIu64 "\n%s{result=\"refused\"} %" PRIu64
             "\n",
             family->name, counts[RELOADED_OK], family->name,
             counts[RELOADED_REFUSED]);
}

/* A number that is 0 while it is not known. */
static void known(struct text *text, const struct family *family,
                  const struct sample_process *process)
{
    const char *base = (const char *)process;
    uint64_t value;

    memcpy(&value, base + family->offset, sizeof(value));
    if (value > 0) {
        number(text, family, process);
    }
}

static void kernel_tcp(struct text *text, const struct family *family,
                       const struct sample_process *process)
{
    if (process->tcp.used_bytes != MACHINE_UNKNOWN) {
        number(text, family, process);
    }
}

/* A limit that is none, or not known, has no line. */
static void add_capacity(struct text *text, const struct family *family,
                         const char *limit, uint64_t connections)
{
    if (connections != CAPACITY_NONE) {
        text_add(text, "%s{limit=\"%s\"} %" PRIu64 "\n", family->name, limit,
                 connections);
    }
}

static void capacity_held(struct text *text, const struct family *family,
                          const struct sample_process *process)
{
    const struct capacity *capacity = &process->facts.capacity;

    for (unsigned i = 0; i < CAPACITY_LIMITS; i++) {
        if (capacity_is_total(capacity, i)) {
            add_capacity(text, family, capacity_name(i), capacity->held[i]);
        }
    }
}

static void capacity_in_flight(struct text *text, const struct family *family,
                               const struct sample_process *process)
{
    const struct capacity *capacity = &process->facts.capacity;

    for (unsigned i = 0; i < CAPACITY_FLIGHTS; i++) {
        add_capacity(text, family, capacity_flight_name(i),
                     capacity->in_flight[i]);
    }
}

/* ---- of services ---- */

static void bytes(struct text *text, const char *name, const char *label,
                  const struct sample_service *service)
{
    for (unsigned i = 0; i < DIRECTIONS; i++) {
        text_add(text, "%s{service=\"%s\",direction=\"%s\"} %" PRIu64 "\n",
                 name, label, directions[i], service->sums.bytes[i]);
    }
}

static void ended(struct text *text, const char *name, const char *label,
                  const struct sample_service *service)
{
    for (unsigned i = CAUSE_NONE + 1; i < CAUSES; i++) {
        text_add(text, "%s{service=\"%s\",cause=\"%s\"} %" PRIu64 "\n", name,
                 label, cause_name((enum cause)i), service->sums.ended[i]);
    }
}

static void dropped(struct text *text, const char *name, const char *label,
                    const struct sample_service *service)
{
    if (service->service->config->mode != CONFIG_UDP) {
        return;
    }
    for (unsigned i = 0; i < DROPS; i++) {
        text_add(text, "%s{service=\"%s\",reason=\"%s\"} %" PRIu64 "\n", name,
                 label, drop_name((enum drop)i), service->sums.dropped[i]);
    }
}

static void histogram(struct text *text, const char *name, const char *label,
                      const struct histogram_scale *scale,
                      const struct histogram_sums *sums)
{
    uint64_t below = 0;

    for (unsigned i = 0; i < scale->count; i++) {
        below += sums->buckets[i];
        text_add(text, "%s_bucket{service=\"%s\",le=\"%s\"} %" PRIu64 "\n",
                 name, label, scale->texts[i], below);
    }
    text_add(text,
             "%s_bucket{service=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
             "%s_sum{service=\"%s\"} %.9g\n"
             "%s_count{service=\"%s\"} %" PRIu64 "\n",
             name, label, sums->count, name, label, SECONDS(sums->sum_ns), name,
             label, sums->count);
}

static void connect_times(struct text *text, const char *name,
                          const char *label,
                          const struct sample_service *service)
{
    if (service->service->config->mode == CONFIG_TCP) {
        histogram(text, name, label, &histogram_connect,
                  &service->times.connect);
    }
}

static void durations(struct text *text, const char *name, const char *label,
                      const struct sample_service *service)
{
    histogram(text, name, label, &histogram_duration,
              &service->times.durations);
}

static void service_limit(struct text *text, const char *name,
                          const char *label,
                          const struct sample_service *service)
{
    uint32_t limit = service->service->config->max_connections;

    if (limit > 0) {
        text_add(text, "%s{service=\"%s\"} %" PRIu32 "\n", name, label, limit);
    }
}

/* ---- of workers ---- */

static void worker_active(struct text *text, const char *name, uint32_t i,
                          const struct sample_worker *worker)
{
    text_add(text, "%s{worker=\"%" PRIu32 "\"} %" PRIu64 "\n", name, i,
             worker->active);
}

static void worker_handed(struct text *text, const char *name, uint32_t i,
                          const struct sample_worker *worker)
{
    text_add(text, "%s{worker=\"%" PRIu32 "\"} %" PRIu64 "\n", name, i,
             worker->handed);
}

/* ---- of upstreams; labels: service="a",upstream="b" ---- */

static void add_upstream(struct text *text, const char *name,
                         const char *labels, uint64_t value)
{
    text_add(text, "%s{%s} %" PRIu64 "\n", name, labels, value);
}

static void upstream_is_up(struct text *text, const char *name,
                           const char *labels,
                           const struct sample_upstream *upstream)
{
    add_upstream(text, name, labels, upstream->up);
}

static void upstream_active(struct text *text, const char *name,
                            const char *labels,
                            const struct sample_upstream *upstream)
{
    add_upstream(text, name, labels, upstream->active);
}

static void upstream_total(struct text *text, const char *name,
                           const char *labels,
                           const struct sample_upstream *upstream)
{
    add_upstream(text, name, labels, upstream->sums.total);
}

static void upstream_failures(struct text *text, const char *name,
                              const char *labels,
                              const struct sample_upstream *upstream)
{
    for (unsigned i = 0; i < FAILURES; i++) {
        text_add(text, "%s{%s,cause=\"%s\"} %" PRIu64 "\n", name, labels,
                 cause_name(failure_cause((enum failure)i)),
                 upstream->sums.failed[i]);
    }
}

static void upstream_bytes(struct text *text, const char *name,
                           const char *labels,
                           const struct sample_upstream *upstream)
{
    for (unsigned i = 0; i < DIRECTIONS; i++) {
        text_add(text, "%s{%s,direction=\"%s\"} %" PRIu64 "\n", name, labels,
                 directions[i], upstream->sums.bytes[i]);
    }
}

static void upstream_check(struct text *text, const char *name,
                           const char *labels,
                           const struct sample_upstream *upstream)
{
    if (upstream->check_ns > 0) {
        text_add(text, "%s{%s} %.9g\n", name, labels,
                 SECONDS(upstream->check_ns));
    }
}

/* ---- the families ---- */

#define COUNTER        .type = "counter"
#define GAUGE          .type = "gauge"
#define HISTOGRAM      .type = "histogram"
#define AT(member)     .offset = offsetof(struct sample_process, member)
#define SUM(member)    .offset = offsetof(struct service_sums, member)
#define NUMBER(member) .process = number, AT(member)

/* clang-format off */
static const struct family families[] = {
    {"evproxy_build_info", GAUGE, .process = build_info,
     .help = "Version, and whether TLS is built in."},
    {"evproxy_workers", GAUGE, NUMBER(workers),
     .help = "Worker threads."},
    {"evproxy_worker_active", GAUGE, .worker = worker_active,
     .help = "TCP connections of the worker."},
    {"evproxy_worker_handed_total", COUNTER, .worker = worker_handed,
     .help = "Connections that the worker accepted and handed to another."},
    {"evproxy_stopping", GAUGE, .process = stopping,
     .help = "Whether the process drains to stop."},
    {"evproxy_connections", GAUGE, NUMBER(connections),
     .help = "Connections of the process, as its limit counts them."},
    {"evproxy_connection_limit", GAUGE, NUMBER(connection_limit),
     .help = "Most connections of the process (max_connections)."},
    {"evproxy_descriptors_limit", GAUGE, NUMBER(facts.descriptors_limit),
     .help = "Most open file descriptors (RLIMIT_NOFILE)."},
    {"evproxy_capacity_connections", GAUGE, .process = capacity_held,
     .help = "Most connections that can be held, by limit; the least holds."},
    {"evproxy_capacity_in_flight", GAUGE, .process = capacity_in_flight,
     .help = "Most connections with bytes in flight at one time, by limit."},
    {"evproxy_buffer_bytes", GAUGE, NUMBER(buffer_bytes),
     .help = "Memory lent to bytes in flight."},
    {"evproxy_buffer_limit_bytes", GAUGE, NUMBER(buffer_limit_bytes),
     .help = "Most memory lent to bytes in flight (buffer_memory)."},
    {"evproxy_kernel_tcp_bytes", GAUGE, .process = kernel_tcp,
     AT(tcp.used_bytes),
     .help = "Kernel memory of all TCP sockets of the machine."},
    {"evproxy_kernel_tcp_pressure_bytes", GAUGE, .process = known,
     AT(tcp.pressure_bytes),
     .help = "Where the kernel begins to save TCP memory (tcp_mem)."},
    {"evproxy_accept_paused_total", COUNTER, NUMBER(accept_paused),
     .help = "Pauses of accepting, at the limit or by a shortage."},
    {"evproxy_longest_turn_seconds", GAUGE, .process = seconds,
     AT(longest_turn_ns),
     .help = "The longest turn of a worker's loop since the start."},
    {"evproxy_log_lost_total", COUNTER, NUMBER(log_lost),
     .help = "Log lines that were lost."},
    {"evproxy_reloads_total", COUNTER, .process = reloads,
     .help = "Reloads by their result."},
    {"evproxy_reload_timestamp_seconds", GAUGE, .process = seconds,
     AT(facts.reloaded_unix_ns),
     .help = "When the configuration in use was loaded, in Unix time."},
    {"evproxy_accepted_total", COUNTER, SUM(accepted),
     .help = "Accepted connections."},
    {"evproxy_active", GAUGE, SUM(active),
     .help = "Connections that have not ended."},
    {"evproxy_service_connection_limit", GAUGE, .service = service_limit,
     .help = "Most connections of the service (max_connections)."},
    {"evproxy_bytes_total", COUNTER, .service = bytes,
     .help = "Bytes passed on; up is from client to upstream."},
    {"evproxy_ended_total", COUNTER, .service = ended,
     .help = "Ended connections by their cause."},
    {"evproxy_multipath_total", COUNTER, SUM(multipath),
     .help = "Accepted connections with Multipath TCP."},
    {"evproxy_sources_refused_total", COUNTER, SUM(sources_refused),
     .help = "Connections refused as the table of sources was full."},
    {"evproxy_datagrams_dropped_total", COUNTER, .service = dropped,
     .help = "Datagrams that came and were not passed on."},
    {"evproxy_connect_seconds", HISTOGRAM, .service = connect_times,
     .help = "How long connects to upstreams took, with their TLS handshake."},
    {"evproxy_connection_duration_seconds", HISTOGRAM, .service = durations,
     .help = "How long connections lasted that have ended."},
    {"evproxy_upstream_up", GAUGE, .upstream = upstream_is_up,
     .help = "Whether the upstream is not down."},
    {"evproxy_upstream_active", GAUGE, .upstream = upstream_active,
     .help = "Connections, those that are being connected too."},
    {"evproxy_upstream_connections_total", COUNTER, .upstream = upstream_total,
     .help = "Connections that were established."},
    {"evproxy_upstream_failures_total", COUNTER, .upstream = upstream_failures,
     .help = "Connects that failed by the upstream's fault."},
    {"evproxy_upstream_bytes_total", COUNTER, .upstream = upstream_bytes,
     .help = "Bytes passed on; up is to the upstream."},
    {"evproxy_upstream_check_seconds", GAUGE, .upstream = upstream_check,
     .help = "How long the last health check took."},
    {"process_cpu_seconds_total", COUNTER, .process = seconds,
     AT(figures.cpu_ns),
     .help = "Processor time in user space and in the kernel."},
    {"process_start_time_seconds", GAUGE, .process = seconds,
     AT(facts.started_unix_ns),
     .help = "When the process started, in Unix time."},
    {"process_resident_memory_bytes", GAUGE, NUMBER(figures.resident_bytes),
     .help = "Resident memory."},
    {"process_virtual_memory_bytes", GAUGE, NUMBER(figures.virtual_bytes),
     .help = "Virtual memory."},
    {"process_open_fds", GAUGE, .process = known,
     AT(figures.open_descriptors),
     .help = "Open file descriptors."},
    {"process_max_fds", GAUGE, NUMBER(figures.max_descriptors),
     .help = "Most open file descriptors."},
    {"process_threads", GAUGE, NUMBER(figures.threads),
     .help = "Threads."},
};
/* clang-format on */

static void write_service(const struct family *family,
                          const struct sample_service *service,
                          struct text *text)
{
    const char *sums = (const char *)&service->sums;
    char label[SERVICE_LABEL_MAX];
    uint64_t value;

    metrics_escape(service->service->config->name, label, sizeof(label));
    if (family->service != NULL) {
        family->service(text, family->name, label, service);
        return;
    }
    memcpy(&value, sums + family->offset, sizeof(value));
    text_add(text, "%s{service=\"%s\"} %" PRIu64 "\n", family->name, label,
             value);
}

static void write_upstream(const struct family *family,
                           const struct sample *sample,
                           const struct sample_upstream *upstream,
                           struct text *text)
{
    const struct service *service = sample->services[upstream->service].service;
    char name[SERVICE_LABEL_MAX];
    char address[UPSTREAM_LABEL_MAX];
    char labels[SERVICE_LABEL_MAX + UPSTREAM_LABEL_MAX + 32];

    metrics_escape(service->config->name, name, sizeof(name));
    metrics_escape(upstream->upstream->text, address, sizeof(address));
    snprintf(labels, sizeof(labels), "service=\"%s\",upstream=\"%s\"", name,
             address);
    family->upstream(text, family->name, labels, upstream);
}

static uint32_t count_items(const struct family *family,
                            const struct sample *sample)
{
    if (family->process != NULL) {
        return 1;
    }
    if (family->worker != NULL) {
        return (uint32_t)sample->process.workers;
    }
    return family->upstream == NULL ? sample->service_count
                                    : sample->upstream_count;
}

static void write_item(const struct family *family, const struct sample *sample,
                       uint32_t item, struct text *text)
{
    if (family->process != NULL) {
        family->process(text, family, &sample->process);
    } else if (family->worker != NULL) {
        family->worker(text, family->name, item, &sample->workers[item]);
    } else if (family->upstream == NULL) {
        write_service(family, &sample->services[item], text);
    } else {
        write_upstream(family, sample, &sample->upstreams[item], text);
    }
}

bool metrics_write(const struct sample *sample, struct metrics_place *place,
                   struct text *text)
{
    size_t begin = text->count;

    while (place->family < ARRAY_LEN(families)) {
        const struct family *family = &families[place->family];

        if (place->item == 0) {
            text_add(text, "# HELP %s %s\n# TYPE %s %s\n", family->name,
                     family->help, family->name, family->type);
        }
        while (place->item < count_items(family, sample)) {
            write_item(family, sample, place->item++, text);
            if (text->count - begin >= PIECE_BYTES || text->failed) {
                return true;
            }
        }
        place->family++;
        place->item = 0;
    }
    return false;
}
