/*
 * TLS that begins here: upstreams that speak it, whom of them to believe, and
 * what becomes of a connection whose upstream is not believed.
 */
#include "secure.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { MEGABYTE = 1024 * 1024 };

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* What upstreams are called. */
#define NAMED "upstream_tls_name = up.example\n"

static const struct identity *upstream_identity(void)
{
    static struct identity made;
    if (!*made.certificate) {
        made = identity_for("upstream", "DNS:up.example, DNS:other.example, "
                                        "DNS:localhost, IP:127.0.0.1, IP:::1");
    }
    return &made;
}

/* The keys: TLS, whom to trust, and more. Good for four more calls. */
static const char *upstream_keys(const struct identity *ca, const char *more)
{
    static char texts[4][1024];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0],
             "upstream_tls = yes\nupstream_tls_ca = %s\n%s",
             ca ? ca->certificate : "off", more);
    return text;
}

static struct secure upstream_of(int version)
{
    return (struct secure){.identity = upstream_identity(), .version = version};
}

/* A plain client, and its upstream with TLS. */
static struct pair pair_to(const struct scene *scene, const struct secure *how)
{
    struct pair pair = {.client = dial(&scene->front)};
    pair.upstream = secure_take(scene->listener, how);
    return pair;
}

typedef void (*part_fn)(struct scene *scene, const struct secure *how);

static void in_both_versions(const char *service, part_fn part)
{
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = upstream_of(VERSIONS[i]);
        struct scene scene;
        scene_open(&scene, "access_log = yes",
                   upstream_keys(authority(), service));
        part(&scene, &how);
        stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
        scene_close(&scene);
    }
}

/* ---- bytes and ends ---- */

static void talk(struct scene *scene, const struct secure *how)
{
    struct pair pair = pair_to(scene, how);
    assert_int_equal(SSL_version(secure_ssl(pair.upstream)), how->version);
    assert_string_equal(secure_asked(pair.upstream), "up.example");
    assert_string_equal(secure_offered(pair.upstream), "");
    send_text(pair.client, "question");
    expect_text(pair.upstream, "question");
    send_text(pair.upstream, "the answer");
    expect_text(pair.client, "the answer");
    finish(pair.client);
    expect_eof(pair.upstream);
    secure_expect_fin(pair.upstream);
    send_last(pair.upstream, "the rest", 8);
    expect_text(pair.client, "the rest");
    expect_eof(pair.client);
    pair_hang_up(&pair);
    await_cause(scene->proxy, "client_fin", 1);
    const char *line = proxy_line(scene->proxy, "^conn service=web ");
    assert_int_equal(line_number(line, "bytes_up"), 8);
    assert_int_equal(line_number(line, "bytes_down"), 18);
    line = stat_line(scene->proxy, "web", scene->back.text);
    assert_int_equal(line_number(line, "bytes_up"), 8);
    assert_int_equal(line_number(line, "bytes_down"), 18);
    assert_int_equal(line_number(line, "failed"), 0);
}

static void an_upstream_may_speak_tls(void **state)
{
    (void)state;
    in_both_versions(NAMED, talk);
}

static void speak_first(struct scene *scene, const struct secure *how)
{
    struct pair pair = pair_to(scene, how);
    send_text(pair.upstream, "220 ready");
    expect_text(pair.client, "220 ready");
    pair_ping(&pair);
}

static void an_upstream_may_speak_first(void **state)
{
    (void)state;
    in_both_versions(NAMED, speak_first);
}

static void stream_both_ways(struct scene *scene, const struct secure *how)
{
    struct flow way = {.seed = 1,
                       .bytes = (test_slow() ? 8 : 32) * MEGABYTE,
                       .pause_every = 6 * MEGABYTE,
                       .pause_ms = 20,
                       .finish = true};
    struct pair pair = pair_to(scene, how);
    pair_exchange(&pair, &way);
    pair_hang_up(&pair);
    stat_await(scene->proxy, "web", NULL, "bytes_up", way.bytes);
    stat_await(scene->proxy, "web", NULL, "bytes_down", way.bytes);
}

