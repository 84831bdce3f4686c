#include "control/metrics.h"

#include "sampling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char two[] = "[service web]\nlisten = 127.0.0.1:80\n"
                          "upstream = 10.0.0.1:80\n"
                          "upstream = unix:/run/a\"b\\c\n"
                          "max_connections = 77\n"
                          "[service dns]\nmode = udp\nlisten = 127.0.0.1:53\n"
                          "upstream = 10.0.0.3:53\n";

/* The whole text with a final zero, to be freed. */
static char *write_all(const struct sample *sample)
{
    struct metrics_place place = {.family = 0};
    struct text text = {.count = 0};

    while (metrics_write(sample, &place, &text)) {
    }
    text_add_bytes(&text, "", 1);
    assert_false(text.failed);
    return text.bytes;
}

static char *write_two_with(const struct machine_tcp *tcp)
{
    struct sampling sampling;
    struct sample sample;
    struct generation *generation;
    struct service *web;
    char *text;

    sampling_open(&sampling);
    generation = sampling_apply(&sampling, two);
    web = &generation->services[0];
    counter_add(&web->state->counters[0].accepted, 3);
    counter_add(&web->state->counters[0].bytes[DOWN], 99);
    service_counters_end(&web->state->counters[0], CAUSE_LOOP, 2 * NS_PER_MS);
    counter_add(&web->upstreams[1]->counters[1].failed[FAILURE_TLS], 6);
    counter_add(&generation->services[1].state->counters[0].dropped[DROP_SEND],
                2);
    atomic_store(&web->upstreams[0]->check_ns, 1500000);
    (void)upstream_set_down(web->upstreams[0], UPSTREAM_FAILED, 1);
    sampling.facts.reloads[RELOADED_REFUSED] = 4;
    capacity_clear(&sampling.facts.capacity);
    sampling.facts.capacity.held[CAPACITY_DESCRIPTORS] = 499;
    sampling.facts.capacity.held[CAPACITY_LOCAL_PORTS] = 28232;
    sampling.facts.capacity.in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY] = 64;
    sampling_take(&sampling, &sample);
    sample.process.tcp = *tcp;
    text = write_all(&sample);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
    return text;
}

static char *write_two(void)
{
    return write_two_with(
        &(struct machine_tcp){.used_bytes = 0, .pressure_bytes = 8192});
}

static void assert_line(const char *text, const char *line)
{
    char whole[256];

    snprintf(whole, sizeof(whole), "\n%s\n", line);
    if (strstr(text, whole) == NULL) {
        fail_msg("no line '%s' in:\n%s", line, text);
    }
}

static void the_values_are_those_of_the_sample(void **state)
{
    char *text = write_two();

    (void)state;
    assert_line(text, "evproxy_connection_limit 500");
    assert_line(text, "evproxy_reloads_total{result=\"refused\"} 4");
    assert_line(text, "evproxy_accepted_total{service=\"web\"} 3");
    assert_line(text, "evproxy_accepted_total{service=\"dns\"} 0");
    assert_line(text, "evproxy_active{service=\"web\"} 2");
    assert_line(text, "evproxy_service_connection_limit{service=\"web\"} 77");
    assert_line(text, "evproxy_bytes_total{service=\"web\",direction=\"down\"}"
                      " 99");
    assert_line(text, "evproxy_ended_total{service=\"web\",cause=\"loop\"} 1");
    assert_line(text, "evproxy_ended_total{service=\"web\",cause=\"drain\"} 0");
    assert_line(text, "evproxy_datagrams_dropped_total{service=\"dns\","
                      "reason=\"send\"} 2");
    assert_line(text, "evproxy_upstream_up{service=\"web\","
                      "upstream=\"10.0.0.1:80\"} 0");
    assert_line(text, "evproxy_upstream_up{service=\"dns\","
                      "upstream=\"10.0.0.3:53\"} 1");
    assert_line(text, "evproxy_upstream_check_seconds{service=\"web\","
                      "upstream=\"10.0.0.1:80\"} 0.0015");
    free(text);
}

static void limits_that_are_none_have_no_line(void **state)
{
    char *text = write_two();

    (void)state;
    assert_line(text, "evproxy_capacity_connections{limit=\"descriptors\"} "
                      "499");
    assert_line(text, "evproxy_capacity_connections{limit=\"local_ports\"} "
                      "28232");
    assert_line(text, "evproxy_capacity_in_flight{limit=\"buffer_memory\"} "
                      "64");
    assert_null(strstr(text, "limit=\"tcp_memory\""));
    free(text);
}

