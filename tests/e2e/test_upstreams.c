/*
 * Which upstream takes a connection: the choice, the next one when it fails,
 * health, and every kind of address.
 */
#include "harness.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Upstreams that greet with a message each, and a proxy in front of them. */
enum { HERD_MAX = 16 };
struct herd {
    unsigned count;
    struct place front;
    struct place back[HERD_MAX];
    struct server *server[HERD_MAX];
    struct proxy *proxy;
};

static const char LETTERS[] = "ABCDEFGHIJKLMNOP";

/* options[i] stands behind upstream i; NULL: none has any. */
static void herd_text(const struct herd *herd, unsigned first,
                      const char *const *options, const char *keys, char *text,
                      size_t size)
{
    int used = snprintf(text, size, "[service web]\nlisten = %s\n%s\n",
                        herd->front.text, keys);
    for (unsigned i = first; i < herd->count; i++) {
        used += snprintf(text + used, size - (size_t)used, "upstream = %s %s\n",
                         herd->back[i].text, options ? options[i] : "");
    }
}

static void herd_open(struct herd *herd, unsigned count,
                      const char *const *options, const char *keys)
{
    char text[4096];
    herd->count = count;
    herd->front = place_new();
    for (unsigned i = 0; i < count; i++) {
        herd->back[i] = place_new();
        herd->server[i] = server_start(&herd->back[i], serve_name, &LETTERS[i]);
    }
    herd_text(herd, 0, options, keys, text, sizeof text);
    herd->proxy = proxy_start("%s", text);
}

static void herd_close(struct herd *herd)
{
    proxy_stop(herd->proxy);
    for (unsigned i = 0; i < herd->count; i++) {
        if (herd->server[i]) {
            server_stop(herd->server[i]);
        }
    }
}

static void herd_lose(struct herd *herd, unsigned i)
{
    server_stop(herd->server[i]);
    herd->server[i] = NULL;
}

/* A connection, and the number of the upstream that greets it. */
static int visit(const struct place *front, const char *source, unsigned *who)
{
    char message;
    int fd = dial_from(source, front);
    assert_true(pending(fd, 10000));
    assert_int_equal(recv(fd, &message, 1, 0), 1);
    *who = (unsigned)(message - 'A');
    assert_in_range(*who, 0, HERD_MAX - 1);
    return fd;
}

/* The same, and hung up again. */
static unsigned whom(const struct place *front, const char *source)
{
    unsigned who;
    int fd = visit(front, source, &who);
    hang_up(fd);
    return who;
}

static void count_visits(const struct herd *herd, unsigned visits,
                         unsigned *counts)
{
    memset(counts, 0, HERD_MAX * sizeof *counts);
    for (unsigned i = 0; i < visits; i++) {
        counts[whom(&herd->front, NULL)]++;
    }
}

/* ---- balance ---- */

static void a_source_keeps_its_upstream(void **state)
{
    struct herd herd;
    unsigned counts[HERD_MAX] = {0};
    (void)state;
    herd_open(&herd, 4, NULL, "");
    for (unsigned n = 1; n <= 60; n++) {
        unsigned who = whom(&herd.front, source_new(n));
        counts[who]++;
        assert_int_equal(whom(&herd.front, source_new(n)), who);
        assert_int_equal(whom(&herd.front, source_new(n)), who);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_in_range(counts[i], 3, 40);
    }
    herd_close(&herd);
}

static void an_upstream_that_goes_moves_only_its_own_clients(void **state)
{
    enum { SOURCES = 400, UPSTREAMS = 8 };
    struct herd herd;
    unsigned before[SOURCES + 1];
    unsigned moved = 0;
    char text[4096];
    (void)state;
    herd_open(&herd, UPSTREAMS, NULL, "balance = source");
    for (unsigned n = 1; n <= SOURCES; n++) {
        before[n] = whom(&herd.front, source_new(n));
    }
    herd_text(&herd, 1, NULL, "balance = source", text, sizeof text);
    proxy_configure(herd.proxy, "%s", text);
    proxy_reload(herd.proxy);
    for (unsigned n = 1; n <= SOURCES; n++) {
        unsigned now = whom(&herd.front, source_new(n));
        assert_int_not_equal(now, 0);
        if (before[n] != 0) {
            assert_int_equal(now, before[n]);
        }
        moved += before[n] == 0;
    }
    assert_in_range(moved, SOURCES / UPSTREAMS / 3, SOURCES / UPSTREAMS * 2);
    herd_close(&herd);
}

