#include "service/generation.h"

#include "base/hash.h"
#include "config/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORKERS 3

static struct config *parse(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = load_text(text, strlen(text), &errors);

    if (config == NULL) {
        fail_msg("line %u: %s", errors.list[0].line, errors.list[0].message);
    }
    return config;
}

/*
 * "two.example" has 10.9.0.1 and 10.9.0.2, "many.example" has more addresses
 * than a service may have, and all other names have none.
 */
static size_t find(const struct resolution_names *names, const char *host,
                   const struct endpoint **found)
{
    static struct endpoint list[CONFIG_UPSTREAMS_MAX + 1];

    (void)names;
    for (uint32_t i = 0; i < CONFIG_UPSTREAMS_MAX + 1; i++) {
        struct addr addr = {.family = AF_INET};
        uint32_t ip = htonl(UINT32_C(0x0a090001) + i);

        memcpy(addr.ip, &ip, sizeof(ip));
        endpoint_from_addr(&list[i], &addr);
    }
    *found = list;
    if (strcmp(host, "two.example") == 0) {
        return 2;
    }
    return strcmp(host, "many.example") == 0 ? CONFIG_UPSTREAMS_MAX + 1 : 0;
}

/* The records of every SRV name: "PRIORITY WEIGHT TARGET:PORT" each. */
static const char *records = "";

static size_t find_records(const struct resolution_names *known,
                           const char *host, const struct srv_record **found)
{
    static struct srv_record list[16];
    const char *at = records;
    size_t count = 0;
    int length;

    (void)known;
    (void)host;
    while (sscanf(at, " %hu %hu %253[^:]:%hu%n", &list[count].priority,
                  &list[count].weight, list[count].target, &list[count].port,
                  &length) == 4) {
        at += length;
        count++;
    }
    *found = list;
    return count;
}

static const struct resolution_names names = {.find = find,
                                              .find_records = find_records};

static struct generation *make(const char *text, struct generation *previous)
{
    struct generation *generation =
        generation_create(parse(text), previous, WORKERS, 1000, &names);

    assert_non_null(generation);
    return generation;
}

static void a_service_is_laid_out_as_configured(void **state)
{
    struct generation *generation =
        make("[service web]\n"
             "listen = 127.0.0.1:80\n"
             "listen = [::1]:81\n"
             "upstream = 10.0.0.1:80 weight=3 max_connections=7\n"
             "upstream = 10.0.0.2:80 backup\n"
             "[service dns]\n"
             "listen = 127.0.0.1:53\n"
             "upstream = unix:/run/dns\n",
             NULL);
    struct service *web = &generation->services[0];

    (void)state;
    assert_int_equal(generation->number, 1);
    assert_int_equal(generation->workers, WORKERS);
    assert_int_equal(generation->service_count, 2);
    assert_string_equal(web->state->name, "web");
    assert_ptr_equal(web->generation, generation);
    assert_ptr_equal(web->config, &generation->config->services[0]);
    assert_int_equal(web->upstream_count, 2);
    assert_string_equal(web->upstreams[0]->text, "10.0.0.1:80");
    assert_int_equal(web->lines[0]->max_connections, 7);
    assert_int_equal(web->lines[1]->max_connections, 0);
    assert_int_equal(web->balance.nodes[0].weight, 3);
    assert_int_equal(web->balance.nodes[0].id, web->upstreams[0]->id);
    assert_false(web->balance.nodes[0].backup);
    assert_true(web->balance.nodes[1].backup);
    assert_string_equal(generation->services[1].upstreams[0]->text,
                        "unix:/run/dns");
    generation_destroy(generation);
}

static void listens_have_the_order_of_the_config(void **state)
{
    static const char *const expected[] = {"127.0.0.1:80", "[::1]:81", ":82"};
    struct generation *generation = make("[service web]\n"
                                         "listen = 127.0.0.1:80\n"
                                         "listen = [::1]:81\n"
                                         "upstream = 10.0.0.1:80\n"
                                         "[service two]\n"
                                         "listen = :82\n"
                                         "upstream = 10.0.0.1:80\n",
                                         NULL);

    (void)state;
    assert_int_equal(generation->listen_count, 3);
    for (size_t i = 0; i < 3; i++) {
        struct listen_socket *listen = &generation->listens[i];
        char text[ADDR_TEXT_MAX];

        assert_string_equal(endpoint_format(&listen->endpoint, text),
                            expected[i]);
        assert_ptr_equal(listen->service, &generation->services[i / 2]);
        assert_null(listen->fds);
    }
    generation_destroy(generation);
}

