/*
 * Memory and fairness: what a connection costs, what a burst leaves behind,
 * what the ceiling does, and that nobody waits for somebody else's peer.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

enum {
    KILOBYTE = 1024,
    MEGABYTE = 1024 * 1024,
    STALL_BYTES = 60 * KILOBYTE, /* more than a deaf peer's kernel and one
                                    block take, less than the kernels on the
                                    way do: the sender is not held up */
};

static const char *const SMALL_QUEUES = "tcp_notsent_lowat = 4K";

/* A client that takes few bytes before it is full. */
static struct pair narrow_pair(const struct scene *scene)
{
    struct pair pair = {.client = dial_narrow(&scene->front)};
    pair.upstream = take(scene->listener);
    return pair;
}

/* Sends to a client that reads nothing. */
static void stall(const struct pair *pair, uint64_t seed)
{
    struct flow out = {
        .fd = pair->upstream, .seed = seed, .bytes = STALL_BYTES};
    flow_run_send(&out);
    if (out.ill) {
        fail_msg("%s after %zu bytes", out.ill, out.moved);
    }
}

/* It reads after all. */
static void release(const struct pair *pair, uint64_t seed)
{
    struct flow in = {.fd = pair->client, .seed = seed, .bytes = STALL_BYTES};
    flow_run_receive(&in);
    if (in.ill) {
        fail_msg("%s after %zu bytes", in.ill, in.moved);
    }
}

static void need_descriptors(rlim_t count)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < count) {
        print_message("skipped: %lu descriptors are needed\n",
                      (unsigned long)count);
        skip();
    }
}

static void pairs_open(const struct scene *scene, struct pair *pairs,
                       unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pairs[i] = narrow_pair(scene);
    }
}

static void pairs_hang_up(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pair_hang_up(&pairs[i]);
    }
}

