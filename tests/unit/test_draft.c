#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void sections_are_checked(void **state)
{
    (void)state;
    assert_refused("", 0, "there is no [service NAME]");
    assert_refused("[global]\nworkers = 1\n", 0, "there is no [service NAME]");
    assert_refused("workers = 1\n" SERVICE, 1,
                   "key 'workers' is before any section");
    assert_refused(SERVICE "[servise b]\nanything = 1\n", 4,
                   "unknown section 'servise' (sections: [global], "
                   "[service NAME])");
    assert_refused("[service web\nlisten = :80\n", 1,
                   "']' is missing at the end of the section's line");
    assert_refused("[global x]\nworkers = 1\n" SERVICE, 1,
                   "[global] takes no name, but has 'x'");
    assert_refused("[global]\n" SERVICE "[global]\nworkers = 1\n", 5,
                   "[global] is already in line 1");
}

static void assert_name_length(size_t length, bool good)
{
    struct config_errors errors = {0};
    struct config *config;
    char name[160] = "";
    char text[512];

    memset(name, 'n', length);
    snprintf(text, sizeof(text),
             "[service %s]\nlisten = :80\nupstream = 10.0.0.1:80\n", name);
    config = load_text(text, strlen(text), &errors);
    assert_int_equal(config != NULL, good);
    if (!good) {
        assert_int_equal(errors.list[0].line, 1);
        assert_non_null(
            strstr(errors.list[0].message, "is longer than 128 bytes"));
    }
    config_destroy(config);
    config_errors_fini(&errors);
}

static void service_names_are_checked(void **state)
{
    (void)state;
    assert_refused("[service]\nlisten = :80\nupstream = 10.0.0.1:80\n", 1,
                   "[service] needs a name: [service NAME]");
    assert_refused("[service a\tb]\nlisten = :80\nupstream = 10.0.0.1:80\n", 1,
                   "service name 'a?b' has a control character");
    assert_refused("[service a\xc2\x85]\nlisten = :80\n"
                   "upstream = 10.0.0.1:80\n",
                   1, "service name 'a?\?' has a control character");
    assert_refused("[service a \"b]\nlisten = :80\n", 1,
                   "[service a \"b] has no upstream");
    assert_refused(SERVICE "[service web]\n"
                           "listen = :81\n"
                           "upstream = 10.0.0.1:80\n",
                   4, "service name web is already used in line 1");
    assert_refused(SERVICE "[service a \"b]\n"
                           "listen = :81\n"
                           "upstream = 10.0.0.1:80\n"
                           "[service  a \"b ]\n"
                           "listen = :82\n"
                           "upstream = 10.0.0.1:80\n",
                   7, "service name \"a \\\"b\" is already used in line 4");
    assert_name_length(128, true);
    assert_name_length(129, false);
}

static void service_names_are_any_text(void **state)
{
    static const char *const names[] = {
        "a b",   "a\"b\\c", "\xc3\xbc=1 x", "<b>", "=",    "a\\nb", "[a",
        "#1 ;2", "a ; b",   "a # b",        "%s",  "a  b", "-",     "a/b?c",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[256];
        struct config *config;

        snprintf(text, sizeof(text),
                 " [ service \t %s  ] # is one\nlisten = :80\n"
                 "upstream = 10.0.0.1:80\n",
                 names[i]);
        config = parse_good(text);
        assert_string_equal(config->services[0].name, names[i]);
        config_destroy(config);
    }
}

static void unknown_keys_are_named_with_the_nearest_known(void **state)
{
    (void)state;
    assert_line_refused("lissten = :81", "unknown key 'lissten' in [service "
                                         "web]; did you mean 'listen'?");
    assert_line_refused("conect_timeot = 1s",
                        "unknown key 'conect_timeot' in [service web]; did you "
                        "mean 'connect_timeout'?");
    assert_line_refused("color = red", "unknown key 'color' in [service web]");
    assert_line_refused("x = 1", "unknown key 'x' in [service web]");
    assert_line_refused("workers = 1", "key 'workers' belongs in [global], not "
                                       "in [service web]");
    assert_refused("[global]\nlisten = :81\n" SERVICE, 2,
                   "key 'listen' belongs in [service], not in [global]");
    assert_refused("[global]\nworker = 1\n" SERVICE, 2,
                   "unknown key 'worker' in [global]; did you mean 'workers'?");
}

static void a_key_is_set_once_unless_it_may_be_repeated(void **state)
{
    (void)state;
    assert_refused(SERVICE "backlog = 1\n\nbacklog = 2\n", 6,
                   "backlog = 2: backlog is already set in line 4");
    assert_refused("[global]\nuser = a\nuser = b\n" SERVICE, 3,
                   "user = b: user is already set in line 2");
}

static void empty_values_are_refused(void **state)
{
    (void)state;
    assert_line_refused("backlog =", "backlog has no value");
    assert_line_refused("allow = # all", "allow has no value");
    assert_refused("[global]\nuser =\n" SERVICE, 2, "user has no value");
}

static void keys_that_this_build_lacks_are_refused(void **state)
{
    struct config_key_info info;
    char line[128];
    char message[128];

    (void)state;
    for (size_t i = 0; config_key(i, &info); i++) {
        if (info.available || strcmp(info.section, "service") != 0) {
            continue;
        }
        snprintf(line, sizeof(line), "%s = on", info.name);
        snprintf(message, sizeof(message),
                 info.optional
                     ? "%s: this build has no TLS (make TLS=1 builds it in)"
                     : "%s is not available in this build",
                 info.name);
        assert_line_refused(line, message);
    }
}

#if !EVPROXY_TLS
static void without_tls_its_keys_take_their_defaults_only(void **state)
{
    (void)state;
    assert_refused(SERVICE "upstream_tls_name = a\n"
                           "upstream_tls = no\n"
                           "tls_min_version = 1.2\n",
                   4,
                   "upstream_tls_name: this build has no TLS (make TLS=1 "
                   "builds it in)");
    assert_line_refused("upstream_tls = yes", "upstream_tls: this build has no "
                                              "TLS (make TLS=1 builds it in)");
    config_destroy(
        parse_good(SERVICE "upstream_tls = no\ntls_min_version = 1.2\n"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_checked),
        cmocka_unit_test(service_names_are_checked),
        cmocka_unit_test(service_names_are_any_text),
        cmocka_unit_test(unknown_keys_are_named_with_the_nearest_known),
        cmocka_unit_test(a_key_is_set_once_unless_it_may_be_repeated),
        cmocka_unit_test(empty_values_are_refused),
        cmocka_unit_test(keys_that_this_build_lacks_are_refused),
#if !EVPROXY_TLS
        cmocka_unit_test(without_tls_its_keys_take_their_defaults_only),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
