/*
 * The log's line of a connection that ended is the contract's; every service of
 * a run has it written, and here it is read. log_write is turned here at link
 * time.
 */
#include "rig.h"
#include "upgrades.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reading;

void __real_log_write(enum log_level level, const char *format, ...)
    PRINTF(2, 3);
void __wrap_log_write(enum log_level level, const char *format, ...)
    PRINTF(2, 3);

void ends_begin(void)
{
    reading = true;
}

void ends_stop(void)
{
    reading = false;
}

/* The value behind that key, "key="; ends at a space. */
static const char *value_of(const char *line, const char *key)
{
    const char *at = strstr(line, key);

    return at == NULL ? "" : at + strlen(key);
}

static uint64_t number_of(const char *line, const char *key)
{
    return strtoull(value_of(line, key), NULL, 10);
}

static bool is_word(const char *value, const char *word)
{
    size_t length = strlen(word);

    return strncmp(value, word, length) == 0 && value[length] == ' ';
}

/* Whose line it is: by the port of "1.2.3.4:5" or "[::1]:5". NULL: nobody's. */
static struct conn *conn_of(const char *client)
{
    size_t length = strcspn(client, " ");
    const char *colon = memrchr(client, ':', length);
    unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, NULL, 10);

    port -= port >= TOLD_PORT ? TOLD_PORT : CLIENT_PORT;
    return port < rig.count ? &rig.conns[port] : NULL;
}

static enum cause cause_of(const char *value)
{
    enum cause cause = CAUSE_NONE;

    while (cause < CAUSES && !is_word(value, cause_name(cause))) {
        cause++;
    }
    return cause;
}

/* "10.1.2.3:80", or "-". */
static int upstream_of(const char *value, unsigned service)
{
    unsigned place, high, low;

    if (value[0] == '-') {
        return -1;
    }
    if (sscanf(value, "10.%u.%u.%u:", &place, &high, &low) != 3 ||
        place != service) {
        rig_fail("an upstream of another service: %.40s", value);
    }
    return (int)(high << 8 | low);
}

static void read_end(const char *line)
{
    unsigned service = (unsigned)number_of(line, "service=s");
    struct conn *conn = conn_of(value_of(line, "client="));
    enum cause cause = cause_of(value_of(line, "cause="));

    kernel_trace("%s", line);
    if (conn == NULL || service >= rig.service_count || cause == CAUSES) {
        rig_fail("whose end is this: %.200s", line);
        return;
    }
    if (conn->ends++ > 0) {
        rig_fail("a connection ended twice");
    }
    conn->ended_in = &rig.services[service];
    conn->cause = cause;
    conn->upstream = upstream_of(value_of(line, "upstream="), service);
    conn->bytes[UP] = number_of(line, "bytes_up=");
    conn->bytes[DOWN] = number_of(line, "bytes_down=");
    conn->duration_ms = number_of(line, "duration_ms=");
    conn->ended_ns = kernel_now_ns();
    conn->upgrading = upgrades_under_way();
    conn->ended_in->ends[cause]++;
    conn->ended_in->bytes[UP] += conn->bytes[UP];
    conn->ended_in->bytes[DOWN] += conn->bytes[DOWN];
}

void __wrap_log_write(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (reading && level == LOG_RECORD && strncmp(line, "conn ", 5) == 0) {
        read_end(line);
    } else if (reading && strncmp(line, "upgrade ", 8) == 0) {
        kernel_trace("%s", line);
    } else {
        __real_log_write(level, "%s", line);
    }
}
