/*
 * What arrives is what was sent: every byte once, in order, then the end as
 * the sender meant it.
 */
#include "harness.h"

#include <stdlib.h>

enum { MEGABYTE = 1024 * 1024 };

static void carry_around(const struct scene *scene, size_t size, uint64_t seed)
{
    for (size_t n = size - 2; n <= size + 2; n++) {
        struct pair pair = scene_pair(scene);
        carry(pair.client, pair.upstream, n, seed);
        carry(pair.upstream, pair.client, n, seed + 1);
        pair_hang_up(&pair);
        pair = scene_pair(scene);
        carry(pair.upstream, pair.client, n, seed + 2);
        carry(pair.client, pair.upstream, n, seed + 3);
        pair_hang_up(&pair);
    }
}

static void
bytes_and_fin_in_one_segment_arrive_for_sizes_around_a_block(void **state)
{
    struct scene scene;
    struct dice dice = dice_new();
    (void)state;
    scene_open(&scene, "buffer_size = 4K", "");
    for (int round = 0; round < (test_slow() ? 3 : 20); round++) {
        carry_around(&scene, 3, dice_roll(&dice, UINT64_MAX));
        carry_around(&scene, 4096, dice_roll(&dice, UINT64_MAX));
        carry_around(&scene, 8192, dice_roll(&dice, UINT64_MAX));
    }
    scene_close(&scene);
}

static void sizes_around_the_default_block_arrive(void **state)
{
    struct scene scene;
    struct dice dice = dice_new();
    (void)state;
    scene_open(&scene, "", "");
    for (int round = 0; round < (test_slow() ? 2 : 10); round++) {
        carry_around(&scene, 16384, dice_roll(&dice, UINT64_MAX));
        carry_around(&scene, 32768, dice_roll(&dice, UINT64_MAX));
        carry_around(&scene, 3 + dice_roll(&dice, 65000),
                     dice_roll(&dice, UINT64_MAX));
    }
    scene_close(&scene);
}

