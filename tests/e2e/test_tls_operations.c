/*
 * Running it with TLS: files that change, files that are wrong, what
 * connections cost, limits, and the end of the process.
 */
#include "secure.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void scene_reload(struct scene *scene, const char *keys)
{
    proxy_configure(scene->proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s\n",
                    scene->front.text, scene->back.text, keys);
    proxy_reload(scene->proxy);
}

/* Whose certificate a new client is shown. */
static void expect_shown(const struct scene *scene, const char *type)
{
    struct secure how = secure_client(0);
    struct pair pair = secure_pair(scene, &how);
    assert_string_equal(secure_peer(pair.client), type);
    pair_ping(&pair);
    pair_hang_up(&pair);
}

/* ---- reloads ---- */

static void a_file_that_changed_is_read_by_a_reload(void **state)
{
    struct identity mine = identity_for("before", "DNS:a.example");
    struct secure how = secure_client(0);
    struct scene scene;
    (void)state;
    scene_open(&scene, "", secure_keys(&mine));
    struct pair old = secure_pair(&scene, &how);
    pair_ping(&old);
    struct identity renewed = identity_for("after", "DNS:a.example");
    assert_int_equal(rename(renewed.certificate, mine.certificate), 0);
    assert_int_equal(rename(renewed.key, mine.key), 0);
    expect_shown(&scene, "before");
    scene_reload(&scene, secure_keys(&mine));
    expect_shown(&scene, "after");
    pair_ping(&old);
    assert_string_equal(secure_peer(old.client), "before");
    scene_close(&scene);
}

static void tls_may_be_turned_on_and_off(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    struct pair pairs[3];
    (void)state;
    scene_open(&scene, "", "");
    pairs[0] = scene_pair(&scene);
    pair_ping(&pairs[0]);
    scene_reload(&scene, secure_keys(secure_server()));
    pairs[1] = secure_pair(&scene, &how);
    pair_ping(&pairs[1]);
    scene_reload(&scene, "");
    pairs[2] = scene_pair(&scene);
    for (unsigned i = 0; i < 3; i++) {
        pair_ping(&pairs[i]);
    }
    scene_close(&scene);
}

static void tls_to_upstreams_may_be_turned_on_and_off(void **state)
{
    struct scene scene;
    struct secure how = {.identity = secure_server()};
    struct pair pairs[3];
    (void)state;
    scene_open(&scene, "", "");
    pairs[0] = scene_pair(&scene);
    pair_ping(&pairs[0]);
    scene_reload(&scene, "upstream_tls = yes\nupstream_tls_ca = off\n");
    pairs[1].client = dial(&scene.front);
    pairs[1].upstream = secure_take(scene.listener, &how);
    pair_ping(&pairs[1]);
    scene_reload(&scene, "");
    pairs[2] = scene_pair(&scene);
    for (unsigned i = 0; i < 3; i++) {
        pair_ping(&pairs[i]);
    }
    scene_close(&scene);
}

/* It is shown what it came for, though that is no more. */
static void one_that_has_not_spoken_yet_outlasts_a_reload(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    struct identity other = identity_for("other", "DNS:a.example");
    (void)state;
    secure_scene_open(&scene, "", "");
    struct pair pair = {.client = dial(&scene.front)};
    stat_await(scene.proxy, "web", NULL, "active", 1);
    scene_reload(&scene, secure_keys(&other));
    secure_connect(pair.client, &how);
    assert_string_equal(secure_peer(pair.client), "server");
    pair.upstream = take(scene.listener);
    pair_ping(&pair);
    scene_close(&scene);
}

static void connections_with_tls_outlast_their_service(void **state)
{
    struct scene scene;
    struct place other = place_new();
    struct secure how = secure_client(0);
    struct secure late = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", "");
    struct pair old = secure_pair(&scene, &how);
    struct pair young = {.client = dial(&scene.front)};
    stat_await(scene.proxy, "web", NULL, "active", 2);
    proxy_configure(scene.proxy,
                    "[service other]\nlisten = %s\nupstream = %s\n", other.text,
                    scene.back.text);
    proxy_reload(scene.proxy);
    secure_connect(young.client, &late);
    young.upstream = take(scene.listener);
    pair_ping(&young);
    pair_ping(&old);
    pair_hang_up(&young);
    pair_hang_up(&old);
    eventually(!stat_listed(scene.proxy, "web", NULL));
    scene_close(&scene);
}

/* ---- files that are wrong ---- */

/* The path is good until the next call. */
static const char *locked_key(void)
{
    static char path[200];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    snprintf(path, sizeof path, "%s", file_path("locked.key"));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    int done =
        PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(),
                             (const unsigned char *)"password", 8, NULL, NULL);
    assert_int_equal(done, 1);
    fclose(file);
    EVP_PKEY_free(key);
    return path;
}

