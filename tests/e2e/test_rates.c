/*
 * Rates of bytes: each is kept, shared by what it is for, and has its burst.
 */
#include "delay.h"
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <stdio.h>
#include <sys/socket.h>

#define RATE  (2 * 1024 * 1024) /* bytes a second */
#define BURST (RATE / 2)

/*
 * Measures how long 2 * RATE bytes take after the first BURST. The burst is
 * over then, and its depth makes up for moments when this process does not run.
 */
struct meter {
    int fd;
    size_t moved;
    int64_t begin_ms;
    int64_t end_ms;   /* 0: not there yet */
    int64_t delay_ms; /* while it measured */
};

static void meter_read(struct meter *meter)
{
    static char buffer[65536];
    ssize_t count = recv(meter->fd, buffer, sizeof(buffer), 0);
    bool begun = meter->moved >= BURST;

    if (count <= 0) {
        return;
    }
    meter->moved += (size_t)count;
    if (!begun && meter->moved >= BURST) {
        meter->begin_ms = wait_now_ms();
        meter->delay_ms = -delay_of_all_ms();
        meter->moved = BURST;
    }
    if (meter->moved >= BURST + 2 * RATE && meter->end_ms == 0) {
        meter->end_ms = wait_now_ms();
        meter->delay_ms += delay_of_all_ms();
    }
}

static bool meters_done(struct meter *meters, unsigned count)
{
    bool done = true;

    for (unsigned i = 0; i < count; i++) {
        meter_read(&meters[i]);
        done = done && meters[i].end_ms != 0;
    }
    return done;
}

static void meters_run(struct meter *meters, unsigned count)
{
    int64_t limit = wait_limit_ms();

    while (!meters_done(meters, count)) {
        assert_true(wait_now_ms() < limit);
        wait_readable(meters[0].fd, 5);
    }
}

/* More than a meter measures. */
static struct stream long_stream(int fd)
{
    return (struct stream){.fd = fd, .bytes = BURST + 2 * RATE + RATE / 8};
}

static void expect_rate(const struct meter *meter, const char *key)
{
    int64_t took = meter->end_ms - meter->begin_ms;

    if (took < 1900 || took - meter->delay_ms > (test_slow() ? 4000 : 2100)) {
        fail_msg("%s: %ld ms instead of 2000, with a delay of %ld", key,
                 (long)took, (long)meter->delay_ms);
    }
}

static void each_rate_is_kept_within_five_percent(void **state)
{
    static const char *const keys[] = {"rate_up", "rate_down",
                                       "service_rate_up", "service_rate_down"};

    enum { RATES = sizeof(keys) / sizeof(*keys) };
    struct loopback front[RATES];
    struct loopback back[RATES];
    struct meter meters[RATES] = {0};
    struct stream streams[RATES];
    char config[2048];
    int used = 0;

    (void)state;
    for (int i = 0; i < RATES; i++) {
        front[i] = loopback_new();
        back[i] = loopback_new();
        used += snprintf(config + used, sizeof(config) - (size_t)used,
                         "[service s%d]\nlisten = %s\nupstream = %s\n"
                         "%s = 2M\nrate_burst = 512K\n",
                         i, front[i].text, back[i].text, keys[i]);
    }
    struct proxy *proxy = proxy_start("%s", config);
    for (int i = 0; i < RATES; i++) {
        int listener = socket_listen(&back[i]);
        int client = socket_connect(&front[i]);
        int upstream = socket_accept(listener);
        bool up = i % 2 == 0;

        meters[i].fd = up ? upstream : client;
        streams[i] = long_stream(up ? client : upstream);
        stream_start_send(&streams[i]);
    }
    meters_run(meters, RATES);
    for (int i = 0; i < RATES; i++) {
        stream_join(&streams[i]);
        expect_rate(&meters[i], keys[i]);
    }
    proxy_stop(proxy);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Two connections, each with a stream down, share what one would have. */
static void connections_share_the_rate_of_their_service(void **state)
{
    struct fixture fixture;
    struct stream out[2];
    struct meter meters[2] = {0};
    int64_t delay = 0;

    (void)state;
    fixture_open(&fixture, "", "service_rate_down = 4M\nrate_burst = 512K");
    for (int i = 0; i < 2; i++) {
        struct pair pair = pair_connect(&fixture);

        meters[i].fd = pair.client;
        out[i] = long_stream(pair.upstream);
        stream_start_send(&out[i]);
    }
    meters_run(meters, 2);
    for (int i = 0; i < 2; i++) {
        stream_join(&out[i]);
        int64_t took = meters[i].end_ms - meters[i].begin_ms;
        delay = most(delay, meters[i].delay_ms);
        assert_in_range(took, 1400, (test_slow() ? 4000 : 2600) + delay);
    }
    int64_t took = most(meters[0].end_ms, meters[1].end_ms) -
                   least(meters[0].begin_ms, meters[1].begin_ms);
    assert_in_range(took, 1900, (test_slow() ? 4000 : 2500) + delay);
    fixture_close(&fixture);
}

static void the_burst_passes_at_once_and_no_more(void **state)
{
    struct fixture fixture;
    struct stream out = {.seed = 1, .bytes = 300 * 1024};
    struct stream burst = {.seed = 1, .bytes = 200 * 1024};
    struct stream rest = {.seed = 1, .offset = 200 * 1024, .bytes = 100 * 1024};

    (void)state;
    fixture_open(&fixture, "", "rate_up = 50K\nrate_burst = 200K");
    struct pair pair = pair_connect(&fixture);
    struct stopwatch watch = stopwatch_start();
    out.fd = pair.client;
    burst.fd = rest.fd = pair.upstream;
    stream_start_send(&out);
    stream_expect(&burst);
    stopwatch_expect(&watch, 0, 800); /* 4 s without the burst */
    stream_expect(&rest);
    stopwatch_expect(&watch, 1900, 8000);
    stream_join(&out);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(each_rate_is_kept_within_five_percent),
        E2E(connections_share_the_rate_of_their_service),
        E2E(the_burst_passes_at_once_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
