/* The guard itself: connections are pairs of addresses, and nothing connects.
 */
#include "proxy/loop_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct loop_guard guard;
static struct upstream *upstream;

static int setup(void **state)
{
    (void)state;
    memset(&guard, 0, sizeof(guard));
    upstream = upstream_create(NULL, "10.0.0.1:80", 1);
    return upstream == NULL ? -1 : loop_guard_init(&guard);
}

static int finish(void **state)
{
    (void)state;
    upstream_destroy(upstream);
    loop_guard_fini(&guard);
    return 0;
}

/* A connection from that port of 10.0.0.HOST to its port 80. */
static struct loop_ends ends_of(uint8_t host, uint16_t port)
{
    return (struct loop_ends){
        .from = {.family = AF_INET, .port = port, .ip = {10, 0, 0, host}},
        .to = {.family = AF_INET, .port = 80, .ip = {10, 0, 0, host}},
    };
}

/* A connection of 10.0.0.HOST, for a client at 10.0.0.BEHIND. */
static uint16_t note_of(uint8_t host, uint16_t port, uint8_t behind,
                        uint16_t client)
{
    struct loop_ends ends = ends_of(host, port);
    struct loop_ends client_ends = ends_of(behind, client);

    return loop_guard_note(&guard, upstream, &ends, &client_ends);
}

static uint16_t numbers[LOOP_PORTS]; /* of the notes, by port */

static void note(uint16_t port, uint16_t client)
{
    numbers[port] = note_of(1, port, 1, client);
    assert_int_not_equal(numbers[port], 0);
}

static bool forget(uint16_t port)
{
    return loop_guard_forget(&guard, &numbers[port]);
}

static bool arrives(uint8_t host, uint16_t port)
{
    struct loop_ends ends = ends_of(host, port);

    return loop_guard_may_know(&guard, port) &&
           loop_guard_arrive(&guard, &ends);
}

/* Port n is for the client at port n + 1; the last one is a stranger. */
static void note_turns(uint16_t first, unsigned count)
{
    for (uint16_t i = 0; i < count; i++) {
        note(first + i, first + i + 1);
    }
}

static void a_loop_ends_at_its_last_turn(void **state)
{
    (void)state;
    note_turns(1000, LOOP_TURNS);
    assert_false(arrives(1, 1001));
    assert_true(arrives(1, 1000));
    for (uint16_t i = 0; i < LOOP_TURNS; i++) {
        assert_true(forget(1000 + i));
        assert_int_equal(numbers[1000 + i], 0);
        assert_false(forget(1000 + i));
    }
    assert_false(arrives(1, 1000));
}

static void a_note_that_comes_late_counts_in_the_next_turn(void **state)
{
    (void)state;
    note_turns(1000, LOOP_TURNS / 2 - 1);
    note_turns(1000 + LOOP_TURNS / 2, LOOP_TURNS / 2);
    assert_false(arrives(1, 1000));
    note(1000 + LOOP_TURNS / 2 - 1, 1000 + LOOP_TURNS / 2);
    assert_true(arrives(1, 1000));
}

static void who_connects_for_a_client_sees_its_late_note(void **state)
{
    (void)state;
    assert_false(arrives(1, 1001));
    note(1001, 1);
    assert_false(atomic_load(&upstream->returns));
    note(1000, 1001);
    assert_true(atomic_load(&upstream->returns));
}

static void a_long_chain_of_services_is_no_loop(void **state)
{
    struct upstream *chain[LOOP_TURNS_MAX];

    (void)state;
    for (uint16_t i = 0; i < LOOP_TURNS_MAX; i++) {
        struct loop_ends ends = ends_of(1, LOOP_TURNS_MAX - i);
        struct loop_ends client = ends_of(1, LOOP_TURNS_MAX - i + 1);

        chain[i] = upstream_create(NULL, "10.0.0.1:80", 1);
        assert_non_null(chain[i]);
        assert_int_not_equal(loop_guard_note(&guard, chain[i], &ends, &client),
                             0);
        assert_int_equal(arrives(1, LOOP_TURNS_MAX - i),
                         i == LOOP_TURNS_MAX - 1);
    }
    for (uint16_t i = 0; i < LOOP_TURNS_MAX; i++) {
        upstream_destroy(chain[i]);
    }
}