static void weights_share_out_the_sources(void **state)
{
    static const char *const options[] = {"weight=3", "weight=1"};
    struct herd herd;
    unsigned counts[HERD_MAX] = {0};
    (void)state;
    herd_open(&herd, 2, options, "");
    for (unsigned n = 1; n <= 300; n++) {
        counts[whom(&herd.front, source_new(n))]++;
    }
    assert_in_range(counts[0], 190, 260); /* 225, and 4.5 deviations */
    herd_close(&herd);
}

static void a_hash_prefix_makes_one_source_of_a_network(void **state)
{
    struct herd herd;
    (void)state;
    herd_open(&herd, 8, NULL, "hash_prefix_v4 = 8");
    unsigned who = whom(&herd.front, "127.1.2.3");
    for (unsigned n = 1; n < 30; n++) {
        assert_int_equal(whom(&herd.front, source_new(n * 991)), who);
    }
    herd_close(&herd);
}

/* ::1 is all there is on loopback: without its last bit it is another source,
 * the same for every shorter prefix. */
static void a_hash_prefix_for_ipv6_counts_its_own_bits(void **state)
{
    static const unsigned bits[] = {0, 64, 127, 128};
    bool differs = false;
    (void)state;
    /* Both picks may fall on one upstream by chance: then eight others are
     * asked, for one that stayed could win again and again. */
    for (unsigned round = 0; round < 8 && !differs; round++) {
        struct place front[4];
        struct place back[8];
        for (unsigned i = 0; i < 8; i++) {
            back[i] = place_new();
            server_start(&back[i], serve_name, &LETTERS[i]);
        }
        char text[4096];
        unsigned who[4];
        int used = 0;
        for (unsigned s = 0; s < 4; s++) {
            front[s] = place_on("[::1]");
            used += snprintf(text + used, sizeof text - (size_t)used,
                             "[service s%u]\nlisten = %s\n"
                             "hash_prefix_v6 = %u\n",
                             s, front[s].text, bits[s]);
            for (unsigned i = 0; i < 8; i++) {
                used += snprintf(text + used, sizeof text - (size_t)used,
                                 "upstream = %s\n", back[i].text);
            }
        }
        struct proxy *proxy = proxy_start("%s", text);
        for (unsigned s = 0; s < 4; s++) {
            who[s] = whom(&front[s], NULL);
        }
        assert_int_equal(who[1], who[0]);
        assert_int_equal(who[2], who[0]);
        differs = who[3] != who[0];
        proxy_stop(proxy);
    }
    assert_true(differs);
}

static void round_robin_takes_turns_over_all_workers(void **state)
{
    static const char *const options[] = {"weight=2", "", "weight=1"};
    struct herd herd;
    unsigned counts[HERD_MAX];
    (void)state;
    herd_open(&herd, 3, options, "balance = roundrobin");
    count_visits(&herd, 80, counts);
    assert_int_equal(counts[0], 40);
    assert_int_equal(counts[1], 20);
    assert_int_equal(counts[2], 20);
    herd_close(&herd);
}

static void leastconn_fills_the_emptiest(void **state)
{
    struct herd herd;
    int held[9];
    unsigned who;
    unsigned counts[HERD_MAX] = {0};
    (void)state;
    herd_open(&herd, 3, NULL, "balance = leastconn");
    for (unsigned i = 0; i < 9; i++) {
        held[i] = visit(&herd.front, NULL, &who);
        counts[who]++;
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(counts[i], 3);
    }
    hang_up(held[4]);
    stat_await(herd.proxy, NULL, NULL, "active", 8);
    int next = visit(&herd.front, NULL, &who);
    for (unsigned i = 0; i < 3; i++) {
        stat_await(herd.proxy, "web", herd.back[i].text, "active", 3);
    }
    hang_up(next);
    herd_close(&herd);
}