static void an_idle_connection_holds_no_buffer(void **state)
{
    enum { COUNT = 100 };
    struct scene scene;
    struct pair pairs[COUNT];
    (void)state;
    scene_open(&scene, "", "");
    pairs_open(&scene, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    stat_await(scene.proxy, NULL, NULL, "active", COUNT);
    assert_true(stat_get(scene.proxy, NULL, NULL, "buffers_peak") > 0);
    scene_close(&scene);
}

static void an_idle_connection_costs_at_most_320_bytes(void **state)
{
    enum { COUNT = 9000, EACH = 320 };
    static struct pair pairs[COUNT];
    struct scene scene;
    (void)state;
    if (test_slow()) {
        skip();
    }
    need_descriptors(2 * COUNT + 100);
    scene_open(&scene, "", "");
    struct pair warm = scene_pair(&scene);
    pair_ping(&warm);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t before = proxy_resident(scene.proxy);
    pairs_open(&scene, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    stat_await(scene.proxy, NULL, NULL, "active", COUNT + 1);
    uint64_t most = before + (uint64_t)COUNT * EACH;
    int64_t limit = time_ms() + 5000;
    while (proxy_resident(scene.proxy) > most && time_ms() < limit) {
        time_tick();
    }
    uint64_t after = proxy_resident(scene.proxy);
    print_message("%.1f bytes a connection\n",
                  ((double)after - (double)before) / COUNT);
    assert_true(after <= most);
    pairs_hang_up(pairs, COUNT);
    stat_await(scene.proxy, NULL, NULL, "active", 1);
    scene_close(&scene);
}

static void the_memory_of_a_burst_goes_back(void **state)
{
    enum { COUNT = 2000 };
    static struct pair pairs[COUNT];
    struct scene scene;
    (void)state;
    need_descriptors(2 * COUNT + 100);
    scene_open(&scene, "", SMALL_QUEUES);
    pairs_open(&scene, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_ping(&pairs[i]);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t before = proxy_resident(scene.proxy);
    for (unsigned i = 0; i < COUNT; i++) {
        stall(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", COUNT);
    assert_true(proxy_resident(scene.proxy) > before + COUNT * 8 * KILOBYTE);
    for (unsigned i = 0; i < COUNT; i++) {
        if (i % 2) {
            release(&pairs[i], i);
        } else {
            reset(pairs[i].client);
        }
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t most = before + before / 10 + 2 * MEGABYTE;
    int64_t limit = time_ms() + 5000;
    while (proxy_resident(scene.proxy) > most && time_ms() < limit) {
        time_tick();
    }
    uint64_t after = proxy_resident(scene.proxy);
    print_message("%lu KiB before, %lu after\n",
                  (unsigned long)before / KILOBYTE,
                  (unsigned long)after / KILOBYTE);
    assert_true(test_slow() || after <= most);
    scene_close(&scene);
}

static void a_deaf_peer_holds_one_block_a_direction(void **state)
{
    enum { COUNT = 20 };
    struct scene scene;
    struct pair pairs[COUNT];
    (void)state;
    scene_open(&scene, "", SMALL_QUEUES);
    pairs_open(&scene, pairs, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        stall(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        release(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    assert_int_equal(stat_get(scene.proxy, NULL, NULL, "buffers_peak"), COUNT);
    scene_close(&scene);
}

/* ---- fairness ---- */

static void deaf_peers_delay_no_other_connection(void **state)
{
    enum { COUNT = 200 };
    struct scene scene;
    struct pair pairs[COUNT];
    (void)state;
    scene_open(&scene, "workers = 1", SMALL_QUEUES);
    pairs_open(&scene, pairs, COUNT);
    struct pair lively = scene_pair(&scene);
    for (unsigned i = 0; i < COUNT; i++) {
        stall(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", COUNT);
    pair_expect_prompt(&lively);
    scene_close(&scene);
}

static void a_connection_at_full_speed_starves_no_other(void **state)
{
    struct scene scene;
    struct flow out[2];
    struct flow in[2];
    (void)state;
    scene_open(&scene, "workers = 1", "");
    struct pair lively = scene_pair(&scene);
    for (int i = 0; i < 2; i++) {
        struct pair pair = scene_pair(&scene);
        out[i] = (struct flow){.bytes = 512 * MEGABYTE, .finish = true};
        in[i] = out[i];
        out[i].fd = i ? pair.upstream : pair.client;
        in[i].fd = i ? pair.client : pair.upstream;
        if (test_slow()) {
            out[i].bytes = in[i].bytes = 32 * MEGABYTE;
        }
        flow_send(&out[i]);
        flow_receive(&in[i]);
    }
    pair_expect_prompt(&lively);
    for (int i = 0; i < 2; i++) {
        flow_join(&out[i]);
        flow_join(&in[i]);
    }
    scene_close(&scene);
}

/* ---- the ceiling ---- */

enum { BLOCKS = 32 }; /* of a direction: half of 1M in blocks of 16K */

static void at_the_ceiling_reading_waits_and_nothing_is_lost(void **state)
{
    enum { COUNT = 3 * BLOCKS };
    struct scene scene;
    struct pair pairs[COUNT];
    static struct flow in[COUNT];
    (void)state;
    scene_open(&scene, "buffer_memory = 1M", SMALL_QUEUES);
    pairs_open(&scene, pairs, COUNT);
    struct pair late = scene_pair(&scene);
    for (unsigned i = 0; i < COUNT; i++) {
        stall(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", BLOCKS);
    send_text(late.upstream, "waits");
    expect_silence(late.client, 200);
    send_text(late.client, "the way up is free");
    expect_text(late.upstream, "the way up is free");
    for (unsigned i = 0; i < COUNT; i++) {
        in[i] = (struct flow){.fd = pairs[i].client, .seed = i};
        in[i].bytes = STALL_BYTES;
        flow_receive(&in[i]); /* all at once: who holds the blocks? */
    }
    for (unsigned i = 0; i < COUNT; i++) {
        flow_join(&in[i]);
    }
    expect_text(late.client, "waits");
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

static void at_the_ceiling_write_timeout_frees_blocks_for_others(void **state)
{
    struct scene scene;
    struct pair pairs[BLOCKS];
    char keys[128];
    (void)state;
    snprintf(keys, sizeof keys, "%s\nwrite_timeout = 500ms", SMALL_QUEUES);
    scene_open(&scene, "buffer_memory = 1M", keys);
    pairs_open(&scene, pairs, BLOCKS);
    struct pair late = scene_pair(&scene);
    for (unsigned i = 0; i < BLOCKS; i++) {
        stall(&pairs[i], i);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", BLOCKS);
    send_text(late.upstream, "waits");
    expect_text(late.client, "waits");
    await_cause(scene.proxy, "write_timeout", BLOCKS);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    scene_close(&scene);
}

/* Each request waits for room for its answer: with one pool for both ways the
 * requests would take it all. */
static void at_the_ceiling_echoes_do_not_lock_each_other_out(void **state)
{
    enum { COUNT = 2 * BLOCKS };
    static struct flow out[COUNT];
    static struct flow in[COUNT];
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy = proxy_start("[global]\nbuffer_memory = 1M\n"
                                      "[service web]\nlisten = %s\n"
                                      "upstream = %s\n%s\n",
                                      front.text, back.text, SMALL_QUEUES);
    for (unsigned i = 0; i < COUNT; i++) {
        int fd = dial(&front);
        out[i] = (struct flow){.fd = fd, .seed = i, .bytes = MEGABYTE / 2};
        out[i].finish = true;
        in[i] = out[i];
        in[i].pause_every = MEGABYTE / 8;
        in[i].pause_ms = 30;
        flow_send(&out[i]);
        flow_receive(&in[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        flow_join(&out[i]);
        flow_join(&in[i]);
    }
    stat_await(proxy, NULL, NULL, "buffers_lent", 0);
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_idle_connection_holds_no_buffer),
        E2E(an_idle_connection_costs_at_most_320_bytes),
        E2E(the_memory_of_a_burst_goes_back),
        E2E(a_deaf_peer_holds_one_block_a_direction),
        E2E(deaf_peers_delay_no_other_connection),
        E2E(a_connection_at_full_speed_starves_no_other),
        E2E(at_the_ceiling_reading_waits_and_nothing_is_lost),
        E2E(at_the_ceiling_write_timeout_frees_blocks_for_others),
        E2E(at_the_ceiling_echoes_do_not_lock_each_other_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
