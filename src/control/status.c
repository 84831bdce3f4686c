#include "control/status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes after which a piece ends. */
#define PIECE_BYTES 16384

#define SECONDS(ns) ((ns) / NS_PER_S)

void status_add_string(struct text *text, const char *string)
{
    text_add_string(text, "\"");
    for (; *string != '\0'; string++) {
        unsigned char c = (unsigned char)*string;

        if (c < ' ') {
            text_add(text, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            text_add_string(text, "\\");
        }
        text_add_bytes(text, string, 1);
    }
    text_add_string(text, "\"");
}

/* ,"key":value */
static void add_number(struct text *text, const char *key, uint64_t value)
{
    text_add(text, ",\"%s\":%" PRIu64, key, value);
}

static void add_series(struct text *text, const struct history *history,
                       enum history_series series)
{
    text_add(text, "\"%s\":[", history_names[series]);
    for (unsigned i = 0; history != NULL && i < history->count; i++) {
        text_add(text, "%s%.6g", i == 0 ? "" : ",",
                 (double)history_get(history, series, i));
    }
    text_add_string(text, "]");
}

/* history NULL: there is none yet. */
static void add_history(struct text *text, const struct history *history)
{
    for (unsigned i = 0; i < HISTORY_SERIES; i++) {
        text_add_string(text, i == 0 ? "" : ",");
        add_series(text, history, (enum history_series)i);
    }
    text_add_string(text, "}");
}

/* ---- the process ---- */

static void add_process_stats(struct text *text, const struct sample *sample)
{
    const struct sample_process *process = &sample->process;
    const struct service_sums *sums = &process->sums;

    text_add(text, "\"uptime_s\":%" PRIu64,
             SECONDS(sample->now_ns - process->facts.started_ns));
    add_number(text, "workers", process->workers);
    add_number(text, "active", sums->active + process->nameless);
    add_number(text, "accepted", sums->accepted + process->nameless);
    add_number(text, "bytes_up", sums->bytes[UP]);
    add_number(text, "bytes_down", sums->bytes[DOWN]);
    add_number(text, "buffers_lent", process->buffers_lent);
    add_number(text, "buffers_peak", process->buffers_peak);
    add_number(text, "buffer_bytes", process->buffer_bytes);
    add_number(text, "accept_paused", process->accept_paused);
    add_number(text, "generation", process->generation);
    add_number(text, "log_lost", process->log_lost);
    add_number(text, "longest_turn_us", process->longest_turn_ns / 1000);
    add_number(text, "kernel_tcp_bytes", machine_tcp_used(&process->tcp));
    add_number(text, "kernel_tcp_pressure_bytes", process->tcp.pressure_bytes);
    add_number(text, "connections", process->connections);
    add_number(text, "connection_limit", process->connection_limit);
    add_number(text, "descriptors_limit", process->facts.descriptors_limit);
    add_number(text, "buffer_limit_bytes", process->buffer_limit_bytes);
    if (process->figures.open_descriptors > 0) {
        add_number(text, "descriptors", process->figures.open_descriptors);
    }
}

static void begin(struct text *text, const struct sample *sample,
                  const struct history *history)
{
    text_add(text,
             "{\"version\":\"%s\",\"time\":%" PRIu64 ",\"stopping\":%s,"
             "\"stats\":{",
             EVPROXY_VERSION, SECONDS(sample->now_unix_ns),
             sample->process.facts.stopping ? "true" : "false");
    add_process_stats(text, sample);
    text_add(text, "},\"history\":{\"interval_s\":%" PRIu64 ",",
             SECONDS(HISTORY_INTERVAL_NS));
    add_history(text, history);
    text_add_string(text, ",\"services\":[");
}

/* ---- services ---- */

static void add_listens(struct text *text, const struct config_service *config)
{
    char address[ADDR_TEXT_MAX + sizeof("-65535")];

    text_add_string(text, ",\"listen\":[");
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listens[i];

        endpoint_format(&listen->address.endpoint, address);
        if (listen->last_port != listen->address.port) {
            snprintf(address + strlen(address), sizeof("-65535"), "-%u",
                     listen->last_port);
        }
        text_add_string(text, i == 0 ? "" : ",");
        status_add_string(text, address);
    }
    text_add_string(text, "]");
}

