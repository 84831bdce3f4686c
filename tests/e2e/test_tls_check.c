/*
 * What -t finds in the files of TLS: dates, and who may read them.
 */
#include "command.h"
#include "file.h"
#include "identity.h"
#include "loopback.h"
#include "teardown.h"
#include "test.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void check(struct command_result *result, bool as_service,
                  const char *global, const struct identity *identity)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "[global]\n%s\n[service web]\nlisten = %s\n"
             "upstream = 127.0.0.1:1\ntls_certificate = %s\ntls_key = %s\n",
             global, loopback_new().text, identity->certificate, identity->key);
    const char *const arguments[] = {"evproxy",
                                     "-t",
                                     "-c",
                                     file_write("check.ini", text),
                                     as_service ? "--as-service" : NULL,
                                     NULL};
    command_run(result, arguments);
}

static void expect_error(const struct command_result *result, const char *error)
{
    assert_int_equal(result->status, 1);
    if (strstr(result->err, error) == NULL) {
        fail_msg("'%s' expected, got: %s", error, result->err);
    }
}

static void
an_expired_certificate_is_an_error_but_no_reload_is_refused(void **state)
{
    const struct identity_options options = {.expired = true};
    struct identity identity = identity_new("old.example", &options);
    struct command_result result;

    (void)state;
    check(&result, false, "", &identity);
    expect_error(&result, "check.ini:6: tls_certificate: ");
    expect_error(&result, ": a certificate expired on ");
    check(&result, true, "", &identity);
    assert_int_equal(result.status, 0);
}

static void files_are_read_as_the_user_who_will_read_them(void **state)
{
    struct identity identity = identity_for("a.example", "DNS:a.example");
    struct command_result result;
    char folder[160];

    (void)state;
    if (geteuid() != 0 || getpwnam("nobody") == NULL) {
        skip_because("root and a user nobody are needed");
    }
    snprintf(folder, sizeof(folder), "%s", identity.key);
    *strrchr(folder, '/') = '\0';
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(identity.certificate, 0644), 0);
    assert_int_equal(chmod(identity.key, 0600), 0);
    check(&result, false, "", &identity);
    assert_int_equal(result.status, 0);
    for (int as_service = 0; as_service <= 1; as_service++) {
        check(&result, as_service, "user = nobody", &identity);
        expect_error(&result, "check.ini:7: tls_key: ");
        expect_error(&result, "Permission denied");
    }
    assert_int_equal(chmod(identity.key, 0644), 0);
    check(&result, false, "user = nobody", &identity);
    assert_string_equal(result.err, "");
    assert_int_equal(result.status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_expired_certificate_is_an_error_but_no_reload_is_refused),
        E2E(files_are_read_as_the_user_who_will_read_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
