/*
 * TLS that ends here: what arrives is what was sent, and every end of a stream
 * is the one that was meant. Clients speak it, the upstream does not.
 */
#include "secure.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEGABYTE = 1024 * 1024, RECORD_MAX = 16384 };

typedef void (*part_fn)(struct scene *scene, const struct secure *how);

/* What is to hold in both versions, each with a proxy of its own. */
static void in_both_versions(const char *global, const char *service,
                             part_fn part)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(versions[i]);
        struct scene scene;
        secure_scene_open(&scene, global, service);
        part(&scene, &how);
        stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
        scene_close(&scene);
    }
}

/* ---- bytes ---- */

static void talk(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    assert_int_equal(SSL_version(secure_ssl(pair.client)), how->version);
    send_text(pair.client, "question");
    expect_text(pair.upstream, "question");
    send_text(pair.upstream, "the answer");
    expect_text(pair.client, "the answer");
    hang_up(pair.client);
    expect_eof(pair.upstream);
    hang_up(pair.upstream);
    await_cause(scene->proxy, "client_fin", 1);
    const char *line = proxy_line(scene->proxy, "^conn service=web ");
    assert_int_equal(line_number(line, "bytes_up"), strlen("question"));
    assert_int_equal(line_number(line, "bytes_down"), strlen("the answer"));
    line = stat_line(scene->proxy, "web", scene->back.text);
    assert_int_equal(line_number(line, "bytes_up"), strlen("question"));
    assert_int_equal(line_number(line, "bytes_down"), strlen("the answer"));
}

static void the_upstream_gets_and_gives_plain_bytes_which_count(void **state)
{
    (void)state;
    in_both_versions("access_log = yes", "", talk);
}

/* It may even have spoken before the client has. */
static void speak_first(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.upstream, "220 ready");
    expect_text(pair.client, "220 ready");
    pair_ping(&pair);
}

static void an_upstream_may_speak_first(void **state)
{
    (void)state;
    in_both_versions("", "", speak_first);
}

static void stream_both_ways(struct scene *scene, const struct secure *how)
{
    struct flow way = {.seed = 1,
                       .bytes = (test_slow() ? 12 : 64) * MEGABYTE,
                       .pause_every = 6 * MEGABYTE,
                       .pause_ms = 20,
                       .finish = true};
    struct pair pair = secure_pair(scene, how);
    pair_exchange(&pair, &way);
    pair_hang_up(&pair);
    stat_await(scene->proxy, "web", NULL, "bytes_up", way.bytes);
    stat_await(scene->proxy, "web", NULL, "bytes_down", way.bytes);
    stat_await(scene->proxy, "web", NULL, "active", 0);
}

static void long_streams_pass_both_ways_at_once(void **state)
{
    (void)state;
    in_both_versions("", "", stream_both_ways);
}

static void long_streams_pass_in_small_blocks(void **state)
{
    (void)state;
    in_both_versions("buffer_size = 4K\nbuffer_memory = 1M", "",
                     stream_both_ways);
}

static void crawl_both_ways(struct scene *scene, const struct secure *how)
{
    struct flow way = {.seed = 2,
                       .bytes = 4 * MEGABYTE + 13,
                       .chunk = 3331,
                       .pause_every = 3331 * 99,
                       .pause_ms = 3,
                       .finish = true};
    struct pair pair = secure_pair(scene, how);
    pair_exchange(&pair, &way);
    pair_hang_up(&pair);
}

static void streams_pass_with_odd_chunks_and_rates(void **state)
{
    (void)state;
    in_both_versions("buffer_size = 4K\nbuffer_memory = 1M",
                     "rate_up = 16M\nrate_down = 8M\nrate_burst = 5000",
                     crawl_both_ways);
}

/* A record for each byte, many of them in a segment. */
static void stream_in_bytes(struct scene *scene, const struct secure *how)
{
    struct flow out = {.seed = 3, .bytes = 50000, .chunk = 1, .finish = true};
    struct flow in = {.seed = 3, .bytes = out.bytes, .finish = true};
    struct pair pair = secure_pair(scene, how);
    out.fd = pair.client;
    in.fd = pair.upstream;
    flow_send(&out);
    flow_receive(&in);
    flow_join(&out);
    flow_join(&in);
    pair_hang_up(&pair);
}