static void rates_have_the_depth_that_the_contract_names(void **state)
{
    struct generation *generation = make("[service fast]\n"
                                         "listen = 127.0.0.1:80\n"
                                         "upstream = 10.0.0.1:80\n"
                                         "[service slow]\n"
                                         "listen = 127.0.0.1:81\n"
                                         "upstream = 10.0.0.1:80\n"
                                         "rate_up = 1K\n"
                                         "service_rate_down = 1M\n"
                                         "rate_burst = 8K\n"
                                         "rate_burst_down = 9K\n"
                                         "accept_rate = 50\n",
                                         NULL);
    const struct service *fast = &generation->services[0];
    const struct service *slow = &generation->services[1];

    (void)state;
    assert_false(fast->throttled);
    assert_int_equal(fast->accept_rate.per_s, 0);
    assert_true(slow->throttled);
    assert_int_equal(slow->rate[UP].per_s, 1024);
    assert_int_equal(slow->rate[UP].burst, 8192);
    assert_int_equal(slow->rate[DOWN].per_s, 0);
    assert_int_equal(slow->rate[DOWN].burst, 9 << 10);
    assert_int_equal(slow->service_rate[UP].per_s, 0);
    assert_int_equal(slow->service_rate[DOWN].per_s, 1 << 20);
    assert_int_equal(slow->service_rate[DOWN].burst, 9 << 10);
    assert_int_equal(slow->accept_rate.per_s, 50);
    assert_int_equal(slow->accept_rate.burst, 50);
    generation_destroy(generation);
}

/* What the connections of one worker have counts against those of another. */
static void a_service_has_one_share_of_blocks_over_all_workers(void **state)
{
    struct generation *generation = make("[service web]\n"
                                         "listen = :80\n"
                                         "upstream = 10.0.0.1:80\n",
                                         NULL);
    struct service_memory *memory = generation->services[0].state->memory;
    struct wait_queue queue = {0};

    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        struct waiter *rich = &memory[i].blocks[UP].account.waiter;

        waiter_count(rich, 25);
        for (unsigned j = 0; j < WORKERS; j++) {
            assert_false(wait_queue_admits(
                &queue, &memory[j].blocks[UP].account.waiter, 3, 32));
            assert_true(wait_queue_admits(
                &queue, &memory[j].blocks[DOWN].account.waiter, 3, 32));
        }
        waiter_count(rich, (uint32_t)-25);
    }
    generation_destroy(generation);
}

static void a_name_stands_for_all_its_addresses(void **state)
{
    struct generation *generation =
        make("[service web]\n"
             "listen = 127.0.0.1:80\n"
             "upstream = two.example:80 weight=5 max_connections=9 backup\n"
             "upstream = 10.0.0.1:80\n",
             NULL);
    const struct service *web = &generation->services[0];

    (void)state;
    assert_int_equal(web->upstream_count, 3);
    assert_string_equal(web->upstreams[0]->text, "10.9.0.1:80");
    assert_string_equal(web->upstreams[1]->text, "10.9.0.2:80");
    for (unsigned i = 0; i < 2; i++) {
        assert_true(upstream_up(web->upstreams[i]));
        assert_int_equal(web->balance.nodes[i].weight, 5);
        assert_true(web->balance.nodes[i].backup);
        assert_int_equal(web->lines[i]->max_connections, 9);
    }
    generation_destroy(generation);
}

static void a_name_without_addresses_is_an_upstream_that_is_down(void **state)
{
    struct generation *generation = make("[service web]\n"
                                         "listen = 127.0.0.1:80\n"
                                         "upstream = none.example:80\n",
                                         NULL);
    const struct service *web = &generation->services[0];

    (void)state;
    assert_int_equal(web->upstream_count, 1);
    assert_string_equal(web->upstreams[0]->text, "none.example:80");
    assert_int_equal(atomic_load(&web->upstreams[0]->down),
                     UPSTREAM_UNRESOLVED);
    generation_destroy(generation);
}

/* ---- SRV names ---- */

#define SRV                                                                    \
    "[service web]\n"                                                          \
    "listen = 127.0.0.1:80\n"                                                  \
    "upstream = srv:_web._tcp.example"

/* The upstreams of the service as "ADDRESS WEIGHT [backup], ". */
static void expect_upstreams(const char *config, const char *expected)
{
    struct generation *generation = make(config, NULL);
    const struct service *web = &generation->services[0];
    char text[1024] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < web->upstream_count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s %u%s, ",
                                 web->upstreams[i]->text,
                                 web->balance.nodes[i].weight,
                                 web->balance.nodes[i].backup ? " backup" : "");
    }
    generation_destroy(generation);
    assert_string_equal(text, expected);
}

