/*
 * Every way a connection over TCP can end, by its cause: in the stats and in
 * the access log.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Nothing else was counted: one accepted, one ended, and none is left. */
static void expect_only(struct proxy *proxy, const char *cause, uint64_t count)
{
    char ended[64];
    await_cause(proxy, cause, count);
    stat_await(proxy, "web", NULL, "active", 0);
    const char *line = stat_line(proxy, "web", NULL);
    assert_int_equal(line_number(line, "accepted"), count);
    snprintf(ended, sizeof ended, "ended_%s", cause);
    assert_int_equal(line_number(line, ended), count);
    stat_await(proxy, NULL, NULL, "active", 0);
    stat_await(proxy, NULL, NULL, "buffers_lent", 0);
}

static void one_line_tells_all_of_a_connection(void **state)
{
    struct scene scene;
    char pattern[512];
    (void)state;
    scene_open(&scene, "access_log = yes", "");
    struct pair pair = scene_pair(&scene);
    send_text(pair.client, "hello");
    expect_text(pair.upstream, "hello");
    send_text(pair.upstream, "abc");
    expect_text(pair.client, "abc");
    finish(pair.client);
    expect_eof(pair.upstream);
    hang_up(pair.upstream);
    expect_eof(pair.client);
    snprintf(pattern, sizeof pattern,
             "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ upstream=%s "
             "cause=client_fin bytes_up=5 bytes_down=3 connect_us=[0-9]+ "
             "duration_ms=[0-9]+ rtt_us=[0-9]+ retransmits=[0-9]+( |$)",
             scene.back.text);
    const char *line = proxy_line(scene.proxy, pattern);
    assert_in_range(line_number(line, "connect_us"), 0, 5000000);
    expect_only(scene.proxy, "client_fin", 1);
    const char *upstream = stat_line(scene.proxy, "web", scene.back.text);
    assert_int_equal(line_number(upstream, "bytes_up"), 5);
    assert_int_equal(line_number(upstream, "bytes_down"), 3);
    assert_int_equal(line_number(upstream, "total"), 1);
    assert_int_equal(line_number(upstream, "active"), 0);
    scene_close(&scene);
}

static void without_access_log_no_line_is_written(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "access_log = yes", "access_log = no");
    struct pair pair = scene_pair(&scene);
    pair_hang_up(&pair);
    stat_await(scene.proxy, "web", NULL, "active", 0);
    proxy_stop(scene.proxy);
    assert_int_equal(proxy_count(scene.proxy, "^conn "), 0);
}

static void a_service_may_ask_for_its_own_access_log(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "access_log = no", "access_log = yes");
    struct pair pair = scene_pair(&scene);
    hang_up(pair.upstream);
    expect_eof(pair.client);
    hang_up(pair.client);
    proxy_line(scene.proxy, "^conn .*cause=upstream_fin bytes_up=0 ");
    scene_close(&scene);
}

static void the_stats_lines_have_their_keys_in_order(void **state)
{
    struct scene scene;
    char pattern[512];
    (void)state;
    scene_open(&scene, "workers = 1", "");
    proxy_signal(scene.proxy, SIGUSR1);
    proxy_line(scene.proxy,
               "^stats uptime_s=[0-9]+ workers=1 active=0 accepted=0 "
               "bytes_up=0 bytes_down=0 buffers_lent=0 buffers_peak=[0-9]+ "
               "buffer_bytes=[0-9]+ accept_paused=0 generation=[0-9]+( |$)");
    proxy_line(scene.proxy,
               "^stats service=web active=0 accepted=0 bytes_up=0 "
               "bytes_down=0 ended_client_fin=0 ended_upstream_fin=0 "
               "ended_client_reset=0 ended_upstream_reset=0 "
               "ended_connect_refused=0 ended_connect_timeout=0 "
               "ended_no_upstream=0 ended_idle_timeout=0 ended_read_timeout=0 "
               "ended_write_timeout=0 ended_half_close_timeout=0 "
               "ended_header_timeout=0 ended_max_lifetime=0 ended_denied=0 "
               "ended_limit_connections=0 ended_limit_source=0 "
               "ended_limit_rate=0 ended_bad_header=0 ended_no_route=0 "
               "ended_tls_error=0 ended_drain=0 ended_local_resource=0 "
               "ended_internal=0( |$)");
    snprintf(pattern, sizeof pattern,
             "^stats service=web upstream=%s state=up active=0 total=0 "
             "failed=0 bytes_up=0 bytes_down=0( |$)",
             scene.back.text);
    proxy_line(scene.proxy, pattern);
    scene_close(&scene);
}

