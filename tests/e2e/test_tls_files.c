/*
 * The files of TLS at a start and at a reload: none makes the process wait, and
 * the authorities that many services name are read once.
 */
#include "command.h"
#include "file.h"
#include "fixture.h"
#include "identity.h"
#include "proc.h"
#include "proxy.h"
#include "teardown.h"
#include "tls_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files without an end ---- */

enum { KEYS = 4 };

/* The lines of one service, each of which names the file by another key. */
static void lines_naming(const char *file, char lines[KEYS][1024])
{
    const struct identity *good = tls_fixture_identity();

    snprintf(lines[0], 1024, "tls_certificate = %s\ntls_key = %s\n", file,
             good->key);
    snprintf(lines[1], 1024, "tls_key = %s\ntls_certificate = %s\n", file,
             good->certificate);
    snprintf(lines[2], 1024, "tls_client_ca = %s\n%s", file,
             tls_fixture_keys(good));
    snprintf(lines[3], 1024, "upstream_tls_ca = %s\nupstream_tls = yes\n",
             file);
}

static void expect_refused_by_reload(struct fixture *fixture, const char *lines,
                                     const char *reason)
{
    char line[256];

    proxy_configure(fixture->proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s",
                    fixture->front.text, fixture->back.text, lines);
    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGHUP);
    snprintf(line, sizeof(line), "^reload refused: [^ ]*[.]ini:4: .*%s",
             reason);
    proxy_line(fixture->proxy, line);
}

static void a_file_without_an_end_is_refused_at_once(void **state)
{
    static char large[(4 << 20) + 2];
    char fifo[200];
    char big[200];
    char lines[KEYS][1024];
    struct fixture fixture;

    (void)state;
    memset(large, '\n', sizeof(large) - 1);
    snprintf(big, sizeof(big), "%s", file_write("large.pem", large));
    snprintf(fifo, sizeof(fifo), "%s", file_path("fifo.pem"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *path;
        const char *reason;
    } files[] = {{fifo, "not a regular file"},
                 {"/dev/zero", "not a regular file"},
                 {big, "larger than 4 MiB"}};
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
        lines_naming(files[i].path, lines);
        for (unsigned j = 0; j < KEYS; j++) {
            command_expect_error(lines[j], files[i].reason);
            expect_refused_by_reload(&fixture, lines[j], files[i].reason);
        }
    }
    fixture_close(&fixture);
}

/* ---- files that hold something else ---- */

enum form { FORM_DER, FORM_PASS_PHRASE };

/* The key in another form. Valid until the
 * next call. */
static const char *key_as(const struct identity *identity, enum form form)
{
    static char path[200];
    FILE *from = fopen(identity->key, "re");
    EVP_PKEY *key;
    FILE *to;

    assert_non_null(from);
    key = PEM_read_PrivateKey(from, NULL, NULL, NULL);
    fclose(from);
    assert_non_null(key);
    snprintf(path, sizeof(path), "%s", file_write("other.key", ""));
    to = fopen(path, "we");
    assert_non_null(to);
    switch (form) {
    case FORM_DER:
        assert_true(i2d_PrivateKey_fp(to, key) > 0);
        break;
    case FORM_PASS_PHRASE:
        assert_int_equal(PEM_write_PKCS8PrivateKey(to, key, EVP_aes_128_cbc(),
                                                   "word", 4, NULL, NULL),
                         1);
        break;
    }
    fclose(to);
    EVP_PKEY_free(key);
    return path;
}

static void expect_refused(const char *certificate, const char *key,
                           const char *why)
{
    char lines[512];

    snprintf(lines, sizeof(lines), "tls_certificate = %s\n%s%s", certificate,
             key == NULL ? "" : "tls_key = ", key == NULL ? "" : key);
    command_expect_error(lines, why);
}