/* Which line of the keys is wrong, from 1. */
struct fault {
    unsigned line;
    char keys[1024];
};

enum { FAULTS = 13 };

static struct fault fault_of(unsigned line, const char *certificate,
                             const char *key, const char *more)
{
    struct fault fault = {.line = line};
    snprintf(fault.keys, sizeof fault.keys,
             "tls_certificate = %s\ntls_key = %s\n%s\n", certificate, key,
             more);
    return fault;
}

static void faults_make(struct fault *faults)
{
    const struct identity *good = secure_server();
    const struct identity stranger = identity_for("stranger", NULL);
    char garbage[200];
    char empty[200];
    char ca[256];
    snprintf(garbage, sizeof garbage, "%s",
             file_write("garbage.pem", "-----BEGIN CERTIFICATE-----\n"
                                       "bm9uc2Vuc2U=\n"
                                       "-----END CERTIFICATE-----\n"));
    snprintf(empty, sizeof empty, "%s", file_write("empty.pem", ""));
    const char *const wrong[] = {"/nonexistent", garbage, empty, "/"};
    for (unsigned i = 0; i < 4; i++) {
        faults[i] = fault_of(1, wrong[i], good->key, "");
        faults[4 + i] = fault_of(2, good->certificate, wrong[i], "");
        snprintf(ca, sizeof ca, "%s = %s",
                 i % 2 ? "upstream_tls = yes\nupstream_tls_ca"
                       : "tls_client_ca",
                 wrong[i]);
        faults[8 + i] =
            fault_of(i % 2 ? 4 : 3, good->certificate, good->key, ca);
    }
    faults[12] = fault_of(2, good->certificate, stranger.key, "");
}

static void expect_told(const char *path, unsigned line)
{
    struct outcome outcome;
    char place[256];
    const char *const check[] = {"evproxy", "-t", "-c", path, NULL};
    const char *const start[] = {"evproxy", "-c", path, NULL};
    snprintf(place, sizeof place, "%s:%u: ", path, line);
    for (unsigned i = 0; i < 2; i++) {
        run_once(&outcome, i ? start : check);
        assert_int_equal(outcome.status, 1);
        if (!strstr(outcome.err, place)) {
            fail_msg("no '%s' in: %s", place, outcome.err);
        }
    }
}

static void expect_reload_refused(struct scene *scene,
                                  const struct fault *fault)
{
    char place[512];
    char config[2048];
    char path[200];
    snprintf(config, sizeof config,
             "[service web]\nlisten = %s\nupstream = %s\n%s", scene->front.text,
             scene->back.text, fault->keys);
    snprintf(path, sizeof path, "%s", file_write("wrong.ini", config));
    expect_told(path, 3 + fault->line);
    proxy_configure(scene->proxy, "%s", config);
    proxy_mark(scene->proxy);
    proxy_signal(scene->proxy, SIGHUP);
    snprintf(place, sizeof place,
             "^reload refused: [^ ]*[.]ini:%u: ", 3 + fault->line);
    proxy_line(scene->proxy, place);
}

static void a_wrong_file_refuses_start_and_reload_by_its_line(void **state)
{
    static struct fault faults[FAULTS];
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", "");
    struct pair old = secure_pair(&scene, &how);
    faults_make(faults);
    for (unsigned i = 0; i < FAULTS; i++) {
        expect_reload_refused(&scene, &faults[i]);
        expect_shown(&scene, "server");
        pair_ping(&old);
    }
    scene_reload(&scene, secure_keys(secure_server()));
    expect_shown(&scene, "server");
    scene_close(&scene);
}

/* Nobody is there to ask for it. */
static void a_key_with_a_password_is_refused(void **state)
{
    struct scene scene;
    struct fault fault =
        fault_of(2, secure_server()->certificate, locked_key(), "");
    (void)state;
    secure_scene_open(&scene, "", "");
    expect_reload_refused(&scene, &fault);
    expect_shown(&scene, "server");
    scene_close(&scene);
}

static void every_wrong_file_is_told(void **state)
{
    struct place front = place_new();
    struct outcome outcome;
    char config[1024];
    (void)state;
    snprintf(config, sizeof config,
             "[service a]\nlisten = %s\nupstream = 127.0.0.1:1\n"
             "tls_certificate = /nonexistent/1\ntls_key = /nonexistent/2\n"
             "[service b]\nlisten = %s\nupstream = 127.0.0.1:1\nsni = b\n"
             "upstream_tls = yes\nupstream_tls_ca = /nonexistent/3\n",
             front.text, front.text);
    const char *path = file_write("many.ini", config);
    const char *const check[] = {"evproxy", "-t", "-c", path, NULL};
    run_once(&outcome, check);
    assert_int_equal(outcome.status, 1);
    assert_non_null(strstr(outcome.err, "many.ini:4: "));
    assert_non_null(strstr(outcome.err, "many.ini:11: "));
}