static void records_of_one_byte_arrive(void **state)
{
    (void)state;
    in_both_versions("", "", stream_in_bytes);
}

/* One record up, and as many bytes down. */
static void pass_records(struct scene *scene, const struct secure *how)
{
    static unsigned char bytes[RECORD_MAX];
    size_t step = test_slow() ? 61 : 3;
    struct pair pair = secure_pair(scene, how);
    for (size_t n = 1; n <= RECORD_MAX;
         n += n < 300 || n > RECORD_MAX - 300 ? 1 : step) {
        struct flow up = {.fd = pair.upstream, .seed = n, .bytes = n};
        struct flow down = {.fd = pair.client, .seed = n + 1, .bytes = n};
        flow_fill(&up, bytes);
        send_bytes(pair.client, bytes, n);
        flow_run_receive(&up);
        flow_fill(&down, bytes);
        send_bytes(pair.upstream, bytes, n);
        flow_run_receive(&down);
        if (up.ill || down.ill) {
            fail_msg("%zu bytes: %s", n, up.ill ? up.ill : down.ill);
        }
    }
    pair_hang_up(&pair);
}

static void records_of_every_size_arrive(void **state)
{
    (void)state;
    in_both_versions("", "", pass_records);
    in_both_versions("buffer_size = 4K", "", pass_records);
}

/* Bytes, close_notify and FIN are on their way at once. */
static void carry_around(const struct scene *scene, const struct secure *how,
                         size_t size)
{
    for (size_t n = size - 1; n <= size + 1; n++) {
        struct pair pair = secure_pair(scene, how);
        carry(pair.client, pair.upstream, n, n);
        carry(pair.upstream, pair.client, n, n + 1);
        secure_expect_fin(pair.client);
        pair_hang_up(&pair);
        pair = secure_pair(scene, how);
        carry(pair.upstream, pair.client, n, n + 2);
        carry(pair.client, pair.upstream, n, n + 3);
        pair_hang_up(&pair);
    }
}

static void carry_around_blocks(struct scene *scene, const struct secure *how)
{
    static const size_t sizes[] = {2, 4096, 8192, RECORD_MAX, 32768, 65536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        carry_around(scene, how, sizes[i]);
    }
}

static void bytes_and_the_end_arrive_for_sizes_around_a_block(void **state)
{
    (void)state;
    in_both_versions("", "", carry_around_blocks);
    in_both_versions("buffer_size = 4K", "", carry_around_blocks);
}

enum { CROWD = 48 }; /* more than there are blocks */

static void echo_in_a_crowd(const struct place *front, const struct secure *how)
{
    static struct flow out[CROWD];
    static struct flow in[CROWD];
    for (unsigned i = 0; i < CROWD; i++) {
        int fd = secure_dial(front, how);
        out[i] = (struct flow){.fd = fd, .seed = i, .bytes = MEGABYTE / 4};
        out[i].finish = true;
        in[i] = out[i];
        flow_send(&out[i]);
        flow_receive(&in[i]);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        flow_join(&out[i]);
        flow_join(&in[i]);
    }
}

static void many_connections_do_not_mix_their_bytes(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    struct secure how = secure_client(0);
    (void)state;
    struct server *server = server_start(&back, serve_echo, NULL);
    struct proxy *proxy =
        proxy_start("[global]\nbuffer_memory = 1M\n"
                    "[service web]\nlisten = %s\n"
                    "upstream = %s\n%s",
                    front.text, back.text, secure_keys(secure_server()));
    echo_in_a_crowd(&front, &how);
    stat_await(proxy, NULL, NULL, "buffers_lent", 0);
    proxy_stop(proxy);
    server_stop(server);
}

static void await_no_bytes(struct scene *scene)
{
    int64_t limit = time_limit();
    uint64_t before = 0;
    uint64_t now = stat_get(scene->proxy, "web", NULL, "bytes_down");
    while (now != before && time_ms() < limit) {
        before = now;
        time_tick();
        time_tick();
        now = stat_get(scene->proxy, "web", NULL, "bytes_down");
    }
}

