#include "config/rules.h"

#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/evproxy-rules-XXXXXX";

static void write_file(const void *bytes, size_t count)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *text)
{
    write_file(text, strlen(text));
}

/* A configuration with one line more, in which %s is the path of the file. */
static const char *with_line(const char *line)
{
    static char text[512];
    int used = snprintf(text, sizeof(text), "%s", SERVICE);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text + used, sizeof(text) - (size_t)used, line, path);
#pragma GCC diagnostic pop
    return text;
}

static bool allows(const struct config *config, const char *text)
{
    struct addr addr = {.family = AF_UNIX};

    if (strcmp(text, "unix") != 0) {
        assert_null(addr_parse_ip(text, &addr));
    }
    return access_allows(&config->services[0].access, &addr);
}

static void words_and_networks_are_rules_in_the_order_of_the_text(void **state)
{
    struct config *config = parse_good(SERVICE "deny = 10.1.0.0/16, ::1\n"
                                               "allow = 10.0.0.0/8,unix\n"
                                               "deny = all\n");

    (void)state;
    assert_false(allows(config, "10.1.0.1"));
    assert_true(allows(config, "10.2.0.1"));
    assert_true(allows(config, "unix"));
    assert_false(allows(config, "::1"));
    assert_false(allows(config, "11.0.0.1"));
    config_destroy(config);
    config = parse_good(SERVICE "allow = all\n");
    assert_true(allows(config, "unix"));
    assert_true(allows(config, "::1"));
    config_destroy(config);
}

static void a_file_has_a_network_a_line(void **state)
{
    struct config *config;

    (void)state;
    write_text("# offices\n10.0.0.0/8\n\n \t192.0.2.1 # a router\r\n"
               "2001:db8::/32#x");
    config = parse_good(with_line("allow = file:%s"));
    assert_true(allows(config, "10.1.2.3"));
    assert_true(allows(config, "192.0.2.1"));
    assert_true(allows(config, "2001:db8::1"));
    assert_false(allows(config, "192.0.2.2"));
    assert_false(allows(config, "unix"));
    config_destroy(config);
}

static void a_file_takes_its_place_among_the_rules(void **state)
{
    struct config *config;

    (void)state;
    write_text("10.0.0.0/8\n");
    config = parse_good(with_line("allow = 10.1.0.0/16\n"
                                  "deny = 10.2.0.0/16, file:%s, 11.0.0.0/8\n"
                                  "allow = 10.3.0.0/16, all"));
    assert_true(allows(config, "10.1.0.1"));
    assert_false(allows(config, "10.2.0.1"));
    assert_false(allows(config, "10.3.0.1"));
    assert_false(allows(config, "11.0.0.1"));
    assert_true(allows(config, "12.0.0.1"));
    config_destroy(config);
}

static void an_empty_file_of_those_allowed_allows_nobody(void **state)
{
    struct config *config;

    (void)state;
    write_text("# nobody yet\n");
    config = parse_good(with_line("allow = file:%s"));
    assert_false(allows(config, "10.1.2.3"));
    assert_false(allows(config, "unix"));
    config_destroy(config);
}

static void every_error_of_a_file_is_told_with_its_line(void **state)
{
    struct config_errors errors;
    char message[160];

    (void)state;
    write_text("10.0.0.0/8\nall\n\n10.0.0.1/8\n");
    errors = parse_bad(with_line("allow = ::1, file:%s"));
    assert_int_equal(errors.count, 2);
    assert_int_equal(errors.list[0].line, 4);
    snprintf(message, sizeof(message), "%s:2: 'all' is not an IP address",
             path);
    assert_string_equal(errors.list[0].message, message);
    snprintf(message, sizeof(message),
             "%s:4: '10.0.0.1/8' has bits set beyond the prefix (the network "
             "is 10.0.0.0/8)",
             path);
    assert_int_equal(errors.list[1].line, 4);
    assert_string_equal(errors.list[1].message, message);
    config_errors_fini(&errors);
    write_file("10.0.0.0/8\0\n1", 13);
    snprintf(message, sizeof(message), "%s: it has a byte of value 0", path);
    assert_refused(with_line("allow = file:%s"), 4, message);
}

static void a_file_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    assert_line_refused("deny = file:/nowhere/list",
                        "/nowhere/list: cannot be read: No such file or "
                        "directory");
    assert_line_refused("deny = file:/tmp", "/tmp: it is not a regular file");
    assert_line_refused("deny = file:",
                        "deny: 'file:' needs a path, as in file:/etc/list");
}

static void the_senders_of_headers_are_ready_too(void **state)
{
    struct config *config =
        parse_good(SERVICE "proxy_protocol = on\n"
                           "proxy_protocol_from = 10.0.0.0/8, ::1\n");
    const struct config_service *service = &config->services[0];
    struct addr addr;

    (void)state;
    assert_null(addr_parse_ip("10.1.2.3", &addr));
    assert_true(network_tree_find(&service->proxy_senders, &addr) >= 0);
    assert_null(addr_parse_ip("11.1.2.3", &addr));
    assert_int_equal(network_tree_find(&service->proxy_senders, &addr), -1);
    config_destroy(config);
}

static int make_file(void **state)
{
    int fd = mkstemp(path);

    (void)state;
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_networks_are_rules_in_the_order_of_the_text),
        cmocka_unit_test(a_file_has_a_network_a_line),
        cmocka_unit_test(a_file_takes_its_place_among_the_rules),
        cmocka_unit_test(an_empty_file_of_those_allowed_allows_nobody),
        cmocka_unit_test(every_error_of_a_file_is_told_with_its_line),
        cmocka_unit_test(a_file_that_cannot_be_read_is_an_error),
        cmocka_unit_test(the_senders_of_headers_are_ready_too),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