static void random_uses_all_by_weight(void **state)
{
    static const char *const options[] = {"weight=6", "weight=2", "weight=2"};
    struct herd herd;
    unsigned counts[HERD_MAX];
    (void)state;
    herd_open(&herd, 3, options, "balance = random");
    count_visits(&herd, 200, counts);
    assert_in_range(counts[0], 70, 180);
    assert_in_range(counts[1], 10, 90);
    assert_in_range(counts[2], 10, 90);
    herd_close(&herd);
}

/* ---- when one cannot be had ---- */

static void a_failed_connect_goes_to_the_next_with_its_bytes(void **state)
{
    struct place front = place_new();
    struct place dead[2] = {refusing_place(), refusing_place()};
    struct place back = place_new();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nbalance = roundrobin\n"
        "fail_threshold = 0\nupstream = %s\nupstream = %s\nupstream = %s\n",
        front.text, dead[0].text, dead[1].text, back.text);
    for (int i = 0; i < 12; i++) {
        int client = dial(&front);
        send_last(client, "exactly once", 12);
        int upstream = take(listener);
        expect_text(upstream, "exactly once");
        expect_eof(upstream);
        hang_up(upstream);
        expect_eof(client);
        hang_up(client);
    }
    await_cause(proxy, "client_fin", 12);
    stat_await(proxy, "web", back.text, "total", 12);
    assert_true(stat_get(proxy, "web", dead[0].text, "failed") > 0);
    assert_true(stat_get(proxy, "web", dead[1].text, "failed") > 0);
    proxy_stop(proxy);
}

static void connect_attempts_bound_the_tries(void **state)
{
    struct place front = place_new();
    struct place dead[4];
    char text[1024];
    int used;
    (void)state;
    used = snprintf(text, sizeof text,
                    "[service web]\nlisten = %s\nconnect_attempts = 2\n"
                    "fail_threshold = 0\n",
                    front.text);
    for (int i = 0; i < 4; i++) {
        dead[i] = refusing_place();
        used += snprintf(text + used, sizeof text - (size_t)used,
                         "upstream = %s\n", dead[i].text);
    }
    struct proxy *proxy = proxy_start("%s", text);
    expect_let_go(&front);
    await_cause(proxy, "connect_refused", 1);
    uint64_t failed = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t here = stat_get(proxy, "web", dead[i].text, "failed");
        assert_in_range(here, 0, 1); /* each is tried once */
        failed += here;
    }
    assert_int_equal(failed, 2);
    proxy_stop(proxy);
}

static void a_lone_upstream_is_tried_again(void **state)
{
    struct place front = place_new();
    struct place dead = refusing_place();
    (void)state;
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nconnect_attempts = 3\n"
        "fail_threshold = 0\n",
        front.text, dead.text);
    expect_let_go(&front);
    await_cause(proxy, "connect_refused", 1);
    stat_await(proxy, "web", dead.text, "failed", 3);
    proxy_stop(proxy);
}

static void
an_upstream_that_accepts_and_closes_is_no_failed_connect(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_close, NULL);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    for (unsigned i = 0; i < 50; i++) {
        int fd = dial(&front);
        expect_eof(fd);
        hang_up(fd);
    }
    await_cause(proxy, "upstream_fin", 50);
    stat_await(proxy, "web", back.text, "total", 50);
    stat_await(proxy, "web", back.text, "failed", 0);
    assert_int_equal(server_accepted(server), 50);
    proxy_stop(proxy);
    server_stop(server);
}

/* Whether the reset comes before or after the connect is noticed: it ends. */
static void
an_upstream_that_accepts_and_resets_ends_the_connection(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    struct server *server = server_start(&back, serve_reset, NULL);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = %s\nfail_threshold = 0\n",
                                      front.text, back.text);
    for (unsigned i = 0; i < 50; i++) {
        expect_refused(NULL, &front, NULL);
    }
    stat_await(proxy, "web", NULL, "active", 0);
    stat_await(proxy, "web", NULL, "accepted", 50);
    proxy_stop(proxy);
    server_stop(server);
}