static void long_streams_pass_both_ways_at_once(void **state)
{
    (void)state;
    in_both_versions(NAMED, stream_both_ways);
}

static void carry_around(struct scene *scene, const struct secure *how)
{
    static const size_t sizes[] = {1,     2,     4096,  16383,
                                   16384, 16385, 32768, 65536};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        struct pair pair = pair_to(scene, how);
        carry(pair.client, pair.upstream, n, n);
        carry(pair.upstream, pair.client, n, n + 1);
        pair_hang_up(&pair);
        pair = pair_to(scene, how);
        carry(pair.upstream, pair.client, n, n + 2);
        carry(pair.client, pair.upstream, n, n + 3);
        secure_expect_fin(pair.upstream);
        pair_hang_up(&pair);
    }
}

static void bytes_and_the_end_arrive_for_sizes_around_a_block(void **state)
{
    (void)state;
    in_both_versions(NAMED, carry_around);
}

/* All that the client has to say is there before an upstream is. */
static void say_all(struct scene *scene, const struct secure *how)
{
    struct pair pair = {.client = dial(&scene->front)};
    send_last(pair.client, "all of it", 9);
    await_acknowledged(pair.client);
    pair.upstream = secure_take(scene->listener, how);
    expect_text(pair.upstream, "all of it");
    expect_eof(pair.upstream);
    send_last(pair.upstream, "answer", 6);
    expect_text(pair.client, "answer");
    expect_eof(pair.client);
    pair_hang_up(&pair);
}

static void a_client_may_say_all_before_the_handshake(void **state)
{
    (void)state;
    in_both_versions(NAMED, say_all);
}

static void shake_in_drops(struct scene *scene, const struct secure *how)
{
    struct secure slow = *how;
    slow.drops = true;
    struct pair pair = pair_to(scene, &slow);
    pair_ping(&pair);
    pair_hang_up(&pair);
}

static void an_upstreams_handshake_may_come_byte_by_byte(void **state)
{
    (void)state;
    in_both_versions(NAMED, shake_in_drops);
}

static void cut_off(struct scene *scene, const struct secure *how)
{
    struct pair pair = pair_to(scene, how);
    send_text(pair.upstream, "not all");
    expect_text(pair.client, "not all");
    secure_cut(pair.upstream);
    expect_reset(pair.client);
    await_cause(scene->proxy, "upstream_reset", 1);
    pair_hang_up(&pair);
}

static void an_answer_that_is_cut_off_is_a_reset(void **state)
{
    (void)state;
    in_both_versions(NAMED, cut_off);
}

static void reset_each_way(struct scene *scene, const struct secure *how)
{
    struct pair pair = pair_to(scene, how);
    pair_ping(&pair);
    reset(pair.upstream);
    expect_reset(pair.client);
    hang_up(pair.client);
    await_cause(scene->proxy, "upstream_reset", 1);
    pair = pair_to(scene, how);
    pair_ping(&pair);
    reset(pair.client);
    expect_reset(pair.upstream);
    hang_up(pair.upstream);
    await_cause(scene->proxy, "client_reset", 1);
}

static void resets_are_passed_on_without_close_notify(void **state)
{
    (void)state;
    in_both_versions(NAMED, reset_each_way);
}

static void tls_may_be_on_both_sides(void **state)
{
    struct flow way = {.seed = 2, .bytes = 8 * MEGABYTE, .finish = true};
    char keys[2048];
    (void)state;
    snprintf(keys, sizeof keys, "%s%s", secure_keys(secure_server()),
             upstream_keys(authority(), NAMED));
    for (unsigned i = 0; i < 4; i++) {
        struct secure client = secure_client(VERSIONS[i % 2]);
        struct secure upstream = upstream_of(VERSIONS[i / 2]);
        struct scene scene;
        scene_open(&scene, i ? "" : "buffer_size = 4K", keys);
        struct pair pair = {.client = secure_dial(&scene.front, &client)};
        pair.upstream = secure_take(scene.listener, &upstream);
        pair_exchange(&pair, &way);
        secure_expect_fin(pair.client);
        secure_expect_fin(pair.upstream);
        pair_hang_up(&pair);
        stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
        scene_close(&scene);
    }
}