static void a_file_that_holds_something_else_is_told(void **state)
{
    const struct identity *good = tls_fixture_identity();

    (void)state;
    expect_refused(good->key, good->certificate,
                   "it is a private key and has no certificate");
    expect_refused(good->certificate, good->certificate,
                   "it is a certificate and has no private key");
    expect_refused(good->certificate, NULL,
                   "it is a certificate and has no private key");
    expect_refused(good->certificate, key_as(good, FORM_DER),
                   "it is DER, and PEM is needed");
    expect_refused(key_as(good, FORM_DER), good->key,
                   "it is DER, and PEM is needed");
    expect_refused(good->certificate, key_as(good, FORM_PASS_PHRASE),
                   "the private key has a pass phrase, and must have none");
}

/* ---- authorities ---- */

enum { AUTHORITIES = 150, SERVICES = 200 };

/* As large as the bundle of a distribution. Valid until the test's end. */
static const char *bundle(void)
{
    const struct identity_options authority = {.authority = true};
    struct identity first = identity_new("ca-0", &authority);
    static char path[sizeof(first.certificate)];

    strcpy(path, first.certificate);
    for (unsigned i = 1; i < AUTHORITIES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "ca-%u", i);
        struct identity next = identity_new(name, &authority);
        identity_append_issuer(&first, &next);
    }
    return path;
}

/* Services whose upstreams and clients are verified by the same file. To be
 * freed. */
static char *services_of(const char *ca, unsigned count)
{
    const char *keys = tls_fixture_keys(tls_fixture_identity());
    size_t size = count * 2048;
    char *text = malloc(size);
    size_t used = 0;

    assert_non_null(text);
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(
            text + used, size - used,
            "[service s%u]\nlisten = unix:%s.%u\nupstream = 127.0.0.1:1\n"
            "upstream_tls = yes\nupstream_tls_ca = %s\ntls_client_ca = %s\n%s",
            i, file_path("front"), i, ca, ca, keys);
    }
    return text;
}

static void services_share_the_authorities_of_a_file(void **state)
{
    const char *ca = bundle();
    char *one = services_of(ca, 1);
    char *many = services_of(ca, SERVICES);
    struct proxy *proxy;
    uint64_t before;
    uint64_t each;

    (void)state;
    proxy = proxy_start("%s", one);
    before = proc_resident(proxy);
    proxy_configure(proxy, "%s", many);
    proxy_reload(proxy);
    each = (proc_resident(proxy) - before) / SERVICES;
    print_message("%u KiB a service\n", (unsigned)(each >> 10));
    assert_true(test_slow() || each < 256 << 10);
    proxy_stop(proxy);
    free(one);
    free(many);
}

/* ---- core dumps ---- */

/* Where the dump may be written, and is removed from. */
static void allow_core(void)
{
    struct rlimit limit;
    int result = getrlimit(RLIMIT_CORE, &limit);

    limit.rlim_cur = limit.rlim_max;
    if (result < 0 || setrlimit(RLIMIT_CORE, &limit) < 0 ||
        chdir(file_path("")) < 0) {
        _exit(1);
    }
}

static bool dumps_core(const char *keys, bool reload)
{
    char *binary = realpath(proxy_binary(), NULL);
    const struct proxy_options options = {.prepare = allow_core,
                                          .binary = binary};
    static const char text[] = "[service web]\n"
                               "listen = unix:%s\nupstream = 127.0.0.1:1\n%s";
    char front[200];
    struct proxy *proxy;

    snprintf(front, sizeof(front), "%s", file_path("front"));
    proxy = proxy_launch(&options, text, front, reload ? "" : keys);
    if (reload) {
        proxy_configure(proxy, text, front, keys);
        proxy_reload(proxy);
    }
    proxy_signal(proxy, SIGABRT);
    assert_int_equal(proxy_wait(proxy), -1);
    free(binary);
    return proxy_dumped_core(proxy);
}

static void a_private_key_is_never_in_a_core_dump(void **state)
{
    const char *keys = tls_fixture_keys(tls_fixture_identity());

    (void)state;
    if (!dumps_core("", false)) {
        skip_because("this machine makes no core dumps");
    }
    assert_false(dumps_core(keys, false));
    assert_false(dumps_core(keys, true));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_file_without_an_end_is_refused_at_once),
        E2E(a_file_that_holds_something_else_is_told),
        E2E(services_share_the_authorities_of_a_file),
        E2E(a_private_key_is_never_in_a_core_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