static void memory_of_the_kernel_that_is_not_known_has_no_line(void **state)
{
    static const struct machine_tcp unknown = {.used_bytes = MACHINE_UNKNOWN};
    char *text = write_two();

    (void)state;
    assert_line(text, "evproxy_kernel_tcp_bytes 0");
    assert_line(text, "evproxy_kernel_tcp_pressure_bytes 8192");
    free(text);
    text = write_two_with(&unknown);
    assert_null(strstr(text, "\nevproxy_kernel_tcp_bytes "));
    assert_null(strstr(text, "\nevproxy_kernel_tcp_pressure_bytes "));
    free(text);
}

static void labels_are_escaped(void **state)
{
    char buffer[8];
    char *text = write_two();

    (void)state;
    assert_line(text, "evproxy_upstream_failures_total{service=\"web\","
                      "upstream=\"unix:/run/a\\\"b\\\\c\","
                      "cause=\"tls_error\"} 6");
    free(text);
    metrics_escape("a\nb", buffer, sizeof(buffer));
    assert_string_equal(buffer, "a\\nb");
    metrics_escape("abcde\"fgh", buffer, sizeof(buffer));
    assert_string_equal(buffer, "abcde\\\"");
    metrics_escape("abcdef\"gh", buffer, sizeof(buffer));
    assert_string_equal(buffer, "abcdef");
}

static void histograms_are_cumulative(void **state)
{
    static const char name[] = "evproxy_connection_duration_seconds";
    char line[128];
    char *text = write_two();

    (void)state;
    snprintf(line, sizeof(line), "%s_bucket{service=\"web\",le=\"0.001\"} 0",
             name);
    assert_line(text, line);
    snprintf(line, sizeof(line), "%s_bucket{service=\"web\",le=\"0.003\"} 1",
             name);
    assert_line(text, line);
    snprintf(line, sizeof(line), "%s_bucket{service=\"web\",le=\"+Inf\"} 1",
             name);
    assert_line(text, line);
    snprintf(line, sizeof(line), "%s_sum{service=\"web\"} 0.002", name);
    assert_line(text, line);
    snprintf(line, sizeof(line), "%s_count{service=\"web\"} 1", name);
    assert_line(text, line);
    assert_null(strstr(text, "evproxy_connect_seconds_sum{service=\"dns\"}"));
    free(text);
}

/* Each family comes once, with its help and type, and its lines follow it. */
static void families_are_contiguous(void **state)
{
    char *text = write_two();
    char *rest = text;
    char family[128] = "";
    unsigned families = 0;

    (void)state;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %127s", family), 1);
            families++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_memory_equal(line + 7, family, strlen(family));
        } else {
            assert_memory_equal(line, family, strlen(family));
        }
    }
    assert_in_range(families, 30, 60);
    free(text);
}

static char *make_many(unsigned upstreams)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    fputs("[service web]\nlisten = :80\n", file);
    for (unsigned i = 0; i < upstreams; i++) {
        fprintf(file, "upstream = 10.0.%u.%u:80\n", i / 250, i % 250 + 1);
    }
    fclose(file);
    return text;
}

static void it_comes_in_pieces(void **state)
{
    struct metrics_place place = {.family = 0};
    struct text text = {.count = 0};
    char *config = make_many(1000);
    struct sampling sampling;
    struct sample sample;
    unsigned pieces = 1;
    unsigned lines = 0;

    (void)state;
    sampling_open(&sampling);
    sampling_apply(&sampling, config);
    sampling_take(&sampling, &sample);
    for (size_t before = 0; metrics_write(&sample, &place, &text); pieces++) {
        assert_in_range(text.count - before, 16384, 18000);
        before = text.count;
    }
    assert_in_range(pieces, text.count / 18000, text.count / 16000);
    text_add_bytes(&text, "", 1);
    for (char *at = text.bytes;
         (at = strstr(at, "\nevproxy_upstream_up{")) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, 1000);
    text_fini(&text);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_are_those_of_the_sample),
        cmocka_unit_test(limits_that_are_none_have_no_line),
        cmocka_unit_test(memory_of_the_kernel_that_is_not_known_has_no_line),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(families_are_contiguous),
        cmocka_unit_test(it_comes_in_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