/* ---- whom to believe ---- */

/* One upstream with that identity, and whether it is believed. */
static void expect_believed(const struct place *back, const char *host,
                            const struct identity *identity, const char *keys,
                            const char *asked)
{
    struct place front = place_new();
    struct secure how = {.identity = identity};
    int listener = listen_on(back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s", front.text,
                    host, keys);
    struct pair pair = {.client = dial(&front)};
    pair.upstream = secure_take(listener, &how);
    assert_string_equal(secure_asked(pair.upstream), asked);
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void expect_doubted(const struct identity *identity, const char *keys)
{
    struct place front = place_new();
    struct place back = place_on("127.0.0.1");
    struct secure_service echo = {.how = {.identity = identity},
                                  .fn = serve_echo};
    struct server *server = server_start(&back, serve_secure, &echo);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s\n",
                    front.text, back.text, keys);
    expect_let_go(&front);
    await_cause(proxy, "tls_error", 1);
    assert_true(stat_get(proxy, "web", back.text, "failed") > 0);
    assert_int_equal(stat_get(proxy, "web", NULL, "bytes_up"), 0);
    proxy_stop(proxy);
    server_stop(server);
}

static void an_upstream_is_known_by_the_host_of_its_address(void **state)
{
    struct place four = place_on("127.0.0.1");
    struct place six = place_on("[::1]");
    struct place named = place_at("localhost", &four);
    const char *keys = upstream_keys(authority(), "");
    (void)state;
    expect_believed(&four, four.text, upstream_identity(), keys, "");
    expect_believed(&six, six.text, upstream_identity(), keys, "");
    expect_believed(&four, named.text, upstream_identity(), keys, "localhost");
}

static void an_upstream_is_known_by_the_name_that_is_set(void **state)
{
    struct place back = place_new(); /* not an address of the certificate */
    struct place path = place_unix("secure-back");
    const struct identity *identity = upstream_identity();
    (void)state;
    expect_believed(&back, back.text, identity,
                    upstream_keys(authority(), NAMED), "up.example");
    expect_believed(&path, path.text, identity,
                    upstream_keys(authority(), NAMED), "up.example");
    expect_believed(
        &back, back.text, identity,
        upstream_keys(authority(), "upstream_tls_name = 127.0.0.1\n"), "");
    expect_believed(&back, back.text, identity,
                    upstream_keys(authority(), "upstream_tls_name = ::1\n"),
                    "");
}

static void anyone_is_believed_if_nobody_is_asked_for(void **state)
{
    struct identity alone = identity_new("alone", &(struct identity_wish){0});
    struct place back = place_new();
    (void)state;
    expect_believed(&back, back.text, &alone, upstream_keys(NULL, ""), "");
    expect_believed(&back, back.text, &alone, upstream_keys(NULL, NAMED),
                    "up.example");
}

static void whom_the_system_trusts_is_believed(void **state)
{
    struct place front = place_new();
    struct place back = place_on("127.0.0.1");
    struct secure how = upstream_of(0);
    char trust[200];
    char config[512];
    (void)state;
    snprintf(trust, sizeof trust, "SSL_CERT_FILE=%s", authority()->certificate);
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = %s\nupstream_tls = yes\n",
             front.text, back.text);
    const char *const environment[] = {trust, NULL};
    const struct launch launch = {.environment = environment};
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_launch(&launch, config);
    struct pair pair = {.client = dial(&front)};
    pair.upstream = secure_take(listener, &how);
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void an_upstream_of_an_unknown_authority_is_not_believed(void **state)
{
    struct identity other =
        identity_new("other-ca", &(struct identity_wish){.authority = true});
    struct identity alone = identity_new(
        "alone", &(struct identity_wish){.names = "DNS:up.example"});
    (void)state;
    expect_doubted(upstream_identity(), upstream_keys(&other, NAMED));
    expect_doubted(&alone, upstream_keys(authority(), NAMED));
    expect_doubted(upstream_identity(), "upstream_tls = yes\n" NAMED);
}