/* It holds one block, not what the other end has ready for it. */
static void read_nothing(struct scene *scene, const struct secure *how)
{
    struct pair pair = {.client = dial_narrow(&scene->front)};
    secure_connect(pair.client, how);
    pair.upstream = take(scene->listener);
    struct pair lively = secure_pair(scene, how);
    size_t sent = stuff(pair.upstream, 200);
    await_no_bytes(scene);
    assert_int_equal(stat_get(scene->proxy, NULL, NULL, "buffers_lent"), 1);
    pair_expect_prompt(&lively);
    char *bytes = malloc(sent);
    assert_non_null(bytes);
    for (size_t have = 0; have < sent;) {
        int count = SSL_read(secure_ssl(pair.client), bytes, (int)sent);
        have += count > 0 ? (size_t)count : 0;
        if (count <= 0 && !pending(pair.client, 10000)) {
            fail_msg("%zu bytes of %zu", have, sent);
        }
    }
    free(bytes);
    pair_ping(&pair);
    pair_hang_up(&pair);
    pair_hang_up(&lively);
}

static void a_client_that_does_not_read_holds_one_block(void **state)
{
    (void)state;
    in_both_versions("workers = 1", "tcp_notsent_lowat = 4K", read_nothing);
}

/* Bytes of a record that is half sent may not be taken back. */
static void read_slowly(struct scene *scene, const struct secure *how)
{
    struct flow out = {.seed = 8, .bytes = MEGABYTE, .finish = true};
    struct flow in = {.seed = 8,
                      .bytes = out.bytes,
                      .chunk = 7777,
                      .pause_every = 7777 * 4,
                      .pause_ms = 5,
                      .finish = true};
    struct pair pair = {.client = dial_narrow(&scene->front)};
    secure_connect(pair.client, how);
    pair.upstream = take(scene->listener);
    in.fd = pair.client;
    out.fd = pair.upstream;
    flow_send(&out);
    flow_receive(&in);
    flow_join(&out);
    flow_join(&in);
    secure_expect_fin(pair.client);
    pair_hang_up(&pair);
}

static void a_slow_reader_gets_all_at_any_rate(void **state)
{
    (void)state;
    in_both_versions("", "tcp_notsent_lowat = 4K", read_slowly);
    in_both_versions("buffer_size = 4K", "rate_down = 4M\nrate_burst = 5000",
                     read_slowly);
}

/* There is no room for the last bytes, or for the close_notify behind them,
 * when the upstream ends. */
static void read_late(struct scene *scene, const struct secure *how)
{
    size_t step = test_slow() ? 9000 : 3100;
    for (size_t n = 1000; n < 90000; n += step) {
        struct flow out = {.seed = n, .bytes = n, .finish = true};
        struct flow in = out;
        struct pair pair = {.client = dial_narrow(&scene->front)};
        secure_connect(pair.client, how);
        pair.upstream = take(scene->listener);
        out.fd = pair.upstream;
        in.fd = pair.client;
        flow_run_send(&out);
        await_acknowledged(pair.upstream);
        time_tick();
        flow_run_receive(&in);
        if (out.ill || in.ill) {
            fail_msg("%zu bytes: %s", n, out.ill ? out.ill : in.ill);
        }
        secure_expect_fin(pair.client);
        pair_hang_up(&pair);
    }
}

static void the_end_waits_for_a_client_that_reads_late(void **state)
{
    (void)state;
    in_both_versions("", "tcp_notsent_lowat = 4K", read_late);
}

static void run_at_full_speed(struct scene *scene, const struct secure *how)
{
    struct flow out[2];
    struct flow in[2];
    struct pair lively = secure_pair(scene, how);
    for (int i = 0; i < 2; i++) {
        struct pair pair = secure_pair(scene, how);
        out[i] = (struct flow){.bytes = (test_slow() ? 8 : 128) * MEGABYTE,
                               .finish = true};
        in[i] = out[i];
        out[i].fd = i ? pair.upstream : pair.client;
        in[i].fd = i ? pair.client : pair.upstream;
        flow_send(&out[i]);
        flow_receive(&in[i]);
    }
    pair_expect_prompt(&lively);
    for (int i = 0; i < 2; i++) {
        flow_join(&out[i]);
        flow_join(&in[i]);
    }
    hang_up_all();
}