/* ---- by the peers ---- */

static void both_ends_of_the_upstream_first_is_upstream_fin(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair(&scene);
    finish(pair.upstream);
    expect_eof(pair.client);
    finish(pair.client);
    expect_eof(pair.upstream);
    expect_only(scene.proxy, "upstream_fin", 1);
    scene_close(&scene);
}

static void a_reset_by_the_client_is_client_reset(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    reset(pair.client);
    expect_reset(pair.upstream);
    expect_only(scene.proxy, "client_reset", 1);
    scene_close(&scene);
}

static void a_reset_by_the_upstream_is_upstream_reset(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    reset(pair.upstream);
    expect_reset(pair.client);
    expect_only(scene.proxy, "upstream_reset", 1);
    scene_close(&scene);
}

/* ---- by connecting ---- */

/* A service whose upstream is a place of our choice. */
static struct proxy *proxy_to(struct place *front, const struct place *back,
                              const char *keys)
{
    *front = place_new();
    return proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s\n",
                       front->text, back->text, keys);
}

static void a_refused_connect_is_connect_refused(void **state)
{
    struct place back = refusing_place();
    struct place front;
    (void)state;
    struct proxy *proxy = proxy_to(&front, &back, "connect_attempts = 1");
    expect_let_go(&front);
    expect_only(proxy, "connect_refused", 1);
    assert_int_equal(stat_get(proxy, "web", back.text, "failed"), 1);
    proxy_stop(proxy);
}

static void a_silent_upstream_is_connect_timeout(void **state)
{
    struct place back = silent_place();
    struct place front;
    (void)state;
    struct proxy *proxy = proxy_to(
        &front, &back, "connect_attempts = 2\nconnect_timeout = 150ms");
    int64_t begin = time_ms();
    expect_let_go(&front);
    assert_in_range(time_ms() - begin, 290, 8000);
    expect_only(proxy, "connect_timeout", 1);
    assert_int_equal(stat_get(proxy, "web", back.text, "failed"), 2);
    proxy_stop(proxy);
}

static void a_client_that_resets_while_connecting_is_client_reset(void **state)
{
    struct place back = silent_place();
    struct place front;
    (void)state;
    struct proxy *proxy = proxy_to(&front, &back, "connect_timeout = 1h");
    for (int i = 0; i < 3; i++) {
        int fd = dial(&front);
        stat_await(proxy, "web", NULL, "active", 1);
        if (i > 0) {
            send_text(fd, "bytes that wait");
        }
        reset(fd);
        await_cause(proxy, "client_reset", (uint64_t)i + 1);
    }
    expect_only(proxy, "client_reset", 3);
    proxy_stop(proxy);
}

static void nothing_left_to_try_is_no_upstream(void **state)
{
    struct place back = refusing_place();
    struct place front;
    (void)state;
    struct proxy *proxy =
        proxy_to(&front, &back,
                 "connect_attempts = 1\nfail_threshold = 1\nfail_window = 1h");
    expect_let_go(&front);
    proxy_line(proxy, "^upstream service=web address=[^ ]+ state=down "
                      "cause=connect_refused");
    expect_let_go(&front);
    await_cause(proxy, "connect_refused", 1);
    await_cause(proxy, "no_upstream", 1);
    proxy_stop(proxy);
}