static void an_upstream_of_another_name_is_not_believed(void **state)
{
    struct identity nameless = identity_for("up.example", NULL);
    struct identity elsewhere = identity_for("elsewhere", "IP:127.0.0.2");
    (void)state;
    expect_doubted(
        upstream_identity(),
        upstream_keys(authority(), "upstream_tls_name = no.example\n"));
    expect_doubted(
        upstream_identity(),
        upstream_keys(authority(), "upstream_tls_name = 127.0.0.2\n"));
    expect_doubted(&elsewhere, upstream_keys(authority(), ""));
    expect_doubted(&nameless, upstream_keys(authority(), ""));
}

static void an_upstream_whose_certificate_expired_is_not_believed(void **state)
{
    struct identity expired = identity_new(
        "expired", &(struct identity_wish){.names = "DNS:up.example",
                                           .issuer = authority(),
                                           .expired = true});
    (void)state;
    expect_doubted(&expired, upstream_keys(authority(), NAMED));
}

/* ---- sessions ---- */

/* An upstream that resumes what it has begun, whoever asks. */
struct resuming {
    struct scene scene;
    struct secure how;
};

static void resuming_open(struct resuming *resuming, int version)
{
    resuming->how = upstream_of(version);
    resuming->how.context = secure_context(&resuming->how, true);
    assert_non_null(resuming->how.context);
    scene_open(&resuming->scene, "workers = 1",
               upstream_keys(authority(), NAMED));
}

static void resuming_close(struct resuming *resuming)
{
    scene_close(&resuming->scene);
    SSL_CTX_free(resuming->how.context);
}

static void resuming_reload(struct resuming *resuming, const char *keys)
{
    proxy_configure(resuming->scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s\n",
                    resuming->scene.front.text, resuming->scene.back.text,
                    keys);
    proxy_reload(resuming->scene.proxy);
}

static void expect_resumed(const struct resuming *resuming, bool resumed)
{
    struct pair pair = pair_to(&resuming->scene, &resuming->how);
    assert_int_equal(SSL_session_reused(secure_ssl(pair.upstream)), resumed);
    assert_string_equal(secure_asked(pair.upstream), "up.example");
    pair_ping(&pair);
    finish(pair.client);
    expect_eof(pair.upstream);
    pair_hang_up(&pair);
    stat_await(resuming->scene.proxy, "web", NULL, "active", 0);
}

static void the_session_of_an_upstream_is_resumed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct resuming resuming;
        resuming_open(&resuming, VERSIONS[i]);
        expect_resumed(&resuming, false);
        for (unsigned turn = 0; turn < 5; turn++) {
            expect_resumed(&resuming, true);
        }
        resuming_close(&resuming);
    }
}

/* All workers offer the same one, and put back a new one. */
static void a_session_may_be_resumed_by_many_at_once(void **state)
{
    enum { CROWD = 16, ROUNDS = 10 };
    struct place front = place_new();
    struct place back = place_new();
    struct secure_service echo = {.how = upstream_of(0), .fn = serve_echo};
    (void)state;
    echo.how.context = secure_context(&echo.how, true);
    struct server *server = server_start(&back, serve_secure, &echo);
    struct proxy *proxy = proxy_start(
        "[global]\nworkers = 4\n[service web]\nlisten = %s\nupstream = %s\n%s",
        front.text, back.text, upstream_keys(authority(), NAMED));
    for (unsigned round = 0; round < ROUNDS; round++) {
        int clients[CROWD];
        for (unsigned i = 0; i < CROWD; i++) {
            clients[i] = dial(&front);
            send_text(clients[i], "echo");
        }
        for (unsigned i = 0; i < CROWD; i++) {
            expect_text(clients[i], "echo");
            hang_up(clients[i]);
        }
    }
    await_cause(proxy, "client_fin", CROWD * ROUNDS);
    assert_true(SSL_CTX_sess_hits(echo.how.context) > ROUNDS);
    proxy_stop(proxy);
    server_stop(server);
    SSL_CTX_free(echo.how.context);
}