static void an_srv_name_stands_for_all_addresses_of_its_targets(void **state)
{
    (void)state;
    records = "10 5 two.example:81 20 0 two.example:82 10 7 none.example:83";
    expect_upstreams(SRV, "10.9.0.1:81 5, 10.9.0.2:81 5, none.example:83 7, "
                          "10.9.0.1:82 1 backup, 10.9.0.2:82 1 backup, ");
    expect_upstreams(SRV " backup\nupstream = 10.0.0.1:80",
                     "10.9.0.1:81 5 backup, 10.9.0.2:81 5 backup, "
                     "none.example:83 7 backup, 10.9.0.1:82 1 backup, "
                     "10.9.0.2:82 1 backup, 10.0.0.1:80 1, ");
    records = "";
    expect_upstreams(SRV, "srv:_web._tcp.example 1, ");
}

static void options_of_an_srv_line_are_for_all_its_upstreams(void **state)
{
    struct generation *generation;
    const struct service *web;

    (void)state;
    records = "1 1 two.example:81";
    generation = make(SRV " max_connections=9 proxy_protocol=v2", NULL);
    web = &generation->services[0];
    assert_int_equal(web->upstream_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(web->lines[i]->max_connections, 9);
        assert_int_equal(web->lines[i]->proxy_protocol, PROXY_V2);
        assert_string_equal(service_host(web, i), "two.example");
    }
    generation_destroy(generation);
}

/* Of two records with one address the primary counts. */
static void a_backup_is_no_second_place_of_a_primary(void **state)
{
    (void)state;
    records = "2 4 TWO.example:80 2 3 two.example:80 1 2 two.example:80";
    expect_upstreams(SRV, "10.9.0.1:80 2, 10.9.0.2:80 2, "
                          "TWO.example:80 4 backup, ");
}

static void great_weights_are_scaled(void **state)
{
    (void)state;
    records = "1 256 a:1 1 100 b:1 1 0 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 100, c:1 1, ");
    records = "1 300 a:1 1 200 b:1 1 100 c:1"; /* exact */
    expect_upstreams(SRV, "a:1 3, b:1 2, c:1 1, ");
    records = "1 65535 a:1 1 32768 b:1 1 0 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 128, c:1 1, ");
    records = "1 257 a:1 1 1 b:1 1 128 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 1, c:1 128, ");
    records = "1 10 a:1 1 20 b:1 2 3000 c:1 3 1000 d:1"; /* each class */
    expect_upstreams(SRV, "a:1 10, b:1 20, c:1 3 backup, d:1 1 backup, ");
    records = "1 65535 a:1";
    expect_upstreams(SRV, "a:1 1, ");
}

static void hosts_are_known_by_which_upstreams_were_found(void **state)
{
    struct generation *generation;
    const struct service *web;

    (void)state;
    records = "1 1 two.example:81";
    generation = make("[service web]\nlisten = 127.0.0.1:80\n"
                      "upstream = 10.0.0.1:80\n"
                      "upstream = srv:_web._tcp.example\n"
                      "upstream = none.example:80\n",
                      NULL);
    web = &generation->services[0];
    assert_null(service_host(web, 0));
    assert_string_equal(service_host(web, 1), "two.example");
    assert_string_equal(service_host(web, 2), "two.example");
    assert_string_equal(service_host(web, 3), "none.example");
    generation_destroy(generation);
}

static void of_two_lines_with_one_address_the_first_counts(void **state)
{
    struct generation *generation = make("[service web]\n"
                                         "listen = 127.0.0.1:80\n"
                                         "upstream = 10.9.0.2:80 weight=2\n"
                                         "upstream = two.example:80 weight=4\n",
                                         NULL);
    const struct service *web = &generation->services[0];

    (void)state;
    assert_int_equal(web->upstream_count, 2);
    assert_string_equal(web->upstreams[0]->text, "10.9.0.2:80");
    assert_int_equal(web->balance.nodes[0].weight, 2);
    assert_int_equal(web->upstreams[0]->holders, 1);
    assert_string_equal(web->upstreams[1]->text, "10.9.0.1:80");
    assert_int_equal(web->balance.nodes[1].weight, 4);
    generation_destroy(generation);
}

