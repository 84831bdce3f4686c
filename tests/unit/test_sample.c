#include "control/sample.h"

#include "sampling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char web[] = "[service web]\nlisten = 127.0.0.1:80\n"
                          "upstream = 10.0.0.1:80\nupstream = 10.0.0.2:80\n";
static const char two[] = "[service web]\nlisten = 127.0.0.1:80\n"
                          "upstream = 10.0.0.2:80\n"
                          "[service dns]\nmode = udp\nlisten = 127.0.0.1:53\n"
                          "upstream = 10.0.0.3:53\n";
static const char dns[] = "[service dns]\nmode = udp\nlisten = 127.0.0.1:53\n"
                          "upstream = 10.0.0.3:53\n";

/* So many connections of the service are accepted by a worker. */
static void accept_some(const struct generation *generation, size_t service,
                        unsigned worker, uint64_t count)
{
    counter_add(&generation->services[service].state->counters[worker].accepted,
                count);
}

static void counters_of_all_workers_are_in_it(void **state)
{
    struct sampling sampling;
    struct generation *generation;
    struct sample sample;
    struct service *service;

    (void)state;
    sampling_open(&sampling);
    generation = sampling_apply(&sampling, two);
    service = &generation->services[0];
    accept_some(generation, 0, 0, 5);
    accept_some(generation, 0, 1, 7);
    accept_some(generation, 1, 1, 1);
    service_counters_end(&service->state->counters[1], CAUSE_DENIED, 0);
    counter_add(&service->upstreams[0]->counters[1].total, 3);
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.service_count, 2);
    assert_int_equal(sample.services[0].sums.accepted, 12);
    assert_int_equal(sample.services[0].sums.active, 11);
    assert_int_equal(sample.services[0].times.durations.count, 1);
    assert_int_equal(sample.process.sums.accepted, 13);
    assert_int_equal(sample.process.sums.active, 12);
    assert_int_equal(sample.process.connection_limit, 500);
    assert_int_equal(sample.process.facts.descriptors_limit, 1024);
    assert_int_equal(sample.upstream_count, 2);
    assert_int_equal(sample.upstreams[0].sums.total, 3);
    assert_true(sample.upstreams[0].up);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

/* Not what the configuration says: a control group may leave less. */
static void the_limit_of_lent_memory_is_that_of_the_workers(void **state)
{
    struct sampling sampling;
    struct sample sample;

    (void)state;
    sampling_open(&sampling);
    sampling.workers.shared.slab[UP].blocks = 5;
    sampling.workers.shared.slab[UP].block_bytes = 4096;
    sampling.workers.shared.slab[DOWN].blocks = 6;
    sampling.workers.shared.slab[DOWN].block_bytes = 4096;
    (void)sampling_apply(&sampling, web);
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.process.buffer_limit_bytes, 11 * 4096);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

/* The upstreams of a service, "10.0.0.1:80 10.0.0.2:80 ". */
static const char *upstreams_of(const struct sample *sample, uint32_t service)
{
    static char text[256];
    uint32_t i = sample->services[service].first;

    text[0] = '\0';
    for (; i != 0; i = sample->upstreams[i - 1].next) {
        assert_int_equal(sample->upstreams[i - 1].service, service);
        strcat(text, sample->upstreams[i - 1].upstream->text);
        strcat(text, " ");
    }
    return text;
}

static void what_is_gone_is_listed_while_it_has_connections(void **state)
{
    struct sampling sampling;
    struct generation *first, *second;
    struct sample sample;

    (void)state;
    sampling_open(&sampling);
    first = sampling_apply(&sampling, web);
    accept_some(first, 0, 0, 4);
    assert_true(upstream_enter(first->services[0].upstreams[0], 0));
    second = sampling_apply(&sampling, two);
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.service_count, 2);
    assert_string_equal(upstreams_of(&sample, 0), "10.0.0.2:80 10.0.0.1:80 ");
    assert_string_equal(upstreams_of(&sample, 1), "10.0.0.3:53 ");
    assert_ptr_equal(sample.services[0].service, &second->services[0]);
    sample_fini(&sample, &sampling.source);

    upstream_leave(first->services[0].upstreams[0]);
    sampling_take(&sampling, &sample);
    assert_string_equal(upstreams_of(&sample, 0), "10.0.0.2:80 ");
    sample_fini(&sample, &sampling.source);

    sampling_apply(&sampling, dns);
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.service_count, 2);
    assert_string_equal(sample.services[1].service->config->name, "web");
    sample_fini(&sample, &sampling.source);

    for (unsigned i = 0; i < 4; i++) {
        service_counters_end(&first->services[0].state->counters[0],
                             CAUSE_CLIENT_FIN, 0);
    }
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.service_count, 1);
    assert_int_equal(sample.process.sums.accepted, 4);
    assert_int_equal(sample.process.sums.active, 0);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

/* Between two steps the generation is released by all others. */
static void a_sample_holds_what_it_points_to(void **state)
{
    struct sampling sampling;
    struct generation *first;
    struct sample sample = {.state = SAMPLE_WAITS};

    (void)state;
    sampling_open(&sampling);
    first = sampling_apply(&sampling, web);
    accept_some(first, 0, 0, 4);
    sampling_apply(&sampling, dns);
    sample_begin(&sample, &sampling.source);
    generations_release(&sampling.generations, first);
    assert_int_equal(sampling.generations.count, 2);
    while (!sample_step(&sample, &sampling.source, 0)) {
    }
    assert_int_equal(sample.service_count, 2);
    assert_int_equal(sample.process.sums.accepted, 4);
    sample_fini(&sample, &sampling.source);
    assert_int_equal(sampling.generations.count, 1);
    /* Its counters go on in those of the process. */
    sampling_take(&sampling, &sample);
    assert_int_equal(sample.process.sums.accepted, 4);
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

static void it_is_taken_in_steps(void **state)
{
    enum { UPSTREAMS = 500 };
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);
    struct sampling sampling;
    struct sample sample = {.state = SAMPLE_WAITS};
    unsigned steps = 1;

    (void)state;
    fputs("[service web]\nlisten = :80\n", file);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        fprintf(file, "upstream = 10.0.%u.%u:80\n", i / 250, i % 250 + 1);
    }
    fclose(file);
    sampling_open(&sampling);
    sampling_apply(&sampling, text);
    free(text);
    sample_begin(&sample, &sampling.source);
    while (!sample_step(&sample, &sampling.source, 0)) {
        steps++;
    }
    assert_in_range(steps, UPSTREAMS / 20, UPSTREAMS);
    assert_int_equal(sample.upstream_count, UPSTREAMS);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        assert_int_equal(sample.upstreams[i].next,
                         i + 1 < UPSTREAMS ? i + 2 : 0);
    }
    sample_fini(&sample, &sampling.source);
    sampling_close(&sampling);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_of_all_workers_are_in_it),
        cmocka_unit_test(the_limit_of_lent_memory_is_that_of_the_workers),
        cmocka_unit_test(what_is_gone_is_listed_while_it_has_connections),
        cmocka_unit_test(a_sample_holds_what_it_points_to),
        cmocka_unit_test(it_is_taken_in_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
