#include "config/health_value.h"

#include "parsing.h"
#include "sentence.h"

#include <stdlib.h>

static void assert_bytes(const char *text, const void *bytes, size_t count)
{
    struct config_bytes out;

    assert_null(health_value_unescape(text, &out));
    assert_int_equal(out.count, count);
    assert_memory_equal(out.bytes, bytes, count);
    free(out.bytes);
}

static void escapes_stand_for_bytes(void **state)
{
    (void)state;
    assert_bytes("PING\\r\\n", "PING\r\n", 6);
    assert_bytes("\\t\\\\x\\x00\\xfF\\x7e", "\t\\x\0\xff~", 6);
    assert_bytes("a\\x200", "a 0", 3);
    assert_bytes("\xc3\xa4", "\xc3\xa4", 2);
}

static void other_escapes_are_refused(void **state)
{
    static const char *const wrong[] = {"\\",   "a\\",   "\\q", "\\x",
                                        "\\x1", "\\xg0", "\\N", "\\0"};
    struct config_bytes out = {.count = 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        const char *why = health_value_unescape(wrong[i], &out);

        assert_non_null(why);
        check_sentence(why);
        assert_int_equal(out.count, 7);
    }
}

static void a_text_has_bytes_that_an_answer_can_have(void **state)
{
    char *text = calloc(1, HEALTH_TEXT_MAX + 2);
    struct config_bytes out;

    (void)state;
    assert_non_null(health_value_unescape("", &out));
    memset(text, 'a', HEALTH_TEXT_MAX + 1);
    assert_non_null(health_value_unescape(text, &out));
    text[HEALTH_TEXT_MAX] = '\0';
    assert_null(health_value_unescape(text, &out));
    assert_int_equal(out.count, HEALTH_TEXT_MAX);
    free(out.bytes);
    free(text);
}

static void statuses_are_numbers_and_ranges(void **state)
{
    struct config_statuses out;

    (void)state;
    assert_null(health_value_parse_statuses("200-204, 301,404 - 404", &out));
    for (unsigned i = 0; i < CONFIG_STATUS_END; i++) {
        assert_int_equal(health_value_has_status(&out, i),
                         (i >= 200 && i <= 204) || i == 301 || i == 404);
    }
    assert_null(health_value_parse_statuses("100-999", &out));
    assert_true(health_value_has_status(&out, 100));
    assert_true(health_value_has_status(&out, 999));
    assert_false(health_value_has_status(&out, 99));
}

static void other_statuses_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",        "99",       "1000",  "200-",     "-200",
        "300-200", "2xx",      "200,",  ",200",     "200;",
        "200 204", "200--300", "0x100", "200-1000", "200-300-400"};
    struct config_statuses out = {{1}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        const char *why = health_value_parse_statuses(wrong[i], &out);

        assert_non_null(why);
        check_sentence(why);
        assert_int_equal(out.bits[0], 1);
    }
}

/* ---- in a configuration ---- */

static void assert_exchange(const struct config_exchange *exchange,
                            const char *send, const char *expect)
{
    if (send == NULL) {
        assert_null(exchange->send.bytes);
    } else {
        assert_int_equal(exchange->send.count, strlen(send));
        assert_memory_equal(exchange->send.bytes, send, strlen(send));
    }
    assert_int_equal(exchange->expect.count, strlen(expect));
    assert_memory_equal(exchange->expect.bytes, expect, strlen(expect));
}

static void an_answer_belongs_to_the_first_question_without_one(void **state)
{
    struct config *config = parse_good(SERVICE "health_check = expect\n"
                                               "health_expect = 220\n"
                                               "health_send = EHLO x\\r\\n\n"
                                               "health_expect = 250\n"
                                               "health_send = A\n"
                                               "health_send = B\n"
                                               "health_expect = a\n"
                                               "health_expect = b\n");
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_int_equal(service->health_exchange_count, 4);
    assert_exchange(&service->health_exchanges[0], NULL, "220");
    assert_exchange(&service->health_exchanges[1], "EHLO x\r\n", "250");
    assert_exchange(&service->health_exchanges[2], "A", "a");
    assert_exchange(&service->health_exchanges[3], "B", "b");
    config_destroy(config);
}

static void the_keys_of_checks_fit_together(void **state)
{
    (void)state;
    assert_refused(SERVICE "health_check = expect\n", 4,
                   "health_check = expect needs health_expect");
    assert_refused(SERVICE "health_check = expect\nhealth_expect = a\n"
                           "health_send = b\n",
                   6, "health_send has no health_expect");
    assert_refused(SERVICE "health_check = tcp\nhealth_path = /x\n", 5,
                   "health_path needs health_check = http");
    assert_refused(SERVICE "health_check = http\nhealth_expect = x\n", 5,
                   "health_expect needs health_check = expect");
    assert_refused("[service a]\nlisten = :80\nupstream = unix:/run/x\n"
                   "health_check = tcp\nhealth_port = 81\n",
                   3, "unix:/run/x: a unix socket has no health_port");
    assert_refused("[service a]\nmode = udp\nlisten = :53\n"
                   "upstream = 10.0.0.1:53\nhealth_check = expect\n"
                   "health_expect = x\n",
                   6,
                   "health_expect needs a health_send before it with mode = "
                   "udp");
    assert_line_refused("health_path = x",
                        "health_path: 'x' does not begin with '/'");
    assert_line_refused("health_path = /a b",
                        "health_path: '/a b' has a character that must be "
                        "written as %HH");
    assert_line_refused("health_host = a b",
                        "health_host: 'a b' is not a host name");
    config_destroy(parse_good(SERVICE "health_path = /x\nhealth_status = 200\n"
                                      "health_host = x\n"));
    config_destroy(parse_good("[service a]\nmode = udp\nlisten = :53\n"
                              "upstream = 10.0.0.1:53\nhealth_check = expect\n"
                              "health_send = x\nhealth_expect = x\n"));
}

static void checks_speak_tls_where_upstreams_do(void **state)
{
    struct config *config;

    (void)state;
#if EVPROXY_TLS
    config = parse_good(SERVICE "upstream_tls = yes\n");
    assert_true(config->services[0].health_tls);
    config_destroy(config);
    config = parse_good(SERVICE "upstream_tls = yes\nhealth_tls = no\n");
    assert_false(config->services[0].health_tls);
    config_destroy(config);
    config = parse_good(SERVICE "health_tls = yes\nupstream_tls_ca = off\n");
    assert_true(config->services[0].health_tls);
    config_destroy(config);
#endif
    config = parse_good(SERVICE "health_tls = no\n");
    assert_false(config->services[0].health_tls);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_stand_for_bytes),
        cmocka_unit_test(other_escapes_are_refused),
        cmocka_unit_test(a_text_has_bytes_that_an_answer_can_have),
        cmocka_unit_test(statuses_are_numbers_and_ranges),
        cmocka_unit_test(other_statuses_are_refused),
        cmocka_unit_test(an_answer_belongs_to_the_first_question_without_one),
        cmocka_unit_test(the_keys_of_checks_fit_together),
        cmocka_unit_test(checks_speak_tls_where_upstreams_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
