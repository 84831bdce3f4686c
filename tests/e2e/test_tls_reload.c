/*
 * Reload with TLS: files that have changed, TLS that is turned on and off, and
 * files that are wrong.
 */
#include "command.h"
#include "file.h"
#include "fixture.h"
#include "identity.h"
#include "loopback.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- reloads ---- */

static void a_file_that_changed_is_read_by_a_reload(void **state)
{
    struct identity mine = identity_for("before", "DNS:a.example");
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", tls_fixture_keys(&mine));
    struct pair old = tls_pair_connect(&fixture, &client);
    pair_ping(&old);
    struct identity renewed = identity_for("after", "DNS:a.example");
    assert_int_equal(rename(renewed.certificate, mine.certificate), 0);
    assert_int_equal(rename(renewed.key, mine.key), 0);
    tls_fixture_expect_certificate(&fixture, "before");
    fixture_reload(&fixture, tls_fixture_keys(&mine));
    tls_fixture_expect_certificate(&fixture, "after");
    pair_ping(&old);
    assert_string_equal(tls_socket_peer(old.client), "before");
    fixture_close(&fixture);
}

static void ping_all(const struct pair *pairs, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pair_ping(&pairs[i]);
    }
}

static void tls_may_be_turned_on_and_off(void **state)
{
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    struct pair pairs[3];

    (void)state;
    fixture_open(&fixture, "", "");
    pairs[0] = pair_establish(&fixture);
    tls_fixture_reload(&fixture, "");
    pairs[1] = tls_pair_connect(&fixture, &client);
    pair_ping(&pairs[1]);
    fixture_reload(&fixture, "");
    pairs[2] = pair_connect(&fixture);
    ping_all(pairs, 3);
    fixture_close(&fixture);
}

static void tls_to_upstreams_may_be_turned_on_and_off(void **state)
{
    struct tls_options upstream = tls_upstream_options(0);
    struct fixture fixture;
    struct pair pairs[3];

    (void)state;
    fixture_open(&fixture, "", "");
    pairs[0] = pair_establish(&fixture);
    fixture_reload(&fixture, tls_upstream_keys(NULL, ""));
    pairs[1] = tls_upstream_pair(&fixture, &upstream);
    pair_ping(&pairs[1]);
    fixture_reload(&fixture, "");
    pairs[2] = pair_connect(&fixture);
    ping_all(pairs, 3);
    fixture_close(&fixture);
}

/* It is shown the certificate of its time, though that has been replaced. */
static void a_client_that_has_not_spoken_yet_outlasts_a_reload(void **state)
{
    struct fixture fixture;
    struct tls_options client = tls_fixture_client(0);
    struct identity other = identity_for("other", "DNS:a.example");

    (void)state;
    tls_fixture_open(&fixture, "", "");
    struct pair pair = {.client = socket_connect(&fixture.front)};
    stats_await(fixture.proxy, "web", NULL, "active", 1);
    fixture_reload(&fixture, tls_fixture_keys(&other));
    tls_socket_start_client(pair.client, &client);
    assert_string_equal(tls_socket_peer(pair.client), "server");
    pair.upstream = socket_accept(fixture.listener);
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void connections_with_tls_outlast_their_service(void **state)
{
    struct fixture fixture;
    struct loopback other = loopback_new();
    struct tls_options client = tls_fixture_client(0);

    (void)state;
    tls_fixture_open(&fixture, "", "");
    struct pair old = tls_pair_connect(&fixture, &client);
    struct pair young = {.client = socket_connect(&fixture.front)};
    stats_await(fixture.proxy, "web", NULL, "active", 2);
    fixture_reload_other(&fixture, "other", &other);
    tls_socket_start_client(young.client, &client);
    young.upstream = socket_accept(fixture.listener);
    pair_ping(&young);
    pair_ping(&old);
    pair_close(&young);
    pair_close(&old);
    wait_until(!stats_listed(fixture.proxy, "web", NULL));
    fixture_close(&fixture);
}

/* ---- files that are wrong ---- */

/* A key that wants a password. The path is valid until the next call. */
static const char *locked_key(void)
{
    static char path[200];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    FILE *file;
    int done;

    snprintf(path, sizeof(path), "%s", file_path("locked.key"));
    file = fopen(path, "we");
    assert_non_null(file);
    done =
        PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(),
                             (const unsigned char *)"password", 8, NULL, NULL);
    assert_int_equal(done, 1);
    fclose(file);
    EVP_PKEY_free(key);
    return path;
}

/* Lines of a service, of which one is wrong. */
struct fault {
    unsigned line; /* from 1 */
    char text[1024];
};

static struct fault make_fault(unsigned line, const char *certificate,
                               const char *key, const char *more)
{
    struct fault fault = {.line = line};

    snprintf(fault.text, sizeof(fault.text),
             "tls_certificate = %s\ntls_key = %s\n%s\n", certificate, key,
             more);
    return fault;
}

static void expect_error(const char *path, unsigned line)
{
    const char *const check[] = {"evproxy", "-t", "-c", path, NULL};
    const char *const start[] = {"evproxy", "-c", path, NULL};
    struct command_result result;
    char location[256];

    snprintf(location, sizeof(location), "%s:%u: ", path, line);
    for (unsigned i = 0; i < 2; i++) {
        command_run(&result, i == 0 ? check : start);
        assert_int_equal(result.status, 1);
        if (strstr(result.err, location) == NULL) {
            fail_msg("no '%s' in: %s", location, result.err);
        }
    }
}

