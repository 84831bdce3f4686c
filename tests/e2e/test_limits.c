/*
 * Limits: who may come in, how many, how fast; and what happens when the
 * process has no descriptor left.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Through to the upstream and back. */
static void expect_served(const struct pair *pair)
{
    send_text(pair->client, "ping");
    expect_text(pair->upstream, "ping");
    send_text(pair->upstream, "pong");
    expect_text(pair->client, "pong");
}

static struct pair pair_from(const struct scene *scene, const char *source)
{
    struct pair pair;
    pair.client = dial_from(source, &scene->front);
    pair.upstream = take(scene->listener);
    return pair;
}

/* ---- access ---- */

static void the_first_rule_that_matches_decides(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "",
               "deny = 127.9.0.5\nallow = 127.9.0.0/24\n"
               "deny = 127.0.0.0/8");
    struct pair inside = pair_from(&scene, "127.9.0.6");
    expect_served(&inside);
    expect_refused("127.9.0.5", &scene.front, NULL);
    expect_refused("127.9.1.6", &scene.front, "bytes");
    expect_refused("127.0.0.1", &scene.front, NULL);
    await_cause(scene.proxy, "denied", 3);
    stat_await(scene.proxy, "web", NULL, "accepted", 4);
    scene_close(&scene);
}

static void with_any_allow_the_rest_is_denied(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "allow = 127.9.0.7\nallow = ::1");
    struct pair pair = pair_from(&scene, "127.9.0.7");
    expect_served(&pair);
    expect_refused("127.9.0.8", &scene.front, NULL);
    await_cause(scene.proxy, "denied", 1);
    scene_close(&scene);
}

static void with_deny_alone_the_rest_is_allowed(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "deny = 127.9.0.0/16");
    struct pair pair = pair_from(&scene, "127.10.0.1");
    expect_served(&pair);
    expect_refused("127.9.200.8", &scene.front, NULL);
    await_cause(scene.proxy, "denied", 1);
    scene_close(&scene);
}

/* ---- counts ---- */

static void above_the_services_limit_a_connection_is_reset_at_once(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "access_log = yes", "max_connections = 2");
    struct pair first = scene_pair(&scene);
    struct pair second = scene_pair(&scene);
    expect_refused(NULL, &scene.front, NULL);
    expect_refused(NULL, &scene.front, "bytes");
    await_cause(scene.proxy, "limit_connections", 2);
    proxy_line(scene.proxy, "^conn service=web client=.* "
                            "cause=limit_connections ");
    expect_served(&first);
    pair_hang_up(&first);
    stat_await(scene.proxy, "web", NULL, "active", 1);
    struct pair third = scene_pair(&scene);
    expect_served(&third);
    expect_served(&second);
    scene_close(&scene);
}

static void above_a_sources_limit_only_that_source_is_reset(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "max_connections_per_source = 2");
    struct pair first = pair_from(&scene, "127.9.0.1");
    struct pair second = pair_from(&scene, "127.9.0.1");
    expect_refused("127.9.0.1", &scene.front, NULL);
    struct pair other = pair_from(&scene, "127.9.0.2");
    expect_served(&first);
    expect_served(&second);
    expect_served(&other);
    await_cause(scene.proxy, "limit_source", 1);
    pair_hang_up(&second);
    stat_await(scene.proxy, "web", NULL, "active", 2);
    second = pair_from(&scene, "127.9.0.1");
    expect_served(&second);
    scene_close(&scene);
}

static void the_accept_rate_has_a_bucket_one_second_deep(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "accept_rate = 5");
    int64_t begin = time_ms();
    for (int i = 0; i < 5; i++) {
        scene_pair(&scene);
    }
    expect_refused(NULL, &scene.front, NULL);
    await_cause(scene.proxy, "limit_rate", 1);
    unsigned refused = 1;
    while (!pending(scene.listener, 100)) { /* a token comes every 200 ms */
        int fd = dial_try(NULL, &scene.front);
        assert_in_range(time_ms() - begin, 0, 8000);
        if (fd < 0 || pending(fd, 100)) {
            refused++;
        }
    }
    await_cause(scene.proxy, "limit_rate", refused);
    scene_close(&scene);
}