/* Nothing but the end, or the alert that is the reason for it. */
static void expect_broken_off(int fd)
{
    char byte;
    ssize_t count = -1;
    eventually((count = SSL_read(secure_ssl(fd), &byte, 1)) > 0 ||
               SSL_get_error(secure_ssl(fd), (int)count) !=
                   SSL_ERROR_WANT_READ);
    assert_true(count <= 0);
}

/* It was good enough for whom was asked for then. */
static void expect_asked_anew(const char *keys)
{
    for (unsigned i = 0; i < 2; i++) {
        struct resuming resuming;
        resuming_open(&resuming, VERSIONS[i]);
        expect_resumed(&resuming, false);
        resuming_reload(&resuming, keys);
        int client = dial(&resuming.scene.front);
        int upstream = take(resuming.scene.listener);
        if (secure_begin(upstream, &resuming.how, true) == 0) {
            expect_broken_off(upstream); /* with TLS 1.3 it is told later */
        }
        hang_up(upstream);
        hang_up(client);
        stat_await(resuming.scene.proxy, "web", NULL, "active", 0);
        assert_true(stat_get(resuming.scene.proxy, "web", NULL,
                             "ended_tls_error") == 1);
        resuming_close(&resuming);
    }
}

static void a_session_does_not_stand_for_another_certificate(void **state)
{
    struct identity other =
        identity_new("other-ca", &(struct identity_wish){.authority = true});
    (void)state;
    expect_asked_anew(upstream_keys(&other, NAMED "connect_attempts = 1\n"));
    expect_asked_anew(upstream_keys(authority(),
                                    "upstream_tls_name = no.example\n"
                                    "connect_attempts = 1\n"));
}

/* ---- the next one ---- */

/* A client whose first upstream is of no use comes to the second, with all of
 * its bytes. The bad one is told of its failure count. */
static void expect_next(const struct place *bad, const char *keys)
{
    enum { CLIENTS = 6 };
    struct place front = place_new();
    struct place back = place_new();
    struct secure how = upstream_of(0);
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nupstream = %s\n"
        "balance = roundrobin\nfail_threshold = off\n"
        "connect_timeout = 300ms\n%s",
        front.text, bad->text, back.text, upstream_keys(authority(), keys));
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct pair pair = {.client = dial(&front)};
        send_text(pair.client, "first");
        pair.upstream = secure_take(listener, &how);
        expect_text(pair.upstream, "first");
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
    uint64_t failed = stat_get(proxy, "web", bad->text, "failed");
    assert_in_range(failed, CLIENTS / 2 - 1, CLIENTS);
    stat_await(proxy, "web", bad->text, "active", 0);
    assert_int_equal(stat_get(proxy, "web", back.text, "total"), CLIENTS);
    assert_int_equal(stat_get(proxy, "web", back.text, "failed"), 0);
    proxy_stop(proxy);
}

static void expect_next_behind(server_fn fn, const void *arg)
{
    struct place bad = place_new();
    struct server *server = server_start(&bad, fn, arg);
    expect_next(&bad, NAMED);
    server_stop(server);
}

static void
the_next_upstream_is_tried_for_one_that_is_not_believed(void **state)
{
    struct identity alone = identity_new(
        "alone", &(struct identity_wish){.names = "DNS:up.example"});
    struct secure_service echo = {.how = {.identity = &alone},
                                  .fn = serve_echo};
    (void)state;
    expect_next_behind(serve_secure, &echo);
    echo.how.version = TLS1_2_VERSION;
    expect_next_behind(serve_secure, &echo);
}

static void the_next_upstream_is_tried_for_one_without_tls(void **state)
{
    (void)state;
    expect_next_behind(serve_echo, NULL);
    expect_next_behind(serve_name, "x");
    expect_next_behind(serve_close, NULL);
    expect_next_behind(serve_reset, NULL);
}

static void the_next_upstream_is_tried_for_one_of_an_old_version(void **state)
{
    struct secure_service echo = {.how = upstream_of(TLS1_1_VERSION),
                                  .fn = serve_echo};
    (void)state;
    echo.how.ciphers = "ALL:@SECLEVEL=0";
    expect_next_behind(serve_secure, &echo);
}