static void a_reload_keeps_states_and_upstreams(void **state)
{
    struct generation *old = make("[service web]\n"
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
    new = make("[service new]\n"
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

static void the_table_of_sources_is_created_when_needed_and_kept(void **state)
{
    struct generation *first = make(PLAIN, NULL);
    struct generation *second;
    struct generation *third;
    struct source_table *table;

    (void)state;
    assert_null(first->services[0].state->sources);
    second = make(PLAIN "accept_rate_per_source = 5\n", first);
    table = second->services[0].state->sources;
    assert_non_null(table);
    third = make(PLAIN, second);
    assert_ptr_equal(third->services[0].state->sources, table);
    generation_destroy(second);
    generation_destroy(first);
    second = make(PLAIN "max_connections_per_source = 5\n", third);
    assert_ptr_equal(second->services[0].state->sources, table);
    generation_destroy(third);
    generation_destroy(second);
}

static void round_robin_goes_on_over_a_reload(void **state)
{
    struct generation *old = make(PLAIN "balance = roundrobin\n", NULL), *new;

    (void)state;
    atomic_store(&old->services[0].balance.classes[0].cursor, 7);
    new = make(PLAIN "balance = roundrobin\nupstream = 10.0.0.2:80\n", old);
    assert_int_equal(new->services[0].balance.classes[0].cursor, 7);
    generation_destroy(old);
    generation_destroy(new);
}

static void a_failure_leaves_all_as_it_was(void **state)
{
    struct generation *old = make(PLAIN, NULL);
    struct service_state *web = old->services[0].state;
    struct upstream *carried = old->services[0].upstreams[0];
    struct config *config = parse(PLAIN "upstream = 10.0.0.2:80\n"
                                        "max_connections_per_source = 1\n"
                                        "[service many]\n"
                                        "listen = 127.0.0.1:81\n"
                                        "upstream = many.example:80\n");

    (void)state;
    errno = 0;
    assert_null(generation_create(config, old, WORKERS, 1000, &names));
    assert_int_equal(errno, E2BIG);
    assert_int_equal(web->holders, 1);
    assert_int_equal(carried->holders, 1);
    assert_null(web->sources);
    assert_int_equal(config->service_count, 2); /* still the caller's */
    config_destroy(config);
    generation_destroy(old);
}

/* Each element is one worker's: it begins a cache line and fills its last. */
static void expect_lines(const void *array, size_t element_bytes)
{
    assert_int_equal((uintptr_t)array % CACHE_LINE_BYTES, 0);
    assert_int_equal(element_bytes % CACHE_LINE_BYTES, 0);
}

/* A connection writes only in its worker's part. */
static void no_two_workers_count_on_one_line(void **state)
{
    struct generation *generation =
        generation_create(parse("[service a]\nmode = udp\nlisten = :1\n"
                                "upstream = 10.0.0.1:1\n"),
                          NULL, WORKERS, 1000, NULL);
    const struct service *service = &generation->services[0];
    const struct upstream *upstream = service->upstreams[0];

    (void)state;
    expect_lines(generation->sessions, sizeof(*generation->sessions));
    expect_lines(service->state->counters, sizeof(*service->state->counters));
    expect_lines(service->state->memory, sizeof(*service->state->memory));
    expect_lines(upstream->counters, sizeof(*upstream->counters));
    expect_lines(service->state->census->entries,
                 sizeof(*service->state->census->entries));
    /* What they share they do not write where others only read. */
    expect_lines(&service->state->active, CACHE_LINE_BYTES);
    expect_lines(&upstream->active, CACHE_LINE_BYTES);
    expect_lines(&service->source_cursor, CACHE_LINE_BYTES);
    expect_lines(&service->balance.classes[0].cursor, CACHE_LINE_BYTES);
    generation_destroy(generation);
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
    return make(text, previous);
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
        cmocka_unit_test(a_service_is_laid_out_as_configured),
        cmocka_unit_test(listens_have_the_order_of_the_config),
        cmocka_unit_test(rates_have_the_depth_that_the_contract_names),
        cmocka_unit_test(a_service_has_one_share_of_blocks_over_all_workers),
        cmocka_unit_test(a_name_stands_for_all_its_addresses),
        cmocka_unit_test(a_name_without_addresses_is_an_upstream_that_is_down),
        cmocka_unit_test(an_srv_name_stands_for_all_addresses_of_its_targets),
        cmocka_unit_test(options_of_an_srv_line_are_for_all_its_upstreams),
        cmocka_unit_test(a_backup_is_no_second_place_of_a_primary),
        cmocka_unit_test(great_weights_are_scaled),
        cmocka_unit_test(hosts_are_known_by_which_upstreams_were_found),
        cmocka_unit_test(of_two_lines_with_one_address_the_first_counts),
        cmocka_unit_test(a_reload_keeps_states_and_upstreams),
        cmocka_unit_test(the_table_of_sources_is_created_when_needed_and_kept),
        cmocka_unit_test(round_robin_goes_on_over_a_reload),
        cmocka_unit_test(a_failure_leaves_all_as_it_was),
        cmocka_unit_test(no_two_workers_count_on_one_line),
        cmocka_unit_test(to_destroy_nothing_is_harmless),
        cmocka_unit_test(generations_end_in_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