static void the_accept_rate_of_a_source_leaves_others_alone(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "accept_rate_per_source = 2");
    pair_from(&scene, "127.9.0.1");
    pair_from(&scene, "127.9.0.1");
    expect_refused("127.9.0.1", &scene.front, NULL);
    pair_from(&scene, "127.9.0.2");
    pair_from(&scene, "127.9.0.2");
    expect_refused("127.9.0.2", &scene.front, NULL);
    await_cause(scene.proxy, "limit_rate", 2);
    scene_close(&scene);
}

/* At the global limit the backlog holds the rest, and loses none. */
static void above_the_global_limit_clients_wait_for_their_turn(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "max_connections = 3", "");
    struct pair pairs[3];
    for (int i = 0; i < 3; i++) {
        pairs[i] = scene_pair(&scene);
    }
    int waiting[4];
    for (int i = 0; i < 4; i++) {
        waiting[i] = dial(&scene.front);
        send_text(waiting[i], "patience");
    }
    expect_silence(scene.listener, 200);
    stat_await(scene.proxy, "web", NULL, "accepted", 3);
    assert_true(stat_get(scene.proxy, NULL, NULL, "accept_paused") > 0);
    expect_served(&pairs[2]);
    int taken = -1;
    for (int i = 0; i < 4; i++) {
        reset(i < 3 ? pairs[i].upstream : taken);
        taken = take(scene.listener);
        expect_text(taken, "patience");
    }
    stat_await(scene.proxy, NULL, NULL, "accepted", 7);
    scene_close(&scene);
}

/* ---- rates ---- */

enum { RATES = 4, RATE = 2 * 1024 * 1024, SETTLED = RATE / 2 };

/* Milliseconds that bytes after the first SETTLED ones took: the burst is over
 * then, and its depth makes up for moments when this process is not run. */
struct meter {
    int in;
    size_t moved;
    int64_t begin;
    int64_t end;
};

static void meter_read(struct meter *meter)
{
    static char buffer[65536];
    ssize_t count = recv(meter->in, buffer, sizeof buffer, 0);
    if (count <= 0) {
        return;
    }
    bool settled = meter->moved >= SETTLED;
    meter->moved += (size_t)count;
    if (!settled && meter->moved >= SETTLED) {
        meter->begin = time_ms();
        meter->moved = SETTLED;
    }
    if (meter->moved >= SETTLED + 2 * RATE && meter->end == 0) {
        meter->end = time_ms();
    }
}

static bool meters_done(struct meter *meters, unsigned count)
{
    bool done = true;
    for (unsigned i = 0; i < count; i++) {
        meter_read(&meters[i]);
        done = done && meters[i].end != 0;
    }
    return done;
}

static void meters_run(struct meter *meters, unsigned count)
{
    int64_t limit = time_limit();
    while (!meters_done(meters, count)) {
        assert_true(time_ms() < limit);
        pending(meters[0].in, 5);
    }
}

static void expect_rate(const struct meter *meter, const char *key)
{
    int64_t took = meter->end - meter->begin;
    if (took < 1900 || took > (test_slow() ? 4000 : 2100)) {
        fail_msg("%s: %ld ms instead of 2000", key, (long)took);
    }
}

static void each_rate_is_kept_within_five_percent(void **state)
{
    static const char *const keys[RATES] = {
        "rate_up", "rate_down", "service_rate_up", "service_rate_down"};
    struct place front[RATES];
    struct place back[RATES];
    struct meter meters[RATES] = {0};
    struct flow flows[RATES];
    char config[2048];
    int used = 0;
    (void)state;
    for (int i = 0; i < RATES; i++) {
        front[i] = place_new();
        back[i] = place_new();
        used += snprintf(config + used, sizeof config - (size_t)used,
                         "[service s%d]\nlisten = %s\nupstream = %s\n"
                         "%s = 2M\nrate_burst = 512K\n",
                         i, front[i].text, back[i].text, keys[i]);
    }
    struct proxy *proxy = proxy_start("%s", config);
    for (int i = 0; i < RATES; i++) {
        int listener = listen_on(&back[i]);
        int client = dial(&front[i]);
        int upstream = take(listener);
        bool up = i % 2 == 0;
        meters[i].in = up ? upstream : client;
        flows[i] = (struct flow){.fd = up ? client : upstream,
                                 .bytes = SETTLED + 2 * RATE + RATE / 8};
        flow_send(&flows[i]);
    }
    meters_run(meters, RATES);
    for (int i = 0; i < RATES; i++) {
        flow_join(&flows[i]);
        expect_rate(&meters[i], keys[i]);
    }
    proxy_stop(proxy);
}