static void a_source_that_is_not_ours_is_local_resource(void **state)
{
    struct place back = place_new();
    struct place front;
    (void)state;
    listen_on(&back);
    struct proxy *proxy = proxy_to(
        &front, &back, "source_address = 192.0.2.201\nfail_threshold = 1");
    for (int i = 0; i < 3; i++) {
        expect_let_go(&front);
    }
    expect_only(proxy, "local_resource", 3);
    const char *line = stat_line(proxy, "web", back.text);
    assert_int_equal(line_number(line, "failed"), 0);
    assert_non_null(strstr(line, " state=up "));
    proxy_stop(proxy);
}

/* ---- by time ---- */

/* From begin until both have ended, by that cause, not before its time. */
static void expect_timed_end(const struct scene *scene, const struct pair *pair,
                             int64_t begin, int64_t least_ms, const char *cause)
{
    expect_end(pair->client);
    assert_in_range(time_ms() - begin, least_ms, least_ms + 8000);
    expect_only(scene->proxy, cause, 1);
}

static void no_byte_either_way_is_idle_timeout(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "idle_timeout = 400ms");
    struct pair pair = scene_pair(&scene);
    for (int i = 0; i < 6; i++) { /* bytes of either direction put it off */
        expect_silence(pair.client, 120);
        send_text(i % 2 ? pair.client : pair.upstream, "x");
        expect_text(i % 2 ? pair.upstream : pair.client, "x");
    }
    int64_t begin = time_ms();
    expect_timed_end(&scene, &pair, begin, 380, "idle_timeout");
    expect_end(pair.upstream);
    scene_close(&scene);
}

static void a_side_that_sends_nothing_is_read_timeout(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "read_timeout = 250ms");
    struct pair pair = scene_pair(&scene);
    int64_t begin = time_ms();
    while (!pending(pair.client, 40)) { /* the upstream says nothing */
        assert_in_range(time_ms() - begin, 0, 8000);
        send_text(pair.client, "x");
        expect_text(pair.upstream, "x");
    }
    expect_timed_end(&scene, &pair, begin, 240, "read_timeout");
    scene_close(&scene);
}

static void a_side_that_has_ended_its_stream_may_be_silent(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "read_timeout = 400ms");
    struct pair pair = scene_pair(&scene);
    finish(pair.client);
    expect_eof(pair.upstream);
    for (int i = 0; i < 5; i++) {
        expect_silence(pair.client, 120);
        send_text(pair.upstream, "x");
        expect_text(pair.client, "x");
    }
    hang_up(pair.upstream);
    expect_eof(pair.client);
    expect_only(scene.proxy, "client_fin", 1);
    scene_close(&scene);
}

static void a_peer_that_takes_nothing_is_write_timeout(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "write_timeout = 250ms");
    struct pair pair = scene_pair(&scene);
    int64_t begin = time_ms();
    size_t sent = stuff(pair.client, 60); /* the upstream never reads */
    assert_in_range(sent, 1, 1024 * 1024 * 1024);
    eventually(time_ms() > begin + 240);
    expect_timed_end(&scene, &pair, begin, 240, "write_timeout");
    scene_close(&scene);
}

static void a_peer_that_reads_now_and_then_is_no_write_timeout(void **state)
{
    struct scene scene;
    struct flow out = {.seed = 1, .bytes = 8 * 1024 * 1024, .finish = true};
    (void)state;
    scene_open(&scene, "", "write_timeout = 500ms");
    struct pair pair = scene_pair(&scene);
    struct flow in = out;
    out.fd = pair.client;
    in.fd = pair.upstream;
    in.pause_every = 1024 * 1024;
    in.pause_ms = 120;
    flow_send(&out);
    flow_run_receive(&in);
    flow_join(&out);
    assert_null(in.ill);
    hang_up(pair.upstream);
    expect_only(scene.proxy, "client_fin", 1);
    scene_close(&scene);
}

static void silence_after_one_fin_is_half_close_timeout(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "half_close_timeout = 400ms");
    struct pair pair = scene_pair(&scene);
    finish(pair.client);
    expect_eof(pair.upstream);
    for (int i = 0; i < 5; i++) { /* what the other moves puts it off */
        expect_silence(pair.client, 120);
        send_text(pair.upstream, "x");
        expect_text(pair.client, "x");
    }
    int64_t begin = time_ms();
    expect_timed_end(&scene, &pair, begin, 380, "half_close_timeout");
    scene_close(&scene);
}

