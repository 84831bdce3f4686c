/* Generations that follow one another: what the next one takes over, and when
 * it is freed. */
#include "service/generation.h"

#include "base/hash.h"

#include "generation_text.h"
#include "parsing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void a_reload_keeps_states_and_upstreams(void **state)
{
    struct generation *old = make_generation("[service web]\n"
                                             "listen = 127.0.0.1:80\n"
                                             "upstream = 10.0.0.1:80 weight=2\n"
                                             "upstream = 10.0.0.2:80\n"
                                             "[service gone]\n"
                                             "listen = 127.0.0.1:81\n"
                                             "upstream = 10.0.0.1:80\n",
                                             NULL);
    struct service_state *web = old->services[0].state;
    struct upstream *carried = old->services[0].upstreams[0];
    struct generation *new;

    (void)state;
    upstream_set_down(carried, UPSTREAM_FAILED, 1);
    counter_add(&web->counters[1].accepted, 5);
    new = make_generation("[service new]\n"
                          "listen = 127.0.0.1:82\n"
                          "upstream = 10.0.0.1:80\n"
                          "[service web]\n"
                          "listen = 127.0.0.1:80\n"
                          "upstream = 10.0.0.3:80\n"
                          "upstream = 10.0.0.1:80 weight=9\n",
                          old);
    assert_int_equal(new->number, 2);
    assert_ptr_equal(new->services[1].state, web);
    assert_ptr_equal(new->services[1].upstreams[1], carried);
    assert_ptr_not_equal(new->services[0].upstreams[0], carried);
    assert_int_equal(new->services[1].balance.nodes[1].weight, 9);
    assert_int_equal(old->services[0].balance.nodes[0].weight, 2);
    assert_int_equal(web->holders, 2);
    assert_int_equal(carried->holders, 2);

    generation_destroy(old);
    assert_int_equal(web->holders, 1);
    assert_int_equal(carried->holders, 1);
    assert_false(upstream_up(carried));
    assert_int_equal(counter_read(&web->counters[1].accepted), 5);
    generation_destroy(new);
}

#define PLAIN                                                                  \
    "[service web]\n"                                                          \
    "listen = 127.0.0.1:80\n"                                                  \
    "upstream = 10.0.0.1:80\n"

/* As a connection to it may last. */
static void an_upstream_that_comes_back_is_the_same_while_it_lives(void **state)
{
    struct generation *first =
        make_generation(PLAIN "upstream = 10.0.0.2:80\n", NULL);
    struct generation *second = make_generation(PLAIN, first);
    struct generation *third =
        make_generation(PLAIN "upstream = 10.0.0.2:80\n", second);
    struct upstream *back = third->services[0].upstreams[1];

    (void)state;
    assert_ptr_equal(back, first->services[0].upstreams[1]);
    assert_int_equal(back->holders, 2);
    generation_destroy(first);
    generation_destroy(third);
    third = make_generation(PLAIN "upstream = 10.0.0.2:80\n", second);
    assert_int_equal(third->services[0].upstreams[1]->holders, 1);
    generation_destroy(third);
    generation_destroy(second);
}

static void the_table_of_sources_is_created_when_needed_and_kept(void **state)
{
    struct generation *first = make_generation(PLAIN, NULL);
    struct generation *second;
    struct generation *third;
    struct source_table *table;

    (void)state;
    assert_null(first->services[0].state->sources);
    second = make_generation(PLAIN "accept_rate_per_source = 5\n", first);
    table = second->services[0].state->sources;
    assert_non_null(table);
    third = make_generation(PLAIN, second);
    assert_ptr_equal(third->services[0].state->sources, table);
    generation_destroy(second);
    generation_destroy(first);
    second = make_generation(PLAIN "max_connections_per_source = 5\n", third);
    assert_ptr_equal(second->services[0].state->sources, table);
    generation_destroy(third);
    generation_destroy(second);
}

static void round_robin_goes_on_over_a_reload(void **state)
{
    struct generation *old =
                          make_generation(PLAIN "balance = roundrobin\n", NULL),
                      *new;

    (void)state;
    atomic_store(&old->services[0].balance.classes[0].cursor, 7);
    new = make_generation(
        PLAIN "balance = roundrobin\nupstream = 10.0.0.2:80\n", old);
    assert_int_equal(new->services[0].balance.classes[0].cursor, 7);
    generation_destroy(old);
    generation_destroy(new);
}

