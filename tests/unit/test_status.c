#include "control/status.h"

#include "sampling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- a reader that knows whether a text is JSON ---- */

static const char *read_value(const char *at);

static const char *read_string(const char *at)
{
    assert_int_equal(*at++, '"');
    while (*at != '"') {
        assert_true((unsigned char)*at >= ' ');
        at += *at == '\\' ? 2 : 1;
    }
    return at + 1;
}

static const char *read_members(const char *at, char end, bool keys)
{
    if (*++at == end) {
        return at + 1;
    }
    for (;;) {
        if (keys) {
            at = read_string(at);
            assert_int_equal(*at++, ':');
        }
        at = read_value(at);
        if (*at == end) {
            return at + 1;
        }
        assert_int_equal(*at++, ',');
    }
}

static const char *read_word(const char *at)
{
    static const char *const words[] = {"true", "false", "null"};
    char *end;

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strncmp(at, words[i], strlen(words[i])) == 0) {
            return at + strlen(words[i]);
        }
    }
    strtod(at, &end);
    if (end == at) {
        fail_msg("no value: %.40s", at);
    }
    return end;
}

static const char *read_value(const char *at)
{
    switch (*at) {
    case '{':
        return read_members(at, '}', true);
    case '[':
        return read_members(at, ']', false);
    case '"':
        return read_string(at);
    default:
        return read_word(at);
    }
}

/* ---- tests ---- */

static const char two[] = "[service web]\nlisten = 127.0.0.1:80\n"
                          "listen = [::1]:81\n"
                          "upstream = 10.0.0.1:80 weight=3\n"
                          "upstream = unix:/a\"\\b backup max_connections=5\n"
                          "[service dns]\nmode = udp\nlisten = 127.0.0.1:53\n"
                          "max_connections = 9\nupstream = name.example:53\n";

/* The whole text, which is JSON, to be freed. */
static char *write_all(const struct sample *sample,
                       const struct history *history)
{
    struct status_place place = {.begun = false};
    struct text text = {.count = 0};

    while (status_write(sample, history, &place, &text)) {
    }
    text_add_bytes(&text, "", 1);
    assert_false(text.failed);
    assert_string_equal(read_value(text.bytes), "\n");
    return text.bytes;
}

static char *write_two(void)
{
    static struct history history;
    struct sampling sampling;
    struct sample sample;
    struct generation *generation;
    struct upstream *upstream;
    char *text;

    sampling_open(&sampling);
    generation = sampling_apply(&sampling, two);
    upstream = generation->services[0].upstreams[0];
    counter_add(&generation->services[0].state->counters[0].accepted, 8);
    counter_add(&upstream->counters[0].failed[FAILURE_RESET], 2);
    (void)upstream_set_down(upstream, UPSTREAM_FAILED, 1);
    atomic_store(&upstream->cause,
                 check_cause_of_connect(CAUSE_CONNECT_TIMEOUT));
    atomic_store(&upstream->check_ns, 2500000);
    history = (struct history){.last = {.at_ns = NS_PER_S}};
    history_add(&history, &(struct history_point){.at_ns = 6 * NS_PER_S,
                                                  .values = {10, 3}});
    history_add(&history, &(struct history_point){.at_ns = 11 * NS_PER_S,
                                                  .values = {11, 4}});
    sampling_take(&sampling, &sample);
    sample.now_ns = 1 + 10 * NS_PER_S;
    sample.now_unix_ns = 1700000010 * NS_PER_S;
    sample.process.tcp = (struct machine_tcp){.used_bytes = MACHINE_UNKNOWN,
                                              .pressure_bytes = 8192};
    text = write_all(&sample, &history);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("no '%s' in:\n%s", part, text);
    }
}

static void it_has_what_the_page_shows(void **state)
{
    char *text = write_two();

    (void)state;
    assert_has(text, "\"version\":\"" EVPROXY_VERSION "\",\"time\":1700000010,"
                     "\"stopping\":false,\"stats\":{\"uptime_s\":10,");
    assert_has(text, ",\"kernel_tcp_bytes\":0,"
                     "\"kernel_tcp_pressure_bytes\":8192,");
    assert_has(text, "\"connections\":0,\"connection_limit\":500,"
                     "\"descriptors_limit\":1024,\"buffer_limit_bytes\":");
    assert_has(text, ",\"descriptors\":");
    assert_has(text, "\"history\":{\"interval_s\":5,\"accepted\":[2,0.2],"
                     "\"active\":[3,4],\"bytes_up\":[0,0],");
    assert_has(text, "{\"service\":\"web\",\"mode\":\"tcp\",\"listen\":"
                     "[\"127.0.0.1:80\",\"[::1]:81\"],"
                     "\"limits\":{\"max_connections\":0},"
                     "\"stats\":{\"active\":8,\"accepted\":8,");
    assert_has(text, ",\"ended_client_fin\":0,");
    assert_has(text, "\"service\":\"dns\",\"mode\":\"udp\"");
    assert_has(text, "\"limits\":{\"max_connections\":9}");
    free(text);
}

static void upstreams_have_state_and_cause(void **state)
{
    char *text = write_two();

    (void)state;
    assert_has(text, "{\"upstream\":\"10.0.0.1:80\",\"state\":\"down\","
                     "\"cause\":\"timeout\",\"weight\":3,"
                     "\"backup\":false,\"max_connections\":0,\"check_ms\":2.5,"
                     "\"since\":1700000000,\"stats\":{\"active\":0,\"total\":0,"
                     "\"failed\":2,\"bytes_up\":0,\"bytes_down\":0}}");
    assert_has(text, "{\"upstream\":\"unix:/a\\\"\\\\b\",\"state\":\"up\","
                     "\"cause\":null,\"weight\":1,\"backup\":true,"
                     "\"max_connections\":5,\"check_ms\":null,\"since\":null,");
    assert_has(text, "{\"upstream\":\"name.example:53\",\"state\":\"down\","
                     "\"cause\":\"unresolved\"");
    free(text);
}

static void strings_are_escaped(void **state)
{
    struct text text = {.count = 0};

    (void)state;
    status_add_string(&text, "a\"b\\c\n\x1f\xc3\xbc");
    assert_int_equal(text.count, 23);
    assert_memory_equal(text.bytes, "\"a\\\"b\\\\c\\u000a\\u001f\xc3\xbc\"",
                        23);
    text_fini(&text);
}

static void it_comes_in_pieces(void **state)
{
    struct status_place place = {.begun = false};
    struct text text = {.count = 0};
    struct sampling sampling;
    struct sample sample;
    char config[65536];
    size_t used = 0;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        used += (size_t)snprintf(
            config + used, sizeof(config) - used,
            "[service s%u]\nlisten = 127.0.0.1:%u\nupstream = 10.0.0.1:80\n"
            "upstream = 10.0.0.2:80\n",
            i, 1000 + i);
    }
    sampling_open(&sampling);
    sampling_apply(&sampling, config);
    sampling_take(&sampling, &sample);
    for (size_t before = 0; status_write(&sample, NULL, &place, &text);) {
        assert_in_range(text.count - before, 16384, 20000);
        before = text.count;
    }
    text_add_bytes(&text, "", 1);
    assert_string_equal(read_value(text.bytes), "\n");
    assert_has(text.bytes, "\"service\":\"s99\"");
    text_fini(&text);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_what_the_page_shows),
        cmocka_unit_test(upstreams_have_state_and_cause),
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(it_comes_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