static void good_files_are_ok(void **state)
{
    struct outcome outcome;
    char config[1024];
    (void)state;
    snprintf(config, sizeof config,
             "[service a]\nlisten = 127.0.0.1:81\nupstream = 127.0.0.1:1\n%s"
             "tls_client_ca = %s\nupstream_tls = yes\nupstream_tls_ca = %s\n",
             secure_keys(secure_server()), authority()->certificate,
             authority()->certificate);
    const char *path = file_write("good.ini", config);
    const char *const check[] = {"evproxy", "-t", "-c", path, NULL};
    run_once(&outcome, check);
    assert_string_equal(outcome.err, "");
    assert_int_equal(outcome.status, 0);
}

/* ---- what they cost ---- */

enum { IDLE = 1000, IDLE_BYTES = 20 * 1024 };

static struct pair idle[IDLE];

static void idle_open(const struct scene *scene)
{
    struct secure how = secure_client(0);
    how.context = secure_context(&how, false);
    for (unsigned i = 0; i < IDLE; i++) {
        idle[i] = secure_pair(scene, &how);
        pair_ping(&idle[i]);
    }
    SSL_CTX_free(how.context);
}

static void idle_hang_up(const struct scene *scene)
{
    for (unsigned i = 0; i < IDLE; i++) {
        pair_hang_up(&idle[i]);
    }
    stat_await(scene->proxy, "web", NULL, "active", 0);
}

/* The least that it has been for a while: what is freed goes back late. */
static uint64_t settled(const struct scene *scene)
{
    int64_t limit = time_ms() + 500;
    uint64_t least = UINT64_MAX;
    while (time_ms() < limit) {
        uint64_t now = proxy_resident(scene->proxy);
        least = now < least ? now : least;
        time_tick();
    }
    return least;
}

static void an_idle_connection_costs_what_openssl_keeps_of_it(void **state)
{
    struct scene scene;
    (void)state;
    if (test_slow()) {
        skip();
    }
    secure_scene_open(&scene, "", "");
    expect_shown(&scene, "server");
    uint64_t before = settled(&scene);
    idle_open(&scene);
    assert_int_equal(stat_get(scene.proxy, NULL, NULL, "buffers_lent"), 0);
    uint64_t first = settled(&scene);
    idle_hang_up(&scene);
    idle_open(&scene);
    uint64_t second = settled(&scene);
    print_message("%.1f KiB a connection, %.1f of the same number again\n",
                  ((double)first - (double)before) / IDLE / 1024,
                  ((double)second - (double)before) / IDLE / 1024);
    assert_true(first <= before + (uint64_t)IDLE * IDLE_BYTES);
    assert_true(second <= first + first / 10);
    idle_hang_up(&scene);
    scene_close(&scene);
}

/* What OpenSSL needs for a record is held while there is one. */
static void the_memory_of_a_burst_goes_back(void **state)
{
    static unsigned char bytes[64 * 1024];
    struct scene scene;
    (void)state;
    if (test_slow()) {
        skip();
    }
    secure_scene_open(&scene, "", "");
    idle_open(&scene);
    uint64_t before = settled(&scene);
    for (unsigned i = 0; i < IDLE; i++) {
        struct flow got = {.fd = idle[i].upstream, .bytes = sizeof bytes};
        struct flow back = {.fd = idle[i].client, .bytes = sizeof bytes};
        flow_fill(&got, bytes);
        send_bytes(idle[i].client, bytes, sizeof bytes);
        flow_run_receive(&got);
        send_bytes(idle[i].upstream, bytes, sizeof bytes);
        flow_run_receive(&back);
        assert_true(!got.ill && !back.ill);
    }
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t after = settled(&scene);
    print_message("%lu KiB before, %lu after\n", (unsigned long)before / 1024,
                  (unsigned long)after / 1024);
    assert_true(after <= before + before / 10);
    idle_hang_up(&scene);
    scene_close(&scene);
}