static void
the_next_upstream_is_tried_for_one_that_does_not_answer(void **state)
{
    (void)state;
    expect_next_behind(serve_swallow, NULL); /* the ClientHello too */
}

static void a_lone_upstream_that_does_not_answer_is_a_timeout(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "",
               upstream_keys(authority(), NAMED "connect_timeout = 300ms\n"
                                                "connect_attempts = 1\n"));
    int64_t begin = time_ms();
    int fd = dial(&scene.front);
    expect_end(fd);
    assert_true(time_ms() - begin >= 295);
    await_cause(scene.proxy, "connect_timeout", 1);
    stat_await(scene.proxy, "web", scene.back.text, "failed", 1);
    scene_close(&scene);
}

/* As one that refuses connections would be. */
static void one_that_is_not_believed_is_taken_out(void **state)
{
    struct place front = place_new();
    struct place bad = place_new();
    struct identity alone = identity_new("alone", &(struct identity_wish){0});
    struct secure_service echo = {.how = {.identity = &alone},
                                  .fn = serve_echo};
    char line[256];
    (void)state;
    struct server *server = server_start(&bad, serve_secure, &echo);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nfail_threshold = 3\n"
        "connect_attempts = 1\n%s",
        front.text, bad.text, upstream_keys(authority(), NAMED));
    for (unsigned i = 0; i < 3; i++) {
        expect_let_go(&front);
    }
    snprintf(line, sizeof line,
             "^upstream service=web address=%s state=down cause=tls_error",
             bad.text);
    proxy_line(proxy, line);
    await_cause(proxy, "tls_error", 3);
    proxy_stop(proxy);
    server_stop(server);
}

static void a_client_may_go_while_an_upstream_is_met(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", upstream_keys(authority(), NAMED));
    int fd = dial(&scene.front);
    int upstream = take(scene.listener);
    reset(fd);
    await_cause(scene.proxy, "client_reset", 1);
    expect_gone(upstream);
    stat_await(scene.proxy, "web", scene.back.text, "active", 0);
    assert_int_equal(stat_get(scene.proxy, "web", scene.back.text, "failed"),
                     0);
    scene_close(&scene);
}

static void failures_to_be_believed_fill_no_log(void **state)
{
    enum { BAD = 40 };
    struct place front = place_new();
    struct place back = place_new();
    struct flow garbage = {.seed = 3, .bytes = 100};
    struct server *server = server_start(&back, serve_source, &garbage);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nfail_threshold = off\n"
        "connect_attempts = 1\n%s",
        front.text, back.text, upstream_keys(authority(), NAMED));
    (void)state;
    int64_t begin = time_ms();
    for (unsigned i = 0; i < BAD; i++) {
        expect_let_go(&front);
    }
    await_cause(proxy, "tls_error", BAD);
    unsigned seconds = (unsigned)((time_ms() - begin) / 1000);
    assert_in_range(proxy_count(proxy, "tls.* service=web "), 1, 1 + seconds);
    proxy_stop(proxy);
    server_stop(server);
}

/* ---- what goes before, and what is offered on ---- */

/* In clear, and before TLS. */
static void expect_told(const char *option, const char *header, size_t count)
{
    char got[64];
    struct place front = place_new();
    struct place back = place_new();
    struct secure how = upstream_of(0);
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s proxy_protocol=%s\n"
        "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n%s",
        front.text, back.text, option, upstream_keys(authority(), NAMED));
    struct pair pair = {.client = dial(&front)};
    send_bytes(pair.client, header, count);
    pair.upstream = take(listener);
    for (size_t have = 0; have < count;) {
        ssize_t more = -1;
        eventually((more = recv(pair.upstream, got + have, count - have, 0)) >
                   0);
        have += (size_t)more;
    }
    assert_memory_equal(got, header, count);
    secure_accept(pair.upstream, &how);
    pair_ping(&pair);
    assert_int_equal(stat_get(proxy, "web", NULL, "bytes_up"), 1);
    proxy_stop(proxy);
}

