/*
 * Keys of session tickets from a file: sessions that another process resumes,
 * and keys that are changed.
 */
#include "command.h"
#include "file.h"
#include "fixture.h"
#include "loopback.h"
#include "proxy.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_BYTES = 80, MOST_KEYS = 64 };

/* Writes a key for each letter, which differ as the letters do. */
static void write_keys(const char *letters)
{
    FILE *file = fopen(file_path("tickets.key"), "w");

    assert_non_null(file);
    for (; *letters != '\0'; letters++) {
        for (int i = 0; i < KEY_BYTES; i++) {
            assert_int_not_equal(putc(*letters + i, file), EOF);
        }
    }
    assert_int_equal(fclose(file), 0);
}

/* The line of that file, valid until the next call. */
static const char *keys_line(void)
{
    static char line[256];

    snprintf(line, sizeof(line), "tls_ticket_keys = %s\n",
             file_path("tickets.key"));
    return line;
}

static void write_and_reload(struct fixture *fixture, const char *letters)
{
    write_keys(letters);
    tls_fixture_reload(fixture, keys_line());
}

typedef void (*part_fn)(struct fixture *here, struct fixture *there,
                        const struct tls_options *client);

/* Runs the part in each version, with two proxies that share the file. */
static void each_version(part_fn part)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options client = tls_fixture_client(tls_versions[i]);
        struct fixture here, there;

        write_keys("a");
        tls_fixture_open(&here, "", keys_line());
        tls_fixture_open(&there, "", keys_line());
        part(&here, &there, &client);
        fixture_close(&here);
        fixture_close(&there);
    }
}

/* ---- another process ---- */

static void resume_elsewhere(struct fixture *here, struct fixture *there,
                             const struct tls_options *client)
{
    SSL_SESSION *session = tls_fixture_session(here, client);
    SSL_SESSION *next = tls_fixture_resume(there, client, session, true);

    tls_fixture_expect_resumed(here, client, next, true);
    SSL_SESSION_free(next);
    SSL_SESSION_free(session);
}

static void a_session_is_resumed_by_another_process(void **state)
{
    (void)state;
    each_version(resume_elsewhere);
}

static void resume_without_the_file(struct fixture *here, struct fixture *there,
                                    const struct tls_options *client)
{
    SSL_SESSION *session = tls_fixture_session(here, client);

    tls_fixture_reload(there, "");
    tls_fixture_expect_resumed(there, client, session, false);
    SSL_SESSION_free(session);
}

static void without_the_file_it_makes_a_full_handshake(void **state)
{
    (void)state;
    each_version(resume_without_the_file);
}

static void resume_after_upgrade(struct fixture *here, struct fixture *there,
                                 const struct tls_options *client)
{
    SSL_SESSION *session = tls_fixture_session(here, client);

    (void)there;
    proxy_await_old(proxy_upgrade(here->proxy));
    tls_fixture_expect_resumed(here, client, session, true);
    SSL_SESSION_free(session);
}

static void sessions_outlast_an_upgrade(void **state)
{
    (void)state;
    each_version(resume_after_upgrade);
}

/* ---- rotation ---- */

/* There the new key seals before it is known here. */
static void rotate(struct fixture *here, struct fixture *there,
                   const struct tls_options *client)
{
    SSL_SESSION *old = tls_fixture_session(here, client);

    write_and_reload(there, "ba");
    SSL_SESSION *renewed = tls_fixture_resume(there, client, old, true);
    SSL_SESSION *fresh = tls_fixture_session(there, client);
    tls_fixture_expect_resumed(here, client, fresh, false);
    write_and_reload(here, "ab");
    tls_fixture_expect_resumed(here, client, fresh, true);
    write_and_reload(here, "b");
    tls_fixture_expect_resumed(here, client, old, false);
    tls_fixture_expect_resumed(here, client, renewed, true);
    tls_fixture_expect_resumed(here, client, fresh, true);
    SSL_SESSION_free(fresh);
    SSL_SESSION_free(renewed);
    SSL_SESSION_free(old);
}