/* Two connections, each with a stream down, share what one would have. */
static void connections_share_the_rate_of_their_service(void **state)
{
    struct scene scene;
    struct flow out[2];
    struct meter meters[2] = {0};
    (void)state;
    scene_open(&scene, "", "service_rate_down = 4M\nrate_burst = 512K");
    for (int i = 0; i < 2; i++) {
        struct pair pair = scene_pair(&scene);
        meters[i].in = pair.client;
        out[i] = (struct flow){.fd = pair.upstream,
                               .bytes = SETTLED + 2 * RATE + RATE / 8};
        flow_send(&out[i]);
    }
    meters_run(meters, 2);
    for (int i = 0; i < 2; i++) {
        flow_join(&out[i]);
        int64_t took = meters[i].end - meters[i].begin;
        assert_in_range(took, 1400, test_slow() ? 4000 : 2600);
    }
    int64_t begin =
        meters[0].begin < meters[1].begin ? meters[0].begin : meters[1].begin;
    int64_t end = meters[0].end > meters[1].end ? meters[0].end : meters[1].end;
    assert_in_range(end - begin, 1900, test_slow() ? 4000 : 2500);
    scene_close(&scene);
}

static void the_burst_passes_at_once_and_no_more(void **state)
{
    struct scene scene;
    struct flow out = {.seed = 1, .bytes = 300 * 1024};
    (void)state;
    scene_open(&scene, "", "rate_up = 50K\nrate_burst = 200K");
    struct pair pair = scene_pair(&scene);
    struct flow in = out;
    int64_t begin = time_ms();
    out.fd = pair.client;
    in.fd = pair.upstream;
    flow_send(&out);
    in.bytes = 200 * 1024;
    flow_run_receive(&in);
    assert_null(in.ill);
    assert_in_range(time_ms() - begin, 0, 800); /* 4 s without the burst */
    struct flow rest = {.fd = pair.upstream, .bytes = 100 * 1024};
    rest.seed = out.seed + in.bytes / 8;
    flow_run_receive(&rest);
    assert_null(rest.ill);
    assert_in_range(time_ms() - begin, 1900, 8000);
    flow_join(&out);
    scene_close(&scene);
}

/* ---- descriptors ---- */