static void long_streams_pass_both_ways_with_pauses_on_every_side(void **state)
{
    struct scene scene;
    struct flow way = {.seed = 1,
                       .bytes = 64 * MEGABYTE,
                       .pause_every = 6 * MEGABYTE,
                       .pause_ms = 20,
                       .finish = true};
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair(&scene);
    pair_exchange(&pair, &way);
    pair_hang_up(&pair);
    stat_await(scene.proxy, "web", NULL, "bytes_up", way.bytes);
    stat_await(scene.proxy, "web", NULL, "bytes_down", way.bytes);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

static void streams_pass_in_small_blocks_with_odd_chunks_and_rates(void **state)
{
    struct scene scene;
    struct flow way = {.seed = 2,
                       .bytes = 4 * MEGABYTE + 13,
                       .chunk = 3331,
                       .pause_every = 3331 * 99,
                       .pause_ms = 3,
                       .finish = true};
    (void)state;
    scene_open(&scene, "buffer_size = 4K\nbuffer_memory = 1M",
               "rate_up = 16M\nrate_down = 8M\nrate_burst = 5000");
    struct pair pair = scene_pair(&scene);
    pair_exchange(&pair, &way);
    pair_hang_up(&pair);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

enum { CROWD = 24 };

static void many_connections_do_not_mix_their_bytes(void **state)
{
    static struct flow out[CROWD];
    static struct flow in[CROWD];
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    for (unsigned i = 0; i < CROWD; i++) {
        int fd = dial(&front);
        out[i] = in[i] = (struct flow){.fd = fd,
                                       .seed = 1000 * i,
                                       .bytes = MEGABYTE / 2 + i,
                                       .chunk = 500 + 777 * i,
                                       .finish = true};
        flow_send(&out[i]);
        flow_receive(&in[i]);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        flow_join(&out[i]);
        flow_join(&in[i]);
    }
    await_cause(proxy, "client_fin", CROWD);
    proxy_stop(proxy);
    server_stop(server);
}

/* ---- FIN ---- */

/* One end finishes; the other sees it and then sends on for a while. */
static void answer_after_fin(int first, int second, uint64_t seed)
{
    struct flow in = {
        .fd = first, .seed = seed, .bytes = 2 * MEGABYTE, .finish = true};
    struct flow out = in;
    out.fd = second;
    out.pause_every = MEGABYTE / 2;
    out.pause_ms = 100;
    send_text(first, "question");
    finish(first);
    expect_text(second, "question");
    expect_eof(second);
    flow_send(&out);
    flow_run_receive(&in);
    flow_join(&out);
    assert_null(in.ill);
}

static void an_answer_goes_on_after_the_clients_fin(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair(&scene);
    answer_after_fin(pair.client, pair.upstream, 3);
    await_cause(scene.proxy, "client_fin", 1);
    scene_close(&scene);
}

static void a_request_goes_on_after_the_upstreams_fin(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair(&scene);
    answer_after_fin(pair.upstream, pair.client, 4);
    await_cause(scene.proxy, "upstream_fin", 1);
    scene_close(&scene);
}

static void
a_pipelined_megabyte_and_its_answer_reach_a_slow_reader(void **state)
{
    struct scene scene;
    struct flow up = {.seed = 5, .bytes = MEGABYTE};
    struct flow down = {.seed = 6, .bytes = MEGABYTE};
    struct flow taken = up;
    struct flow read = down;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair(&scene);
    up.fd = pair.client;
    taken.fd = pair.upstream;
    flow_send(&up);
    flow_run_receive(&taken);
    assert_null(taken.ill);
    down.fd = pair.upstream;
    flow_send(&down);
    read.fd = pair.client;
    read.pause_every = MEGABYTE / 16;
    read.pause_ms = 10;
    flow_join(&up);
    read.bytes = MEGABYTE / 4;
    flow_run_receive(&read); /* a part, so that the rest is queued */
    assert_null(read.ill);
    flow_join(&down);
    hang_up(pair.upstream); /* closes with its bytes still under way */
    struct flow rest = {.fd = pair.client, .bytes = 3 * MEGABYTE / 4};
    rest.seed = down.seed + MEGABYTE / 4 / 8; /* the stream goes on there */
    rest.pause_every = MEGABYTE / 16;
    rest.pause_ms = 10;
    rest.finish = true;
    flow_run_receive(&rest);
    assert_null(rest.ill);
    scene_close(&scene);
}

static void an_upstream_that_answers_and_closes_at_once_is_heard(void **state)
{
    static const struct flow answer = {.seed = 7, .bytes = 100000};
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_after_fin, &answer);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    for (int i = 0; i < 100; i++) {
        struct flow in = answer;
        in.fd = dial(&front);
        in.finish = true;
        send_last(in.fd, "?", 1);
        flow_run_receive(&in);
        if (in.ill) {
            fail_msg("connection %d, byte %zu: %s", i, in.moved, in.ill);
        }
        hang_up(in.fd);
    }
    await_cause(proxy, "client_fin", 100);
    proxy_stop(proxy);
    server_stop(server);
}

/* ---- urgent data ---- */

static void urgent(int from, int to)
{
    send_text(from, "0123456789");
    expect_text(to, "0123456789");
    send_text(from, "before.urg");
    send_urgent(from, '!');
    send_text(from, "after..urg");
    expect_text(to, "before.urg!after..urg"); /* and silence behind it */
    send_text(from, "more");
    expect_text(to, "more");
}

static void an_urgent_byte_is_ordinary_and_stops_nothing(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    for (int i = 0; i < 20; i++) {
        struct pair pair = scene_pair(&scene);
        urgent(pair.client, pair.upstream);
        urgent(pair.upstream, pair.client);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

/* ---- resets ---- */

/* n bytes and then a reset; a reader that is not fast gets both. */
static void send_and_reset(int from, int to, size_t n, uint64_t seed)
{
    struct flow out = {.fd = from, .seed = seed, .bytes = n};
    struct flow in = {.fd = to, .seed = seed, .bytes = n};
    in.pause_every = MEGABYTE / 16;
    in.pause_ms = 5;
    flow_receive(&in);
    flow_run_send(&out);
    assert_null(out.ill);
    await_acknowledged(from); /* our own kernel must not lose them */
    reset(from);
    flow_join(&in);
    expect_reset(to);
    hang_up(to);
}

static const size_t RESET_AFTER[] = {0, 1, MEGABYTE};

static void a_clients_reset_is_passed_on_behind_its_bytes(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = scene_pair_open(&scene);
        send_and_reset(pair.client, pair.upstream, RESET_AFTER[i], i);
        await_cause(scene.proxy, "client_reset", i + 1);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

static void an_upstreams_reset_is_passed_on_behind_its_bytes(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = scene_pair_open(&scene);
        send_and_reset(pair.upstream, pair.client, RESET_AFTER[i], i);
        await_cause(scene.proxy, "upstream_reset", i + 1);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

static void a_reset_after_a_fin_is_no_clean_end(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    finish(pair.client);
    expect_eof(pair.upstream);
    send_text(pair.upstream, "half an ans");
    expect_text(pair.client, "half an ans");
    reset(pair.upstream);
    expect_reset(pair.client);
    await_cause(scene.proxy, "upstream_reset", 1);
    scene_close(&scene);
}

/* Its FIN came, its reset came later: what it had not read is lost, and the
 * upstream learns that. */
static void
a_client_that_goes_while_the_answer_is_under_way_is_reset_on(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair pair = scene_pair_open(&scene);
    finish(pair.client);
    expect_eof(pair.upstream);
    stuff(pair.upstream, 100);
    reset(pair.client);
    expect_broken(pair.upstream);
    await_cause(scene.proxy, "client_reset", 1);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(bytes_and_fin_in_one_segment_arrive_for_sizes_around_a_block),
        E2E(sizes_around_the_default_block_arrive),
        E2E(long_streams_pass_both_ways_with_pauses_on_every_side),
        E2E(streams_pass_in_small_blocks_with_odd_chunks_and_rates),
        E2E(many_connections_do_not_mix_their_bytes),
        E2E(an_answer_goes_on_after_the_clients_fin),
        E2E(a_request_goes_on_after_the_upstreams_fin),
        E2E(a_pipelined_megabyte_and_its_answer_reach_a_slow_reader),
        E2E(an_upstream_that_answers_and_closes_at_once_is_heard),
        E2E(an_urgent_byte_is_ordinary_and_stops_nothing),
        E2E(a_clients_reset_is_passed_on_behind_its_bytes),
        E2E(an_upstreams_reset_is_passed_on_behind_its_bytes),
        E2E(a_reset_after_a_fin_is_no_clean_end),
        E2E(a_client_that_goes_while_the_answer_is_under_way_is_reset_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
