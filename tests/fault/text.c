#include "rig.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define TEXT_MAX 262144

static char text[TEXT_MAX];
static size_t length;

static void write_text(const char *format, ...) PRINTF(1, 2);

static void write_text(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    length += (size_t)vsnprintf(text + length, TEXT_MAX - length, format, args);
    va_end(args);
    assert(length < TEXT_MAX);
}

/* A key with its number, if there is one. */
static void write_number(const char *key, unsigned number, const char *unit)
{
    if (number != 0) {
        write_text("%s = %u%s\n", key, number, unit);
    }
}

static void write_times(const struct rig_service *service)
{
    write_number("header_timeout", service->header_ms, "ms");
    write_number("connect_timeout", service->connect_ms, "ms");
    write_number("idle_timeout", service->idle_ms, "ms");
    write_number("read_timeout", service->read_ms, "ms");
    write_number("write_timeout", service->write_ms, "ms");
    write_number("half_close_timeout", service->half_close_ms, "ms");
    write_number("max_lifetime", service->lifetime_ms, "ms");
}

static void write_limits(const struct rig_service *service)
{
    const char *rule = service->rule == RULE_DENY ? "deny" : "allow";

    write_number("max_connections", service->max_connections, "");
    write_number("max_connections_per_source", service->per_source, "");
    write_number("rate_up", service->rate[UP], "");
    write_number("rate_down", service->rate[DOWN], "");
    write_number("service_rate_up", service->shared_rate[UP], "");
    write_number("service_rate_down", service->shared_rate[DOWN], "");
    write_number("rate_burst", service->burst, "");
    if (service->rule != RULE_NONE) {
        write_text("%s = %s\n", rule, service->rule_source);
    }
    if (service->clients == 0) {
        write_text("deny = ::/0\n");
    }
}

static void write_listen(const struct rig_service *service)
{
    const struct listen *listen = &rig.listens[service->listen];
    const char *comma = "";

    write_text("listen = 127.0.0.1:%u\n", LISTEN_PORT + service->listen);
    if (service->names[0] != 0) {
        write_text("sni = %s\n", service->names);
    }
    if (!listen->proxy_protocol) {
        return;
    }
    write_text("proxy_protocol = on\nproxy_protocol_from = ");
    for (unsigned i = 0; i < 3; i++) {
        if (listen->senders >> i & 1) {
            write_text("%s127.0.0.%u", comma, i + 1);
            comma = ", ";
        }
    }
    write_text("\n");
}

/* Many lines that differ in one byte or two. */
static void write_upstreams(const struct rig_service *service, unsigned place)
{
    static const char *const options[] = {"", " proxy_protocol=v1",
                                          " proxy_protocol=v2"};
    char max[40] = "\n";
    unsigned i = 0;

    if (service->upstream_max > 0) {
        (void)snprintf(max, sizeof(max), " max_connections=%u\n",
                       service->upstream_max);
    }
    for (; i < service->upstreams; i++) {
        write_text("upstream = 10.%u.%u.%u:%u%s%s", place, i >> 8, i & 255,
                   UPSTREAM_PORT, options[network_told(service, i)], max);
    }
}

static void write_service(unsigned place)
{
    const struct rig_service *service = &rig.services[place];

    write_text("[service s%u]\nbalance = %s\nconnect_attempts = %u\n"
               "fail_threshold = %u\n%s",
               place, service->balance, service->attempts,
               service->fail_threshold,
               service->sources ? "source_address = 10.9.0.1-10.9.0.3\n" : "");
    write_listen(service);
    write_times(service);
    write_limits(service);
    write_upstreams(service, place);
}

const char *text_write(size_t *size)
{
    length = 0;
    write_text("[global]\naccess_log = yes\n");
    for (unsigned i = 0; i < rig.service_count; i++) {
        write_service(rig.reversed ? rig.service_count - 1 - i : i);
    }
    *size = length;
    return text;
}
