/* What a generation has of a configuration: services, names and upstreams. */
#include "service/generation.h"

#include "generation_text.h"
#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void a_service_is_laid_out_as_configured(void **state)
{
    struct generation *generation =
        make_generation("[service web]\n"
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
    assert_int_equal(generation->workers, GENERATION_WORKERS);
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
    struct generation *generation = make_generation("[service web]\n"
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
    struct generation *generation = make_generation("[service fast]\n"
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
    struct generation *generation = make_generation("[service web]\n"
                                                    "listen = :80\n"
                                                    "upstream = 10.0.0.1:80\n",
                                                    NULL);
    struct service_memory *memory = generation->services[0].state->memory;
    struct wait_queue queue = {0};

    (void)state;
    for (unsigned i = 0; i < GENERATION_WORKERS; i++) {
        struct waiter *rich = &memory[i].blocks[UP].account.waiter;

        waiter_count(rich, 25);
        for (unsigned j = 0; j < GENERATION_WORKERS; j++) {
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
    struct generation *generation = make_generation(
        "[service web]\n"
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
    struct generation *generation =
        make_generation("[service web]\n"
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
    struct generation *generation = make_generation(config, NULL);
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
    generation_records =
        "10 5 two.example:81 20 0 two.example:82 10 7 none.example:83";
    expect_upstreams(SRV, "10.9.0.1:81 5, 10.9.0.2:81 5, none.example:83 7, "
                          "10.9.0.1:82 1 backup, 10.9.0.2:82 1 backup, ");
    expect_upstreams(SRV " backup\nupstream = 10.0.0.1:80",
                     "10.9.0.1:81 5 backup, 10.9.0.2:81 5 backup, "
                     "none.example:83 7 backup, 10.9.0.1:82 1 backup, "
                     "10.9.0.2:82 1 backup, 10.0.0.1:80 1, ");
    generation_records = "";
    expect_upstreams(SRV, "srv:_web._tcp.example 1, ");
}

static void options_of_an_srv_line_are_for_all_its_upstreams(void **state)
{
    struct generation *generation;
    const struct service *web;

    (void)state;
    generation_records = "1 1 two.example:81";
    generation =
        make_generation(SRV " max_connections=9 proxy_protocol=v2", NULL);
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
    generation_records =
        "2 4 TWO.example:80 2 3 two.example:80 1 2 two.example:80";
    expect_upstreams(SRV, "10.9.0.1:80 2, 10.9.0.2:80 2, "
                          "TWO.example:80 4 backup, ");
}

static void great_weights_are_scaled(void **state)
{
    (void)state;
    generation_records = "1 256 a:1 1 100 b:1 1 0 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 100, c:1 1, ");
    generation_records = "1 300 a:1 1 200 b:1 1 100 c:1"; /* exact */
    expect_upstreams(SRV, "a:1 3, b:1 2, c:1 1, ");
    generation_records = "1 65535 a:1 1 32768 b:1 1 0 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 128, c:1 1, ");
    generation_records = "1 257 a:1 1 1 b:1 1 128 c:1";
    expect_upstreams(SRV, "a:1 256, b:1 1, c:1 128, ");
    generation_records =
        "1 10 a:1 1 20 b:1 2 3000 c:1 3 1000 d:1"; /* each class */
    expect_upstreams(SRV, "a:1 10, b:1 20, c:1 3 backup, d:1 1 backup, ");
    generation_records = "1 65535 a:1";
    expect_upstreams(SRV, "a:1 1, ");
}

static void hosts_are_known_by_which_upstreams_were_found(void **state)
{
    struct generation *generation;
    const struct service *web;

    (void)state;
    generation_records = "1 1 two.example:81";
    generation = make_generation("[service web]\nlisten = 127.0.0.1:80\n"
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
    struct generation *generation =
        make_generation("[service web]\n"
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
        generation_create(parse_good("[service a]\nmode = udp\nlisten = :1\n"
                                     "upstream = 10.0.0.1:1\n"),
                          NULL, GENERATION_WORKERS, 1000, NULL);
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
        cmocka_unit_test(no_two_workers_count_on_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