static void a_connection_at_full_speed_starves_no_other(void **state)
{
    (void)state;
    in_both_versions("workers = 1", "", run_at_full_speed);
}

/* With urgent data a read stops short of what there is. */
static void be_urgent(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.client, "before");
    expect_text(pair.upstream, "before");
    send_urgent(pair.client, '!'); /* no record begins so */
    send_text(pair.client, "behind it");
    expect_reset(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
    pair_hang_up(&pair);
}

static void urgent_data_is_no_tls(void **state)
{
    (void)state;
    in_both_versions("", "", be_urgent);
}

static void tls_goes_through_unix_sockets(void **state)
{
    struct place front = place_unix("tls-front");
    struct place back = place_unix("tls-back");
    struct secure client = secure_client(0);
    struct secure upstream = {.identity = secure_server()};
    struct flow way = {.seed = 9, .bytes = 16 * MEGABYTE, .finish = true};
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s"
                    "upstream_tls = yes\nupstream_tls_ca = %s\n"
                    "upstream_tls_name = a.example\n",
                    front.text, back.text, secure_keys(secure_server()),
                    authority()->certificate);
    for (unsigned i = 0; i < 3; i++) {
        struct pair pair = {.client = secure_dial(&front, &client)};
        pair.upstream = secure_take(listener, &upstream);
        pair_exchange(&pair, &way);
        pair_hang_up(&pair);
        way.chunk = i ? 1000 : 16384;
    }
    stat_await(proxy, NULL, NULL, "buffers_lent", 0);
    proxy_stop(proxy);
}

/* The kernel's TLS cannot change the keys that it sends with. */
static bool kernel_sends(void)
{
    return access("/proc/net/tls_stat", F_OK) == 0;
}

/* A change of keys is a message that is no payload, and may want an answer. */
static void change_keys(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    if (how->version != TLS1_3_VERSION) {
        return;
    }
    for (unsigned i = 0; i < 20; i++) {
        SSL_key_update(secure_ssl(pair.client),
                       i % 2 && !kernel_sends() ? SSL_KEY_UPDATE_REQUESTED
                                                : SSL_KEY_UPDATE_NOT_REQUESTED);
        pair_ping(&pair);
    }
}

static void a_client_may_change_its_keys(void **state)
{
    (void)state;
    in_both_versions("", "", change_keys);
}

/* ---- ends ---- */

static void half_close(struct scene *scene, const struct secure *how)
{
    struct flow answer = {.seed = 4, .bytes = MEGABYTE, .finish = true};
    struct flow got = answer;
    struct pair pair = secure_pair(scene, how);
    send_text(pair.client, "all of it");
    finish(pair.client);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    answer.fd = pair.upstream;
    got.fd = pair.client;
    flow_send(&answer);
    flow_receive(&got);
    flow_join(&answer);
    flow_join(&got);
    secure_expect_fin(pair.client);
    await_cause(scene->proxy, "client_fin", 1);
    pair_hang_up(&pair);
}

static void after_the_end_of_a_client_the_answer_still_comes(void **state)
{
    (void)state;
    in_both_versions("", "", half_close);
}

/* As clients do that do not half-close the socket. */
static void notify_alone(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.client, "all of it");
    secure_notify(pair.client);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    send_text(pair.upstream, "answer");
    expect_text(pair.client, "answer");
    hang_up(pair.upstream);
    expect_eof(pair.client);
    secure_expect_fin(pair.client);
    await_cause(scene->proxy, "client_fin", 1);
    hang_up(pair.client);
}

static void a_close_notify_ends_the_stream_without_a_fin(void **state)
{
    (void)state;
    in_both_versions("", "", notify_alone);
}