static void handshakes_that_fail_leave_nothing_behind(void **state)
{
    enum { FAILING = 2000 };
    struct secure old = {.version = TLS1_1_VERSION};
    struct scene scene;
    (void)state;
    if (test_slow()) {
        skip();
    }
    old.context = secure_context(&old, false);
    secure_scene_open(&scene, "", "");
    uint64_t middle = 0;
    for (unsigned i = 1; i <= FAILING; i++) {
        secure_expect_no_entry(&scene.front, &old, NULL);
        if (i == FAILING / 2) {
            middle = settled(&scene);
        }
    }
    await_cause(scene.proxy, "tls_error", FAILING);
    assert_true(settled(&scene) <= middle + 512 * 1024);
    SSL_CTX_free(old.context);
    scene_close(&scene);
}

static void reloads_leave_nothing_behind(void **state)
{
    enum { RELOADS = 100 };
    struct scene scene;
    (void)state;
    if (test_slow()) {
        skip();
    }
    secure_scene_open(&scene, "", "");
    uint64_t middle = 0;
    for (unsigned i = 1; i <= 2 * RELOADS; i++) {
        scene_reload(&scene, secure_keys(secure_server()));
        expect_shown(&scene, "server");
        if (i == RELOADS) {
            middle = settled(&scene);
        }
    }
    assert_true(settled(&scene) <= middle + 1024 * 1024);
    scene_close(&scene);
}

/* ---- limits, the log, the end ---- */

static void above_a_limit_there_is_no_handshake(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", "max_connections = 1");
    struct pair pair = secure_pair(&scene, &how);
    expect_refused(NULL, &scene.front, NULL);
    await_cause(scene.proxy, "limit_connections", 1);
    pair_ping(&pair);
    pair_hang_up(&pair);
    stat_await(scene.proxy, "web", NULL, "active", 0);
    expect_shown(&scene, "server");
    scene_close(&scene);
}

static void who_is_denied_gets_no_handshake(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "deny = 127.0.0.0/8");
    expect_refused(NULL, &scene.front, NULL);
    await_cause(scene.proxy, "denied", 1);
    scene_close(&scene);
}

static void a_handshake_that_fails_has_its_line_in_the_access_log(void **state)
{
    struct scene scene;
    struct secure old = {.version = TLS1_1_VERSION};
    (void)state;
    secure_scene_open(&scene, "access_log = yes", "");
    secure_expect_no_entry(&scene.front, &old, NULL);
    proxy_line(scene.proxy,
               "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ upstream=- "
               "cause=tls_error bytes_up=0 bytes_down=0 ");
    scene_close(&scene);
}

/* Whether it still takes clients. */
static bool may_dial(const struct place *front)
{
    int fd = dial_try(NULL, front);
    if (fd >= 0) {
        hang_up(fd);
    }
    return fd >= 0;
}

static void connections_with_tls_may_finish_while_it_drains(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "drain_timeout = 20s", "");
    struct pair pair = secure_pair(&scene, &how);
    proxy_mark(scene.proxy);
    proxy_signal(scene.proxy, SIGTERM);
    eventually(!may_dial(&scene.front));
    pair_ping(&pair);
    finish(pair.client);
    expect_eof(pair.upstream);
    send_last(pair.upstream, "last", 4);
    expect_text(pair.client, "last");
    expect_eof(pair.client);
    assert_int_equal(proxy_wait(scene.proxy), 0);
}

/* Without a close_notify, since it may have wanted to say more. */
static void what_is_left_after_the_drain_is_reset(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "drain_timeout = 200ms", "");
    struct pair pair = secure_pair(&scene, &how);
    pair_ping(&pair);
    proxy_signal(scene.proxy, SIGTERM);
    expect_reset(pair.client);
    expect_reset(pair.upstream);
    assert_int_equal(proxy_wait(scene.proxy), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_file_that_changed_is_read_by_a_reload),
        E2E(tls_may_be_turned_on_and_off),
        E2E(tls_to_upstreams_may_be_turned_on_and_off),
        E2E(one_that_has_not_spoken_yet_outlasts_a_reload),
        E2E(connections_with_tls_outlast_their_service),
        E2E(a_wrong_file_refuses_start_and_reload_by_its_line),
        E2E(a_key_with_a_password_is_refused),
        E2E(every_wrong_file_is_told),
        E2E(good_files_are_ok),
        E2E(an_idle_connection_costs_what_openssl_keeps_of_it),
        E2E(the_memory_of_a_burst_goes_back),
        E2E(handshakes_that_fail_leave_nothing_behind),
        E2E(reloads_leave_nothing_behind),
        E2E(above_a_limit_there_is_no_handshake),
        E2E(who_is_denied_gets_no_handshake),
        E2E(a_handshake_that_fails_has_its_line_in_the_access_log),
        E2E(connections_with_tls_may_finish_while_it_drains),
        E2E(what_is_left_after_the_drain_is_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