static void a_proxy_header_is_sent_in_clear_before_the_handshake(void **state)
{
    static const char v1[] = "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n";
    static const char v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                             "\xc0\0\2\7\xc0\0\2\x63\x0f\xa0\1\xbb";
    (void)state;
    expect_told("v1", v1, sizeof v1 - 1);
    expect_told("v2", v2, sizeof v2 - 1);
}

/* A client with TLS that offers so, and what its upstream is offered. */
static void expect_offered(const char *keys, const char *offer,
                           const char *offered)
{
    struct scene scene;
    struct secure client = secure_client(0);
    struct secure upstream = upstream_of(0);
    char all[2048];
    snprintf(all, sizeof all, "%s%s", secure_keys(secure_server()),
             upstream_keys(authority(), keys));
    scene_open(&scene, "", all);
    client.alpn = offer;
    upstream.alpn = "http/1.1,h2";
    struct pair pair = {.client = secure_dial(&scene.front, &client)};
    pair.upstream = secure_take(scene.listener, &upstream);
    assert_string_equal(secure_offered(pair.upstream), offered);
    assert_string_equal(secure_alpn(pair.upstream), offered);
    assert_string_equal(secure_alpn(pair.client), offered);
    pair_ping(&pair);
    scene_close(&scene);
}

static void what_was_agreed_with_a_client_is_offered_to_upstreams(void **state)
{
    (void)state;
    expect_offered(NAMED "tls_alpn = h2, http/1.1\n", "http/1.1,h2", "h2");
    expect_offered(NAMED "tls_alpn = h2, http/1.1\n", "http/1.1", "http/1.1");
    expect_offered(NAMED, "h2", "");
}

static void the_list_is_offered_for_a_client_without_tls(void **state)
{
    struct scene scene;
    struct secure upstream = upstream_of(0);
    (void)state;
    scene_open(&scene, "",
               upstream_keys(authority(), NAMED "tls_alpn = h2, http/1.1\n"));
    upstream.alpn = "http/1.1";
    struct pair pair = pair_to(&scene, &upstream);
    assert_string_equal(secure_offered(pair.upstream), "h2,http/1.1");
    assert_string_equal(secure_alpn(pair.upstream), "http/1.1");
    pair_ping(&pair);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_upstream_may_speak_tls),
        E2E(an_upstream_may_speak_first),
        E2E(long_streams_pass_both_ways_at_once),
        E2E(bytes_and_the_end_arrive_for_sizes_around_a_block),
        E2E(a_client_may_say_all_before_the_handshake),
        E2E(an_upstreams_handshake_may_come_byte_by_byte),
        E2E(an_answer_that_is_cut_off_is_a_reset),
        E2E(resets_are_passed_on_without_close_notify),
        E2E(tls_may_be_on_both_sides),
        E2E(an_upstream_is_known_by_the_host_of_its_address),
        E2E(an_upstream_is_known_by_the_name_that_is_set),
        E2E(anyone_is_believed_if_nobody_is_asked_for),
        E2E(whom_the_system_trusts_is_believed),
        E2E(an_upstream_of_an_unknown_authority_is_not_believed),
        E2E(an_upstream_of_another_name_is_not_believed),
        E2E(an_upstream_whose_certificate_expired_is_not_believed),
        E2E(the_session_of_an_upstream_is_resumed),
        E2E(a_session_may_be_resumed_by_many_at_once),
        E2E(a_session_does_not_stand_for_another_certificate),
        E2E(the_next_upstream_is_tried_for_one_that_is_not_believed),
        E2E(the_next_upstream_is_tried_for_one_without_tls),
        E2E(the_next_upstream_is_tried_for_one_of_an_old_version),
        E2E(the_next_upstream_is_tried_for_one_that_does_not_answer),
        E2E(a_lone_upstream_that_does_not_answer_is_a_timeout),
        E2E(one_that_is_not_believed_is_taken_out),
        E2E(a_client_may_go_while_an_upstream_is_met),
        E2E(failures_to_be_believed_fill_no_log),
        E2E(a_proxy_header_is_sent_in_clear_before_the_handshake),
        E2E(what_was_agreed_with_a_client_is_offered_to_upstreams),
        E2E(the_list_is_offered_for_a_client_without_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