static void upstream_ends(struct scene *scene, const struct secure *how)
{
    struct flow rest = {.seed = 5, .bytes = MEGABYTE, .finish = true};
    struct flow got = rest;
    struct pair pair = secure_pair(scene, how);
    send_last(pair.upstream, "bye", 3);
    expect_text(pair.client, "bye");
    expect_eof(pair.client);
    secure_expect_fin(pair.client);
    rest.fd = pair.client;
    got.fd = pair.upstream;
    flow_send(&rest);
    flow_receive(&got);
    flow_join(&rest);
    flow_join(&got);
    await_cause(scene->proxy, "upstream_fin", 1);
    pair_hang_up(&pair);
}

static void the_end_of_an_upstream_is_a_close_notify_and_a_fin(void **state)
{
    (void)state;
    in_both_versions("", "", upstream_ends);
}

/* Somebody may have cut it on the way: what the upstream has got is not all. */
static void cut_off(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.client, "not all");
    expect_text(pair.upstream, "not all");
    secure_cut(pair.client);
    expect_reset(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
    pair_hang_up(&pair);
    pair = secure_pair(scene, how);
    secure_cut(pair.client);
    expect_reset(pair.upstream);
    await_cause(scene->proxy, "client_reset", 2);
    pair_hang_up(&pair);
}

static void a_stream_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    in_both_versions("", "", cut_off);
}

/* In the middle of a record. */
static void cut_a_record(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    assert_int_equal(send(pair.client, "\x17\x03\x03\x00\x80", 5, 0), 5);
    secure_cut(pair.client);
    expect_reset(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
    pair_hang_up(&pair);
}

static void a_record_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    in_both_versions("", "", cut_a_record);
}

static void reset_by_client(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.client, "before");
    expect_text(pair.upstream, "before");
    reset(pair.client);
    expect_reset(pair.upstream);
    hang_up(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
}

static void a_clients_reset_is_passed_on(void **state)
{
    (void)state;
    in_both_versions("", "", reset_by_client);
}

/* With a close_notify it would look like a clean end. */
static void reset_by_upstream(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    send_text(pair.upstream, "before");
    expect_text(pair.client, "before");
    reset(pair.upstream);
    expect_reset(pair.client);
    hang_up(pair.client);
    await_cause(scene->proxy, "upstream_reset", 1);
}

static void an_upstreams_reset_is_passed_on_without_close_notify(void **state)
{
    (void)state;
    in_both_versions("", "", reset_by_upstream);
}

/* The bytes came before the reset, though nobody had fetched them. */
static void reset_behind_bytes(struct scene *scene, const struct secure *how)
{
    struct flow sent = {.seed = 6, .bytes = 30000};
    struct flow got = sent;
    struct pair pair = secure_pair(scene, how);
    sent.fd = pair.upstream;
    got.fd = pair.client;
    flow_run_send(&sent);
    await_acknowledged(pair.upstream);
    stat_await(scene->proxy, "web", NULL, "bytes_down", sent.bytes);
    reset(pair.upstream);
    flow_run_receive(&got);
    if (got.ill) {
        fail_msg("%s after %zu bytes", got.ill, got.moved);
    }
    expect_reset(pair.client);
    hang_up(pair.client);
}

static void bytes_before_a_reset_arrive(void **state)
{
    (void)state;
    in_both_versions("", "", reset_behind_bytes);
}

