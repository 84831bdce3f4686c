#include "stats.h"

#include "proxy_log.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define START_MAX 256

/* The process's line, which comes before all others. */
static const char *const FIRST = "stats uptime_s=";

/* A line may have its priority before it, as in "<6>". */
static bool begins_with(const char *line, const void *start)
{
    if (line[0] == '<' && line[1] != '\0' && line[2] == '>') {
        line += 3;
    }
    return strncmp(line, start, strlen(start)) == 0;
}

/* Asks; answers the first line of what comes, and its number. */
static const char *ask(struct proxy *proxy, size_t *n)
{
    struct proxy_log *log = proxy_log(proxy);
    const char *line;

    *n = proxy_log_count(log);
    proxy_signal(proxy, SIGUSR1);
    line = proxy_log_find(log, n, begins_with, FIRST, wait_limit_ms());
    if (line == NULL) {
        fail_msg("no stats lines");
    }
    return line;
}

static void write_start(char *start, const char *service, const char *upstream)
{
    if (upstream != NULL) {
        snprintf(start, START_MAX, "stats service=%s upstream=%s ", service,
                 upstream);
    } else {
        snprintf(start, START_MAX, "stats service=%s active=", service);
    }
}

const char *stats_line(struct proxy *proxy, const char *service,
                       const char *upstream)
{
    char start[START_MAX];
    size_t n;
    const char *line = ask(proxy, &n);

    if (service == NULL) {
        return line;
    }
    write_start(start, service, upstream);
    line = proxy_log_find(proxy_log(proxy), &n, begins_with, start,
                          wait_limit_ms());
    if (line == NULL) {
        fail_msg("no line '%s...' in the stats", start);
    }
    return line;
}

bool stats_listed(struct proxy *proxy, const char *service,
                  const char *upstream)
{
    char start[START_MAX];
    const char *found;
    size_t n, end;

    ask(proxy, &n);
    ask(proxy, &end); /* the first answer is complete then */
    write_start(start, service, upstream);
    found = proxy_log_find(proxy_log(proxy), &n, begins_with, start, 0);
    return found != NULL && n < end;
}

uint64_t stats_get(struct proxy *proxy, const char *service,
                   const char *upstream, const char *key)
{
    return proxy_line_value(stats_line(proxy, service, upstream), key);
}

void stats_await(struct proxy *proxy, const char *service, const char *upstream,
                 const char *key, uint64_t value)
{
    int64_t limit = wait_limit_ms();

    for (;;) {
        const char *line = stats_line(proxy, service, upstream);

        if (proxy_line_value(line, key) == value) {
            return;
        }
        if (wait_now_ms() > limit) {
            fail_msg("%s never was %lu: %s", key, (unsigned long)value, line);
        }
        wait_tick();
    }
}

void stats_await_cause(struct proxy *proxy, const char *cause, uint64_t count)
{
    char key[64];

    snprintf(key, sizeof(key), "ended_%s", cause);
    stats_await(proxy, "web", NULL, key, count);
}

void stats_expect_only(struct proxy *proxy, const char *cause, uint64_t count)
{
    stats_await_cause(proxy, cause, count);
    stats_await(proxy, "web", NULL, "accepted", count);
    stats_await(proxy, "web", NULL, "active", 0);
    stats_await(proxy, NULL, NULL, "active", 0);
    stats_await(proxy, NULL, NULL, "buffers_lent", 0);
}

uint64_t stats_ended(const char *line)
{
    uint64_t sum = 0;

    while ((line = strstr(line, " ended_")) != NULL) {
        line = strchr(line, '=') + 1;
        sum += strtoull(line, NULL, 10);
    }
    return sum;
}