static void a_failure_leaves_all_as_it_was(void **state)
{
    struct generation *old = make_generation(PLAIN, NULL);
    struct service_state *web = old->services[0].state;
    struct upstream *carried = old->services[0].upstreams[0];
    struct config *config = parse_good(PLAIN "upstream = 10.0.0.2:80\n"
                                             "max_connections_per_source = 1\n"
                                             "[service many]\n"
                                             "listen = 127.0.0.1:81\n"
                                             "upstream = many.example:80\n");

    (void)state;
    errno = 0;
    assert_null(generation_create(config, old, GENERATION_WORKERS, 1000,
                                  &generation_names));
    assert_int_equal(errno, E2BIG);
    assert_int_equal(web->holders, 1);
    assert_int_equal(carried->holders, 1);
    assert_null(web->sources);
    assert_int_equal(config->service_count, 2); /* still the caller's */
    config_destroy(config);
    generation_destroy(old);
}

static void to_destroy_nothing_is_harmless(void **state)
{
    (void)state;
    generation_destroy(NULL);
}

/* Some of five services, each with some of six upstreams and a name. */
static struct generation *make_any(uint64_t *seed, struct generation *previous)
{
    char text[4096];
    size_t length = 0;

    for (unsigned s = 0; s < 5; s++) {
        uint64_t draw = hash_random(seed);

        if (s > 0 && draw % 3 == 0) {
            continue;
        }
        length +=
            (size_t)snprintf(text + length, sizeof(text) - length,
                             "[service s%u]\nlisten = 127.0.0.1:%u\n"
                             "balance = %s\n"
                             "max_connections_per_source = %u\n"
                             "upstream = %s.example:80\n",
                             s, 8000 + s, draw & 16 ? "roundrobin" : "random",
                             draw & 32 ? 1 : 0, draw & 64 ? "two" : "no");
        for (unsigned u = 0; u < 6; u++) {
            if (draw >> (8 + u) & 1) {
                length += (size_t)snprintf(text + length, sizeof(text) - length,
                                           "upstream = 10.9.0.%u:80\n", u);
            }
        }
    }
    return make_generation(text, previous);
}

#define ALIVE 6

/* How many services of living generations have the state, or the upstream. */
static uint32_t count_holders(struct generation *const alive[ALIVE],
                              const struct service_state *state,
                              const struct upstream *upstream)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < ALIVE; i++) {
        for (size_t j = 0; alive[i] != NULL && j < alive[i]->service_count;
             j++) {
            const struct service *service = &alive[i]->services[j];

            count += service->state == state;
            for (uint32_t k = 0; k < service->upstream_count; k++) {
                count += service->upstreams[k] == upstream;
            }
        }
    }
    return count;
}

static void check_holders(struct generation *const alive[ALIVE])
{
    for (unsigned i = 0; i < ALIVE; i++) {
        for (size_t j = 0; alive[i] != NULL && j < alive[i]->service_count;
             j++) {
            const struct service *service = &alive[i]->services[j];

            assert_int_equal(service->state->holders,
                             count_holders(alive, service->state, NULL));
            for (uint32_t k = 0; k < service->upstream_count; k++) {
                const struct upstream *upstream = service->upstreams[k];

                assert_int_equal(upstream->holders,
                                 count_holders(alive, NULL, upstream));
            }
        }
    }
}

/* Old generations end in any order while new ones are created. The current one,
 * the newest, stays. */
static void generations_end_in_any_order(void **state)
{
    uint64_t seed = 0x67656e;
    struct generation *alive[ALIVE] = {NULL};
    unsigned current = 0;

    (void)state;
    alive[current] = make_any(&seed, NULL);
    for (unsigned step = 0; step < 300; step++) {
        unsigned i = (unsigned)(hash_random(&seed) % ALIVE);

        if (i == current) {
            continue;
        }
        if (alive[i] != NULL) {
            generation_destroy(alive[i]);
            alive[i] = NULL;
        } else {
            alive[i] = make_any(&seed, alive[current]);
            current = i;
        }
        check_holders(alive);
    }
    for (unsigned i = 0; i < ALIVE; i++) {
        generation_destroy(alive[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reload_keeps_states_and_upstreams),
        cmocka_unit_test(
            an_upstream_that_comes_back_is_the_same_while_it_lives),
        cmocka_unit_test(the_table_of_sources_is_created_when_needed_and_kept),
        cmocka_unit_test(round_robin_goes_on_over_a_reload),
        cmocka_unit_test(a_failure_leaves_all_as_it_was),
        cmocka_unit_test(to_destroy_nothing_is_harmless),
        cmocka_unit_test(generations_end_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