/* What does not decrypt was not sent by the client: the stream is cut there. */
static void forge_a_record(struct scene *scene, const struct secure *how)
{
    static const unsigned char record[5 + 64] = {0x17, 3, 3, 0, 64};
    struct pair pair = secure_pair(scene, how);
    assert_int_equal(send(pair.client, record, sizeof record, 0),
                     sizeof record);
    expect_reset(pair.upstream);
    hang_up(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
    hang_up(pair.client);
}

static void a_forged_record_ends_both_sides(void **state)
{
    (void)state;
    in_both_versions("", "", forge_a_record);
}

/* After close_notify nothing may come but the end. */
static void speak_after_the_end(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    secure_notify(pair.client);
    expect_eof(pair.upstream);
    assert_int_equal(send(pair.client, "more", 4, 0), 4);
    send_text(pair.upstream, "answer");
    expect_text(pair.client, "answer");
    hang_up(pair.upstream);
    expect_gone(pair.client);
    hang_up(pair.client);
    await_cause(scene->proxy, "client_fin", 1);
    assert_int_equal(stat_get(scene->proxy, "web", NULL, "bytes_up"), 0);
}

static void bytes_behind_a_close_notify_are_nobodys(void **state)
{
    (void)state;
    in_both_versions("", "", speak_after_the_end);
}

/* ---- timeouts, rates ---- */

static void be_quiet(struct scene *scene, const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    pair_ping(&pair);
    expect_eof(pair.client);
    secure_expect_fin(pair.client);
    expect_eof(pair.upstream);
    await_cause(scene->proxy, "idle_timeout", 1);
    pair_hang_up(&pair);
}

static void the_idle_timeout_ends_with_a_close_notify(void **state)
{
    (void)state;
    in_both_versions("", "idle_timeout = 300ms", be_quiet);
}

/* Records of no payload are no bytes that moved. */
static void be_deaf(struct scene *scene, const struct secure *how)
{
    struct pair pair = {.client = dial_narrow(&scene->front)};
    secure_connect(pair.client, how);
    pair.upstream = take(scene->listener);
    stuff(pair.upstream, 100);
    await_cause(scene->proxy, "write_timeout", 1);
    pair_hang_up(&pair);
}

static void the_write_timeout_frees_the_block_of_a_deaf_client(void **state)
{
    (void)state;
    in_both_versions("", "write_timeout = 300ms\ntcp_notsent_lowat = 4K",
                     be_deaf);
}

static void trickle(struct scene *scene, const struct secure *how)
{
    struct flow way = {.seed = 7, .bytes = 96 * 1024, .finish = true};
    struct pair pair = secure_pair(scene, how);
    int64_t begin = time_ms();
    pair_exchange(&pair, &way);
    /* 64K at once, 32K more at 128K a second */
    assert_true(time_ms() - begin >= 240);
    pair_hang_up(&pair);
    stat_await(scene->proxy, "web", NULL, "bytes_up", way.bytes);
    stat_await(scene->proxy, "web", NULL, "bytes_down", way.bytes);
}

static void rates_are_of_plain_bytes(void **state)
{
    (void)state;
    in_both_versions("", "rate_up = 128K\nrate_down = 128K", trickle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_upstream_gets_and_gives_plain_bytes_which_count),
        E2E(an_upstream_may_speak_first),
        E2E(long_streams_pass_both_ways_at_once),
        E2E(long_streams_pass_in_small_blocks),
        E2E(streams_pass_with_odd_chunks_and_rates),
        E2E(records_of_one_byte_arrive),
        E2E(records_of_every_size_arrive),
        E2E(bytes_and_the_end_arrive_for_sizes_around_a_block),
        E2E(many_connections_do_not_mix_their_bytes),
        E2E(a_client_that_does_not_read_holds_one_block),
        E2E(a_slow_reader_gets_all_at_any_rate),
        E2E(the_end_waits_for_a_client_that_reads_late),
        E2E(a_connection_at_full_speed_starves_no_other),
        E2E(urgent_data_is_no_tls),
        E2E(tls_goes_through_unix_sockets),
        E2E(a_client_may_change_its_keys),
        E2E(after_the_end_of_a_client_the_answer_still_comes),
        E2E(a_close_notify_ends_the_stream_without_a_fin),
        E2E(the_end_of_an_upstream_is_a_close_notify_and_a_fin),
        E2E(a_stream_that_is_cut_off_is_a_reset),
        E2E(a_record_that_is_cut_off_is_a_reset),
        E2E(a_clients_reset_is_passed_on),
        E2E(an_upstreams_reset_is_passed_on_without_close_notify),
        E2E(bytes_before_a_reset_arrive),
        E2E(a_forged_record_ends_both_sides),
        E2E(bytes_behind_a_close_notify_are_nobodys),
        E2E(the_idle_timeout_ends_with_a_close_notify),
        E2E(the_write_timeout_frees_the_block_of_a_deaf_client),
        E2E(rates_are_of_plain_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