static void add_service_stats(struct text *text,
                              const struct service_sums *sums)
{
    text_add(text, ",\"stats\":{\"active\":%" PRIu64, sums->active);
    add_number(text, "accepted", sums->accepted);
    add_number(text, "bytes_up", sums->bytes[UP]);
    add_number(text, "bytes_down", sums->bytes[DOWN]);
    for (unsigned i = CAUSE_NONE + 1; i < CAUSES; i++) {
        text_add(text, ",\"ended_%s\":%" PRIu64, cause_name((enum cause)i),
                 sums->ended[i]);
    }
    add_number(text, "dropped", service_sums_dropped(sums));
    text_add_string(text, "}");
}

static void begin_service(struct text *text,
                          const struct sample_service *service)
{
    const struct config_service *config = service->service->config;

    text_add_string(text, "{\"service\":");
    status_add_string(text, config->name);
    text_add(text, ",\"mode\":\"%s\"",
             config->mode == CONFIG_UDP ? "udp" : "tcp");
    add_listens(text, config);
    text_add(text, ",\"limits\":{\"max_connections\":%" PRIu32 "}",
             config->max_connections);
    add_service_stats(text, &service->sums);
    text_add_string(text, ",\"history\":{");
    add_history(text, service->service->state->history);
    text_add_string(text, ",\"upstreams\":[");
}

/* ---- upstreams ---- */

static void add_upstream_stats(struct text *text,
                               const struct sample_upstream *upstream)
{
    text_add(text, ",\"stats\":{\"active\":%" PRIu32, upstream->active);
    add_number(text, "total", upstream->sums.total);
    add_number(text, "failed", upstream_sums_failed(&upstream->sums));
    add_number(text, "bytes_up", upstream->sums.bytes[UP]);
    add_number(text, "bytes_down", upstream->sums.bytes[DOWN]);
    text_add_string(text, "}}");
}

static void add_upstream(struct text *text, const struct sample *sample,
                         const struct sample_upstream *upstream)
{
    text_add_string(text, "{\"upstream\":");
    status_add_string(text, upstream->upstream->text);
    text_add(text, ",\"state\":\"%s\",\"cause\":",
             upstream_state_name(upstream->up, upstream->line->drain));
    if (upstream->up) {
        text_add_string(text, "null");
    } else {
        status_add_string(text, upstream->cause);
    }
    text_add(text,
             ",\"weight\":%" PRIu32
             ",\"backup\":%s,\"max_connections\":%" PRIu32 ",\"check_ms\":",
             upstream->weight, upstream->backup ? "true" : "false",
             upstream->line->max_connections);
    if (upstream->check_ns == 0) {
        text_add_string(text, "null");
    } else {
        text_add(text, "%.6g", (double)upstream->check_ns / (double)NS_PER_MS);
    }
    if (upstream->since_ns == 0) {
        text_add_string(text, ",\"since\":null");
    } else {
        add_number(text, "since",
                   SECONDS(sample->now_unix_ns -
                           (sample->now_ns - upstream->since_ns)));
    }
    add_upstream_stats(text, upstream);
}

/* ---- the whole ---- */

static void write_next(const struct sample *sample, struct status_place *place,
                       struct text *text)
{
    const struct sample_service *service = &sample->services[place->service];

    if (!place->in_service) {
        text_add_string(text, place->service == 0 ? "" : ",");
        begin_service(text, service);
        place->in_service = true;
        place->upstream = service->first;
    } else if (place->upstream != 0) {
        const struct sample_upstream *upstream =
            &sample->upstreams[place->upstream - 1];

        text_add_string(text, place->upstream == service->first ? "" : ",");
        add_upstream(text, sample, upstream);
        place->upstream = upstream->next;
    } else {
        text_add_string(text, "]}");
        place->in_service = false;
        place->service++;
    }
}

bool status_write(const struct sample *sample, const struct history *history,
                  struct status_place *place, struct text *text)
{
    size_t first = text->count;

    if (!place->begun) {
        place->begun = true;
        begin(text, sample, history);
    }
    while (place->service < sample->service_count) {
        if (text->count - first >= PIECE_BYTES || text->failed) {
            return true;
        }
        write_next(sample, place, text);
    }
    text_add_string(text, "]}\n");
    return false;
}