static void a_backup_waits_until_all_others_are_down(void **state)
{
    static const char *const options[] = {"", "", "backup"};
    struct herd herd;
    unsigned counts[HERD_MAX];
    (void)state;
    herd_open(&herd, 3, options,
              "balance = roundrobin\nfail_threshold = 1\nfail_window = 200ms");
    count_visits(&herd, 20, counts);
    assert_int_equal(counts[2], 0);
    herd_lose(&herd, 0);
    count_visits(&herd, 20, counts);
    assert_int_equal(counts[1], 20);
    herd_lose(&herd, 1);
    count_visits(&herd, 20, counts);
    assert_int_equal(counts[2], 20);
    herd.server[0] = server_start(&herd.back[0], serve_name, &LETTERS[0]);
    proxy_line(herd.proxy, "^upstream service=web address=[^ ]+ state=up");
    count_visits(&herd, 20, counts);
    assert_int_equal(counts[0], 20);
    herd_close(&herd);
}

static void a_full_upstream_is_passed_over(void **state)
{
    static const char *const options[] = {"max_connections=2",
                                          "max_connections=1"};
    struct herd herd;
    unsigned counts[HERD_MAX] = {0};
    int held[3];
    unsigned who;
    (void)state;
    herd_open(&herd, 2, options, "");
    for (unsigned i = 0; i < 3; i++) { /* one source: it would go to one */
        held[i] = visit(&herd.front, NULL, &who);
        counts[who]++;
    }
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    expect_let_go(&herd.front);
    await_cause(herd.proxy, "no_upstream", 1);
    hang_up(held[1]);
    stat_await(herd.proxy, NULL, NULL, "active", 2);
    visit(&herd.front, NULL, &who);
    herd_close(&herd);
}

/* ---- health ---- */

static void
failed_connects_take_an_upstream_out_until_a_probe_succeeds(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    char pattern[256];
    (void)state;
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nconnect_attempts = 1\n"
        "fail_threshold = 3\nfail_window = 400ms\n",
        front.text, back.text);
    for (int i = 0; i < 3; i++) {
        expect_let_go(&front);
    }
    int64_t down = time_ms();
    snprintf(pattern, sizeof pattern,
             "^upstream service=web address=%s state=down "
             "cause=connect_refused( |$)",
             back.text);
    proxy_line(proxy, pattern);
    assert_non_null(strstr(stat_line(proxy, "web", back.text), " state=down "));
    expect_let_go(&front);
    await_cause(proxy, "no_upstream", 1);
    struct server *server = server_start(&back, serve_name, "A");
    snprintf(pattern, sizeof pattern,
             "^upstream service=web address=%s state=up( |$)", back.text);
    proxy_line(proxy, pattern);
    assert_in_range(time_ms() - down, 300, 8000);
    assert_int_equal(whom(&front, NULL), 0);
    proxy_stop(proxy);
    server_stop(server);
}

static void failures_far_apart_take_nothing_out(void **state)
{
    struct place front = place_new();
    struct place back = refusing_place();
    (void)state;
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nconnect_attempts = 1\n"
        "fail_threshold = 2\nfail_window = 100ms\n",
        front.text, back.text);
    for (unsigned i = 0; i < 3; i++) {
        int64_t begin = time_ms();
        expect_let_go(&front);
        eventually(time_ms() > begin + 200); /* past the window */
    }
    await_cause(proxy, "connect_refused", 3);
    assert_int_equal(proxy_count(proxy, "state=down"), 0);
    proxy_stop(proxy);
}