static void half_close_timeout_holds_for_the_upstreams_fin_too(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "half_close_timeout = 200ms");
    struct pair pair = scene_pair(&scene);
    finish(pair.upstream);
    expect_eof(pair.client);
    expect_end(pair.upstream);
    expect_only(scene.proxy, "half_close_timeout", 1);
    scene_close(&scene);
}

static void a_busy_connection_ends_at_its_max_lifetime(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "max_lifetime = 1s");
    int64_t begin = time_ms();
    struct pair pair = scene_pair(&scene);
    while (!pending(pair.client, 20)) {
        assert_in_range(time_ms() - begin, 0, 8000);
        send_text(pair.client, "x");
        expect_text(pair.upstream, "x");
    }
    int64_t lived = time_ms() - begin;
    assert_in_range(lived, 890, test_slow() ? 8000 : 1300);
    expect_end(pair.client);
    expect_only(scene.proxy, "max_lifetime", 1);
    scene_close(&scene);
}

static void zero_and_off_turn_a_timeout_off(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "",
               "idle_timeout = off\nread_timeout = 0\nwrite_timeout = 0\n"
               "half_close_timeout = off\nmax_lifetime = 0\n"
               "connect_timeout = 0");
    struct pair pair = scene_pair(&scene);
    finish(pair.client);
    expect_eof(pair.upstream);
    expect_silence(pair.client, 300);
    send_text(pair.upstream, "still here");
    expect_text(pair.client, "still here");
    hang_up(pair.upstream);
    expect_eof(pair.client);
    expect_only(scene.proxy, "client_fin", 1);
    scene_close(&scene);
}

/* ---- by the end of the process ---- */

static void what_outlives_the_drain_timeout_is_drain(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "drain_timeout = 300ms\naccess_log = yes", "");
    struct pair pair = scene_pair(&scene);
    struct pair quick = scene_pair(&scene);
    int64_t begin = time_ms();
    proxy_signal(scene.proxy, SIGTERM);
    send_text(quick.client, "let me finish");
    expect_text(quick.upstream, "let me finish");
    hang_up(quick.client);
    expect_eof(quick.upstream);
    hang_up(quick.upstream);
    expect_reset(pair.client);
    assert_in_range(time_ms() - begin, 290, 8000);
    expect_reset(pair.upstream);
    assert_int_equal(proxy_wait(scene.proxy), 0);
    assert_int_equal(proxy_count(scene.proxy, "^conn .* cause=drain "), 1);
    assert_int_equal(proxy_count(scene.proxy, "^conn .* cause=client_fin "), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(one_line_tells_all_of_a_connection),
        E2E(without_access_log_no_line_is_written),
        E2E(a_service_may_ask_for_its_own_access_log),
        E2E(the_stats_lines_have_their_keys_in_order),
        E2E(both_ends_of_the_upstream_first_is_upstream_fin),
        E2E(a_reset_by_the_client_is_client_reset),
        E2E(a_reset_by_the_upstream_is_upstream_reset),
        E2E(a_refused_connect_is_connect_refused),
        E2E(a_silent_upstream_is_connect_timeout),
        E2E(a_client_that_resets_while_connecting_is_client_reset),
        E2E(nothing_left_to_try_is_no_upstream),
        E2E(a_source_that_is_not_ours_is_local_resource),
        E2E(no_byte_either_way_is_idle_timeout),
        E2E(a_side_that_sends_nothing_is_read_timeout),
        E2E(a_side_that_has_ended_its_stream_may_be_silent),
        E2E(a_peer_that_takes_nothing_is_write_timeout),
        E2E(a_peer_that_reads_now_and_then_is_no_write_timeout),
        E2E(silence_after_one_fin_is_half_close_timeout),
        E2E(half_close_timeout_holds_for_the_upstreams_fin_too),
        E2E(a_busy_connection_ends_at_its_max_lifetime),
        E2E(zero_and_off_turn_a_timeout_off),
        E2E(what_outlives_the_drain_timeout_is_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