static void another_connection_from_the_port_is_not_counted(void **state)
{
    (void)state;
    note_turns(1000, LOOP_TURNS);
    assert_false(arrives(2, 1000));
    assert_false(atomic_load(&upstream->returns));
}

/* The kernel gives connections to several addresses the same port. */
static void notes_of_one_port_stand_side_by_side(void **state)
{
    uint16_t list[LOOP_TURNS];

    (void)state;
    for (uint8_t i = 0; i < LOOP_TURNS; i++) {
        list[i] = note_of(i, 1000, i + 1, 1000);
    }
    assert_true(arrives(0, 1000));
    for (uint8_t i = 0; i < LOOP_TURNS; i++) {
        struct loop_ends ends = ends_of(i, 1000);

        assert_true(loop_guard_may_know(&guard, 1000));
        assert_true(loop_guard_knows(&guard, &ends));
        assert_true(loop_guard_forget(&guard, &list[i]));
        assert_false(loop_guard_knows(&guard, &ends));
    }
    assert_false(loop_guard_may_know(&guard, 1000));
}

static void a_bucket_has_notes_of_several_ports(void **state)
{
    (void)state;
    note(1000, 1);
    note(1000 + LOOP_BUCKETS, 1);
    note(1000 + 2 * LOOP_BUCKETS, 1);
    assert_false(forget(1000 + LOOP_BUCKETS));
    assert_true(loop_guard_may_know(&guard, 1000));
    assert_false(loop_guard_may_know(&guard, 1000 + LOOP_BUCKETS));
    assert_true(loop_guard_may_know(&guard, 1000 + 2 * LOOP_BUCKETS));
    assert_false(forget(1000));
    assert_false(forget(1000 + 2 * LOOP_BUCKETS));
    assert_false(loop_guard_may_know(&guard, 1000 + 2 * LOOP_BUCKETS));
}

static void above_65535_nothing_is_noted(void **state)
{
    uint16_t one = 0, none;

    (void)state;
    for (unsigned i = 1; i < LOOP_PORTS; i++) {
        one = note_of(1, (uint16_t)i, 1, 1);
        assert_int_not_equal(one, 0);
    }
    none = note_of(2, 1000, 1, 1);
    assert_int_equal(none, 0);
    assert_false(loop_guard_forget(&guard, &none));
    assert_false(loop_guard_forget(&guard, &one));
    assert_int_not_equal(note_of(2, 1000, 1, 1), 0);
    assert_int_equal(note_of(3, 1000, 1, 1), 0);
}

static void a_ring_of_notes_comes_to_an_end(void **state)
{
    (void)state;
    note(65535, 1);
    note(1, 65535);
    assert_true(arrives(1, 1));
}

static void few_connections_are_noted_until_one_comes_back(void **state)
{
    struct upstream_counters *counters = &upstream->counters[0];
    uint64_t now_ns = 10 * NS_PER_S;
    unsigned due = 0;

    (void)state;
    for (unsigned i = 0; i < 6400; i++) {
        due += loop_guard_is_due(upstream, counters, now_ns);
        counter_add(&counters->total, 1);
    }
    assert_int_equal(due, 100);
    counter_add(&counters->total, 1);
    assert_false(loop_guard_is_due(upstream, counters, now_ns));
    assert_true(loop_guard_is_due(upstream, counters, now_ns + NS_PER_S));
    assert_false(loop_guard_is_due(upstream, counters, now_ns + NS_PER_S));
    note(1000, 1);
    assert_false(arrives(1, 1000));
    assert_true(loop_guard_is_due(upstream, counters, now_ns + NS_PER_S));
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, finish)
    const struct CMUnitTest tests[] = {
        TEST(a_loop_ends_at_its_last_turn),
        TEST(a_note_that_comes_late_counts_in_the_next_turn),
        TEST(who_connects_for_a_client_sees_its_late_note),
        TEST(a_long_chain_of_services_is_no_loop),
        TEST(another_connection_from_the_port_is_not_counted),
        TEST(notes_of_one_port_stand_side_by_side),
        TEST(a_bucket_has_notes_of_several_ports),
        TEST(above_65535_nothing_is_noted),
        TEST(a_ring_of_notes_comes_to_an_end),
        TEST(few_connections_are_noted_until_one_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