static void health_checks_find_the_dead_and_the_risen(void **state)
{
    struct herd herd;
    unsigned counts[HERD_MAX];
    char pattern[256];
    (void)state;
    herd_open(&herd, 2, NULL,
              "balance = roundrobin\nhealth_check = tcp\n"
              "health_interval = 60ms\nhealth_timeout = 50ms\n"
              "health_rise = 3\nhealth_fall = 2");
    eventually(server_accepted(herd.server[0]) >= 3);
    stat_await(herd.proxy, "web", NULL, "accepted", 0);
    herd_lose(&herd, 0);
    snprintf(pattern, sizeof pattern,
             "^upstream service=web address=%s state=down "
             "cause=connect_refused( |$)",
             herd.back[0].text);
    proxy_line(herd.proxy, pattern);
    count_visits(&herd, 10, counts);
    assert_int_equal(counts[1], 10);
    int64_t begin = time_ms();
    herd.server[0] = server_start(&herd.back[0], serve_name, &LETTERS[0]);
    snprintf(pattern, sizeof pattern,
             "^upstream service=web address=%s state=up( |$)",
             herd.back[0].text);
    proxy_line(herd.proxy, pattern);
    assert_true(server_accepted(herd.server[0]) >= 3);
    assert_in_range(time_ms() - begin, 90, 8000);
    count_visits(&herd, 10, counts);
    assert_int_equal(counts[0], 5);
    stat_await(herd.proxy, "web", herd.back[0].text, "failed", 0);
    herd_close(&herd);
}

static void a_check_without_an_answer_is_down_after_health_timeout(void **state)
{
    struct place front = place_new();
    struct place back = silent_place();
    (void)state;
    int64_t begin = time_ms();
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nhealth_check = tcp\n"
        "health_interval = 100ms\nhealth_timeout = 150ms\nhealth_fall = 1\n",
        front.text, back.text);
    proxy_line(proxy, "^upstream service=web address=[^ ]+ state=down "
                      "cause=connect_timeout");
    assert_in_range(time_ms() - begin, 145, 8000);
    expect_let_go(&front);
    await_cause(proxy, "no_upstream", 1);
    proxy_stop(proxy);
}

/* ---- addresses ---- */

static void expect_through(const struct place *front, int listener)
{
    int client = dial(front);
    send_text(client, "there");
    int upstream = take(listener);
    expect_text(upstream, "there");
    send_text(upstream, "back");
    expect_text(client, "back");
    hang_up(client);
    hang_up(upstream);
}

static void ipv6_works_on_both_sides(void **state)
{
    struct place front = place_on("[::1]");
    struct place back = place_on("[::1]");
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[global]\naccess_log = yes\n[service web]\nlisten = %s\n"
                    "upstream = %s\n",
                    front.text, back.text);
    expect_through(&front, listener);
    proxy_line(proxy, "^conn service=web client=\\[::1\\]:[0-9]+ "
                      "upstream=\\[::1\\]:[0-9]+ cause=");
    assert_true(stat_listed(proxy, "web", back.text));
    proxy_stop(proxy);
}

static void a_port_alone_listens_on_both_families(void **state)
{
    struct place front = place_on("");
    struct place four = place_at("127.0.0.1", &front);
    struct place six = place_at("[::1]", &front);
    struct place back = place_new();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[global]\naccess_log = yes\n[service web]\nlisten = %s\n"
                    "upstream = %s\nallow = 127.0.0.0/8\nallow = ::1\n",
                    front.text, back.text);
    expect_through(&four, listener);
    expect_through(&six, listener);
    proxy_line(proxy, "^conn service=web client=127\\.0\\.0\\.1:");
    proxy_line(proxy, "^conn service=web client=\\[::1\\]:");
    proxy_stop(proxy);
}

static void unix_sockets_work_on_both_sides(void **state)
{
    struct place front = place_unix("front");
    struct place back = place_unix("back");
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    for (int i = 0; i < 20; i++) {
        expect_through(&front, listener);
    }
    await_cause(proxy, "client_fin", 20);
    stat_await(proxy, "web", back.text, "total", 20);
    proxy_stop(proxy);
}

static void a_unix_socket_left_behind_is_taken_over(void **state)
{
    struct place front = place_unix("stale");
    struct place back = place_new();
    (void)state;
    hang_up(listen_on(&front)); /* the file stays, nobody answers */
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n", front.text, back.text);
    expect_through(&front, listener);
    proxy_stop(proxy);
}