/* By -t, by a start and by a reload, after which all is as before. */
static void expect_refused(struct fixture *fixture, const struct fault *fault)
{
    unsigned line = 3 + fault->line;
    char config[2048];
    char path[200];
    char pattern[256];

    snprintf(config, sizeof(config),
             "[service web]\nlisten = %s\nupstream = %s\n%s",
             fixture->front.text, fixture->back.text, fault->text);
    snprintf(path, sizeof(path), "%s", file_write("wrong.ini", config));
    expect_error(path, line);
    proxy_configure(fixture->proxy, "%s", config);
    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGHUP);
    snprintf(pattern, sizeof(pattern),
             "^reload refused: [^ ]*[.]ini:%u: ", line);
    proxy_line(fixture->proxy, pattern);
    tls_fixture_expect_certificate(fixture, "server");
}

/* This path in the place of each of the six files. */
static void expect_path_refused(struct fixture *fixture, const char *path)
{
    const struct identity *good = tls_fixture_identity();
    char client_ca[256];
    char upstream_ca[256];
    char upstream_certificate[256];
    char upstream_key[512];

    snprintf(client_ca, sizeof(client_ca), "tls_client_ca = %s", path);
    snprintf(upstream_ca, sizeof(upstream_ca),
             "upstream_tls = yes\nupstream_tls_ca = %s", path);
    snprintf(upstream_certificate, sizeof(upstream_certificate),
             "upstream_tls = yes\nupstream_tls_certificate = %s", path);
    snprintf(upstream_key, sizeof(upstream_key),
             "upstream_tls = yes\nupstream_tls_certificate = %s\n"
             "upstream_tls_key = %s",
             good->certificate, path);
    const struct fault faults[] = {
        make_fault(1, path, good->key, ""),
        make_fault(2, good->certificate, path, ""),
        make_fault(3, good->certificate, good->key, client_ca),
        make_fault(4, good->certificate, good->key, upstream_ca),
        make_fault(4, good->certificate, good->key, upstream_certificate),
        make_fault(5, good->certificate, good->key, upstream_key),
    };
    for (unsigned i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
        expect_refused(fixture, &faults[i]);
    }
}

static void a_wrong_file_refuses_start_and_reload_by_its_line(void **state)
{
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    struct pair old = tls_pair_connect(&fixture, &client);
    file_write("garbage.pem", "-----BEGIN CERTIFICATE-----\n"
                              "bm9uc2Vuc2U=\n"
                              "-----END CERTIFICATE-----\n");
    file_write("empty.pem", "");
    const char *const names[] = {"garbage.pem", "empty.pem"};
    for (unsigned i = 0; i < 2; i++) {
        char path[200];

        snprintf(path, sizeof(path), "%s", file_path(names[i]));
        expect_path_refused(&fixture, path);
    }
    expect_path_refused(&fixture, "/nonexistent");
    expect_path_refused(&fixture, "/");
    const struct identity stranger = identity_for("stranger", NULL);
    const struct fault mismatch =
        make_fault(2, tls_fixture_identity()->certificate, stranger.key, "");
    expect_refused(&fixture, &mismatch);
    pair_ping(&old);
    tls_fixture_reload(&fixture, "");
    tls_fixture_expect_certificate(&fixture, "server");
    fixture_close(&fixture);
}

/* There is nobody to ask for it. */
static void a_key_with_a_password_is_refused(void **state)
{
    const struct identity *good = tls_fixture_identity();
    struct fixture fixture;
    char upstream[512];
    struct fault fault = make_fault(2, good->certificate, locked_key(), "");

    (void)state;
    tls_fixture_open(&fixture, "", "");
    expect_refused(&fixture, &fault);
    snprintf(upstream, sizeof(upstream),
             "upstream_tls = yes\nupstream_tls_certificate = %s\n"
             "upstream_tls_key = %s",
             good->certificate, locked_key());
    fault = make_fault(5, good->certificate, good->key, upstream);
    expect_refused(&fixture, &fault);
    fixture_close(&fixture);
}

static void every_wrong_file_is_reported(void **state)
{
    struct loopback front = loopback_new();
    struct command_result result;
    char config[1024];

    (void)state;
    snprintf(config, sizeof(config),
             "[service a]\nlisten = %s\nupstream = 127.0.0.1:1\n"
             "tls_certificate = /nonexistent/1\ntls_key = /nonexistent/2\n"
             "[service b]\nlisten = %s\nupstream = 127.0.0.1:1\nsni = b\n"
             "upstream_tls = yes\nupstream_tls_ca = /nonexistent/3\n",
             front.text, front.text);
    command_check(&result, "many.ini", config);
    assert_int_equal(result.status, 1);
    assert_non_null(strstr(result.err, "many.ini:4: "));
    assert_non_null(strstr(result.err, "many.ini:11: "));
}

static void good_files_are_ok(void **state)
{
    struct command_result result;
    char config[1024];

    (void)state;
    snprintf(config, sizeof(config),
             "[service a]\nlisten = 127.0.0.1:81\nupstream = 127.0.0.1:1\n"
             "%s%s%s",
             tls_fixture_keys(tls_fixture_identity()),
             tls_fixture_client_ca(identity_authority()),
             tls_upstream_keys(identity_authority(), ""));
    command_check(&result, "good.ini", config);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_file_that_changed_is_read_by_a_reload),
        E2E(tls_may_be_turned_on_and_off),
        E2E(tls_to_upstreams_may_be_turned_on_and_off),
        E2E(a_client_that_has_not_spoken_yet_outlasts_a_reload),
        E2E(connections_with_tls_outlast_their_service),
        E2E(a_wrong_file_refuses_start_and_reload_by_its_line),
        E2E(a_key_with_a_password_is_refused),
        E2E(every_wrong_file_is_reported),
        E2E(good_files_are_ok),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