static void set_descriptors(const struct proxy *proxy, rlim_t soft)
{
    struct rlimit limit;
    assert_int_equal(prlimit(proxy_pid(proxy), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = soft;
    assert_int_equal(prlimit(proxy_pid(proxy), RLIMIT_NOFILE, &limit, NULL), 0);
}

static void expect_calm(struct proxy *proxy, const struct pair *pair)
{
    uint64_t before = proxy_cpu_ms(proxy);
    int64_t begin = time_ms();
    proxy_mark(proxy);
    while (time_ms() < begin + 1000) {
        expect_served(pair);
        expect_silence(pair->client, 20);
    }
    assert_in_range(proxy_cpu_ms(proxy) - before, 0, test_slow() ? 900 : 150);
    /* Lines of shortage: one a second, and the edges of the interval. */
    assert_in_range(proxy_count(proxy, "."), 0, 3);
}

/* The limit falls while it runs, so that no count of its own protects it. The
 * last descriptor may be a client's, with none left for its upstream: it is
 * reset, perhaps before its own connect has returned. */
static void without_descriptors_accepting_pauses_and_resumes(void **state)
{
    enum { FLOOD = 100 };
    struct scene scene;
    int waiting[FLOOD];
    struct rlimit limit;
    (void)state;
    scene_open(&scene, "", "connect_attempts = 1\nidle_timeout = 1h");
    struct pair pair = scene_pair(&scene);
    prlimit(proxy_pid(scene.proxy), RLIMIT_NOFILE, NULL, &limit);
    set_descriptors(scene.proxy, proxy_entries(scene.proxy, "fd") + 7);
    for (int i = 0; i < FLOOD; i++) {
        waiting[i] = dial_try(NULL, &scene.front);
    }
    eventually(stat_get(scene.proxy, NULL, NULL, "accept_paused") > 0);
    expect_calm(scene.proxy, &pair);
    proxy_mark(scene.proxy);
    uint64_t accepted = stat_get(scene.proxy, NULL, NULL, "accepted");
    assert_true(accepted < FLOOD);
    set_descriptors(scene.proxy, limit.rlim_cur);
    stat_await(scene.proxy, NULL, NULL, "accepted", FLOOD + 1);
    expect_served(&pair);
    for (int i = 0; i < FLOOD; i++) {
        if (waiting[i] >= 0) {
            hang_up(waiting[i]);
        }
    }
    scene_close(&scene);
}

static void descriptors_that_come_free_let_waiting_clients_in(void **state)
{
    enum { FLOOD = 40 };
    struct place front = place_new();
    struct place back = place_new();
    int waiting[FLOOD];
    char message;
    (void)state;
    struct server *server = server_start(&back, serve_name, "A");
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    int first = dial(&front);
    expect_text(first, "A");
    set_descriptors(proxy, proxy_entries(proxy, "fd") + 7);
    for (int i = 0; i < FLOOD; i++) {
        waiting[i] = dial_try(NULL, &front);
    }
    eventually(stat_get(proxy, NULL, NULL, "accept_paused") > 0);
    for (int i = 0; i < FLOOD; i++) {
        if (waiting[i] >= 0) {
            hang_up(waiting[i]);
        }
    }
    stat_await(proxy, NULL, NULL, "accepted", FLOOD + 1);
    stat_await(proxy, NULL, NULL, "active", 1);
    expect_text(dial(&front), "A");
    assert_int_equal(recv(first, &message, 1, 0), -1); /* it still stands */
    proxy_stop(proxy);
    server_stop(server);
}

static void a_small_descriptor_limit_is_a_limit_of_connections(void **state)
{
    enum { FLOOD = 300 };
    struct launch launch = {.descriptors = 400};
    struct place front = place_new();
    struct place back = place_new();
    int clients[FLOOD];
    char config[512];
    (void)state;
    int listener = listen_on(&back);
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = %s\n", front.text,
             back.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    uint64_t limit =
        line_number(proxy_line(proxy, "^ready "), "max_connections");
    assert_in_range(limit, 10, FLOOD - 20);
    struct pair pair = {.client = dial(&front)};
    pair.upstream = take(listener);
    for (int i = 0; i < FLOOD; i++) {
        clients[i] = dial(&front);
    }
    stat_await(proxy, NULL, NULL, "active", limit);
    assert_true(stat_get(proxy, NULL, NULL, "accept_paused") > 0);
    expect_calm(proxy, &pair);
    for (int i = 0; i < FLOOD; i++) {
        hang_up(clients[i]);
        hang_up(take(listener));
    }
    stat_await(proxy, NULL, NULL, "accepted", FLOOD + 1);
    stat_await(proxy, NULL, NULL, "active", 1);
    stat_await(proxy, "web", NULL, "ended_local_resource", 0);
    proxy_stop(proxy);
}

static void more_connections_than_descriptors_hold_do_not_start(void **state)
{
    struct launch launch = {.descriptors = 400, .unready = true};
    struct place front = place_new();
    char config[512];
    (void)state;
    snprintf(config, sizeof config,
             "[global]\nmax_connections = 1000\n"
             "[service web]\nlisten = %s\nupstream = 127.0.0.1:1\n",
             front.text);
    struct proxy *proxy = proxy_launch(&launch, config);
    assert_int_equal(proxy_wait(proxy), 1);
    proxy_line(proxy, "max_connections");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_first_rule_that_matches_decides),
        E2E(with_any_allow_the_rest_is_denied),
        E2E(with_deny_alone_the_rest_is_allowed),
        E2E(above_the_services_limit_a_connection_is_reset_at_once),
        E2E(above_a_sources_limit_only_that_source_is_reset),
        E2E(the_accept_rate_has_a_bucket_one_second_deep),
        E2E(the_accept_rate_of_a_source_leaves_others_alone),
        E2E(above_the_global_limit_clients_wait_for_their_turn),
        E2E(each_rate_is_kept_within_five_percent),
        E2E(connections_share_the_rate_of_their_service),
        E2E(the_burst_passes_at_once_and_no_more),
        E2E(without_descriptors_accepting_pauses_and_resumes),
        E2E(descriptors_that_come_free_let_waiting_clients_in),
        E2E(a_small_descriptor_limit_is_a_limit_of_connections),
        E2E(more_connections_than_descriptors_hold_do_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