static void a_name_is_all_its_addresses(void **state)
{
    struct place front = place_new();
    struct place back = place_on("127.0.0.1");
    struct place name = place_at("localhost", &back);
    struct addrinfo *known = NULL;
    (void)state;
    if (getaddrinfo("localhost", NULL, NULL, &known) != 0) {
        print_message("skipped: localhost does not resolve here\n");
        skip();
    }
    freeaddrinfo(known);
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = %s\n",
                                      front.text, name.text);
    for (int i = 0; i < 5; i++) {
        expect_through(&front, listener);
    }
    assert_true(stat_listed(proxy, "web", back.text));
    proxy_stop(proxy);
}

static void an_unknown_name_is_down_and_stops_no_start(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n"
                    "upstream = no-such-name.invalid:80\n",
                    front.text, back.text);
    for (int i = 0; i < 5; i++) {
        expect_through(&front, listener);
    }
    const char *line = stat_line(proxy, "web", "no-such-name.invalid:80");
    assert_non_null(strstr(line, " state=down "));
    proxy_stop(proxy);
}

static void a_service_listens_on_every_address_it_names(void **state)
{
    struct place front[3] = {place_new(), place_new(), place_unix("third")};
    struct place back = place_new();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nlisten = %s\nlisten = %s\n"
                    "upstream = %s\n",
                    front[0].text, front[1].text, front[2].text, back.text);
    for (int i = 0; i < 3; i++) {
        expect_through(&front[i], listener);
    }
    proxy_stop(proxy);
}

/* ---- our own address ---- */

/* The host part of the peer's address, as a number. */
static uint32_t source_of(int fd)
{
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    assert_int_equal(getpeername(fd, (struct sockaddr *)&peer, &length), 0);
    return ntohl(peer.sin_addr.s_addr);
}

static void upstreams_see_the_source_address(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "source_address = 127.33.0.9");
    struct pair pair = scene_pair(&scene);
    assert_int_equal(source_of(pair.upstream), 0x7f210009);
    scene_close(&scene);
}

static void a_range_of_sources_is_spread(void **state)
{
    struct scene scene;
    unsigned counts[5] = {0};
    (void)state;
    scene_open(&scene, "",
               "source_address = 127.33.0.1-127.33.0.3, 127.34.0.9");
    for (int i = 0; i < 40; i++) {
        struct pair pair = scene_pair(&scene);
        uint32_t source = source_of(pair.upstream);
        if (source != 0x7f220009) {
            assert_in_range(source, 0x7f210001, 0x7f210003);
        }
        counts[source == 0x7f220009 ? 4 : source - 0x7f210000]++;
        pair_hang_up(&pair);
    }
    for (int i = 1; i <= 4; i++) {
        assert_in_range(counts[i], 1, 30);
    }
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_source_keeps_its_upstream),
        E2E(an_upstream_that_goes_moves_only_its_own_clients),
        E2E(weights_share_out_the_sources),
        E2E(a_hash_prefix_makes_one_source_of_a_network),
        E2E(a_hash_prefix_for_ipv6_counts_its_own_bits),
        E2E(round_robin_takes_turns_over_all_workers),
        E2E(leastconn_fills_the_emptiest),
        E2E(random_uses_all_by_weight),
        E2E(a_failed_connect_goes_to_the_next_with_its_bytes),
        E2E(connect_attempts_bound_the_tries),
        E2E(a_lone_upstream_is_tried_again),
        E2E(an_upstream_that_accepts_and_closes_is_no_failed_connect),
        E2E(an_upstream_that_accepts_and_resets_ends_the_connection),
        E2E(a_backup_waits_until_all_others_are_down),
        E2E(a_full_upstream_is_passed_over),
        E2E(failed_connects_take_an_upstream_out_until_a_probe_succeeds),
        E2E(failures_far_apart_take_nothing_out),
        E2E(health_checks_find_the_dead_and_the_risen),
        E2E(a_check_without_an_answer_is_down_after_health_timeout),
        E2E(ipv6_works_on_both_sides),
        E2E(a_port_alone_listens_on_both_families),
        E2E(unix_sockets_work_on_both_sides),
        E2E(a_unix_socket_left_behind_is_taken_over),
        E2E(a_name_is_all_its_addresses),
        E2E(an_unknown_name_is_down_and_stops_no_start),
        E2E(a_service_listens_on_every_address_it_names),
        E2E(upstreams_see_the_source_address),
        E2E(a_range_of_sources_is_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