static void a_reload_rotates_the_keys(void **state)
{
    (void)state;
    each_version(rotate);
}

static void all_keys_decrypt(struct fixture *here, struct fixture *there,
                             const struct tls_options *client)
{
    char letters[MOST_KEYS + 1] = {0};
    SSL_SESSION *session = tls_fixture_session(there, client);

    for (int i = 0; i < MOST_KEYS; i++) {
        letters[i] = (char)('a' + MOST_KEYS - 1 - i);
    }
    write_and_reload(here, letters);
    tls_fixture_expect_resumed(here, client, session, true);
    SSL_SESSION_free(session);
}

static void the_last_of_many_keys_decrypts(void **state)
{
    (void)state;
    each_version(all_keys_decrypt);
}

/* ---- wrong files ---- */

static void write_bytes(size_t count)
{
    FILE *file = fopen(file_path("tickets.key"), "w");

    assert_non_null(file);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(putc('a' + (int)(i % 101), file), EOF);
    }
    assert_int_equal(fclose(file), 0);
}

/* By -t and by a reload, in the line of the key. */
static void expect_refused(struct fixture *fixture, const char *path,
                           const char *reason)
{
    struct command_result result;
    char config[1024], pattern[256];

    snprintf(config, sizeof(config),
             "[service web]\nlisten = %s\nupstream = %s\n"
             "tls_ticket_keys = %s\n%s",
             fixture->front.text, fixture->back.text, path,
             tls_fixture_keys(tls_fixture_identity()));
    command_check(&result, "wrong.ini", config);
    assert_int_equal(result.status, 1);
    snprintf(pattern, sizeof(pattern), "wrong.ini:4: tls_ticket_keys: %s: %s",
             path, reason);
    if (strstr(result.err, pattern) == NULL) {
        fail_msg("'%s' is not in: %s", pattern, result.err);
    }
    proxy_configure(fixture->proxy, "%s", config);
    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGHUP);
    snprintf(pattern, sizeof(pattern),
             "^reload refused: [^ ]*[.]ini:4: tls_ticket_keys: .*%s", reason);
    proxy_line(fixture->proxy, pattern);
}

static void a_wrong_file_is_refused_by_its_line(void **state)
{
    static const struct {
        size_t bytes;
        const char *reason;
    } wrong[] = {{0, "it has 0 bytes"},
                 {1, "it has 1 bytes"},
                 {KEY_BYTES - 1, "it has 79 bytes"},
                 {2 * KEY_BYTES + 1, "it has 161 bytes"},
                 {(MOST_KEYS + 1) * KEY_BYTES, "it has more than 64 keys"}};
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    char path[200];

    (void)state;
    snprintf(path, sizeof(path), "%s", file_path("tickets.key"));
    write_keys("a");
    tls_fixture_open(&fixture, "", keys_line());
    SSL_SESSION *session = tls_fixture_session(&fixture, &client);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        write_bytes(wrong[i].bytes);
        expect_refused(&fixture, path, wrong[i].reason);
    }
    expect_refused(&fixture, "/nonexistent", "cannot be read: No such file");
    expect_refused(&fixture, "/", "it is not a regular file");
    tls_fixture_expect_resumed(&fixture, &client, session, true);
    SSL_SESSION_free(session);
    fixture_close(&fixture);
}

/* As with private keys, it is for the administrator to say who may read. */
static void permissions_are_as_those_of_private_keys(void **state)
{
    struct fixture fixture;

    (void)state;
    write_keys("a");
    assert_int_equal(chmod(file_path("tickets.key"), 0644), 0);
    tls_fixture_open(&fixture, "", keys_line());
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_session_is_resumed_by_another_process),
        E2E(without_the_file_it_makes_a_full_handshake),
        E2E(sessions_outlast_an_upgrade),
        E2E(a_reload_rotates_the_keys),
        E2E(the_last_of_many_keys_decrypts),
        E2E(a_wrong_file_is_refused_by_its_line),
        E2E(permissions_are_as_those_of_private_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
