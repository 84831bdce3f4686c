/* Counters and states on their way from one process to another, both of them
 * here. */
#include "base/clock.h"
#include "control/ledger.h"
#include "control/ledger_reader.h"

#include "sampling.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char two[] = "[service web]\nlisten = 127.0.0.1:80\n"
                          "upstream = 10.0.0.1:80\nupstream = 10.0.0.2:80\n"
                          "accept_rate_per_source = 10\n"
                          "balance = roundrobin\n"
                          "[service mail]\nlisten = 127.0.0.1:25\n"
                          "upstream = 10.0.0.3:25\n";
static const char mail[] = "[service mail]\nlisten = 127.0.0.1:25\n"
                           "upstream = 10.0.0.4:25\nupstream = 10.0.0.3:25\n";

struct world {
    struct sampling old, new;
    struct loop loop;
    struct health *health;
    struct ledger ledger;
    struct ledger_reader reader;
    unsigned char bytes[65536];
};

static void open_world(struct world *world, const char *new_text)
{
    static const struct loop_owner owner;
    const struct health_options options = {.kind = 1};
    struct generation *generation;

    memset(world, 0, sizeof(*world));
    sampling_open(&world->old);
    sampling_open(&world->new);
    (void)sampling_apply(&world->old, two);
    generation = sampling_apply(&world->new, new_text);
    assert_int_equal(loop_open(&world->loop, &owner), 0);
    world->health = health_create(&world->loop, &options);
    assert_non_null(world->health);
    assert_int_equal(
        ledger_open(&world->ledger, &world->old.generations, world->health), 0);
    world->reader = (struct ledger_reader){
        .generation = generation,
        .removed = &world->new.generations.removed,
    };
}

static void close_world(struct world *world)
{
    ledger_close(&world->ledger);
    ledger_reader_fini(&world->reader);
    health_destroy(world->health);
    loop_close(&world->loop);
    sampling_close(&world->old);
    sampling_close(&world->new);
}

/* Reads all records. False: one was refused. */
static bool read_bytes(struct world *world, const unsigned char *bytes,
                       size_t count)
{
    struct record_reader reader = {bytes, count};
    struct record record;
    int result;

    while ((result = record_next(&reader, &record)) > 0) {
        if (!ledger_read(&world->reader, &record)) {
            return false;
        }
    }
    return result == 0;
}

/* A pass, in messages of that size. Answers how many bytes it has. */
static size_t pass(struct world *world, size_t size)
{
    size_t all = 0;
    bool complete;

    do {
        struct record_writer writer = {world->bytes, size, 0, false};

        complete = ledger_write(&world->ledger, &writer);
        assert_false(writer.failed);
        assert_true(read_bytes(world, world->bytes, writer.used));
        all += writer.used;
    } while (!complete);
    return all;
}

static struct service *service_at(struct sampling *sampling, size_t i)
{
    return &sampling->generations.alive[0]->services[i];
}

static struct service_sums sums_of(struct sampling *sampling, size_t i)
{
    const struct service_state *state = service_at(sampling, i)->state;
    struct service_sums sums;

    service_counters_sum(state->counters, state->workers + 1, &sums);
    return sums;
}

static void accept_some(struct world *world, size_t service, unsigned worker,
                        uint64_t count)
{
    counter_add(
        &service_at(&world->old, service)->state->counters[worker].accepted,
        count);
}

static void end_one(struct world *world, size_t service, enum cause cause)
{
    service_counters_end(&service_at(&world->old, service)->state->counters[1],
                         cause, NS_PER_S);
}

static void all_that_was_counted_arrives_once(void **state)
{
    static struct world world;
    struct service_sums sums;

    (void)state;
    open_world(&world, two);
    accept_some(&world, 0, 0, 5);
    accept_some(&world, 0, 1, 6);
    end_one(&world, 0, CAUSE_UPSTREAM_DOWN);
    assert_true(pass(&world, 4096) > 0);
    sums = sums_of(&world.new, 0);
    assert_int_equal(sums.accepted, 11);
    assert_int_equal(sums.active, 10);
    assert_int_equal(sums.ended[CAUSE_UPSTREAM_DOWN], 1);
    assert_int_equal(pass(&world, 4096), 0); /* nothing is new */
    accept_some(&world, 0, 0, 1);
    end_one(&world, 0, CAUSE_CLIENT_FIN);
    assert_true(pass(&world, 4096) > 0);
    sums = sums_of(&world.new, 0);
    assert_int_equal(sums.accepted, 12);
    assert_int_equal(sums.active, 10);
    close_world(&world);
}

static void small_messages_carry_it_in_parts(void **state)
{
    static struct world world;

    (void)state;
    open_world(&world, two);
    accept_some(&world, 0, 0, 5);
    accept_some(&world, 1, 0, 7);
    counter_add(&service_at(&world.old, 0)->upstreams[1]->counters[0].total, 3);
    assert_true(pass(&world, 200) > 200);
    assert_int_equal(sums_of(&world.new, 0).accepted, 5);
    assert_int_equal(sums_of(&world.new, 1).accepted, 7);
    close_world(&world);
}

static void states_of_upstreams_arrive(void **state)
{
    static struct world world;
    struct upstream *before, *after;

    (void)state;
    open_world(&world, mail);
    before = service_at(&world.old, 1)->upstreams[0];
    after = service_at(&world.new, 0)->upstreams[1];
    assert_string_equal(before->text, after->text);
    (void)upstream_set_down(before, UPSTREAM_UNHEALTHY, 77);
    atomic_store(&before->reset_ns, 78);
    assert_false(upstream_connect_failed(before, 3, NS_PER_S, 100));
    assert_false(upstream_connect_failed(before, 3, NS_PER_S, 101));
    counter_add(&before->counters[0].failed[FAILURE_RESET], 2);
    (void)pass(&world, 4096);
    assert_false(upstream_up(after));
    assert_true(upstream_up(service_at(&world.new, 0)->upstreams[0]));
    assert_int_equal(after->since_ns, 77);
    assert_true(upstream_resets(after, 77) && !upstream_resets(after, 78));
    assert_true(upstream_connect_failed(after, 3, NS_PER_S, 102));
    assert_int_equal(
        counter_read(&after->counters[after->workers].failed[FAILURE_RESET]),
        2);
    close_world(&world);
}

static struct network client(unsigned number)
{
    struct addr addr;

    assert_null(addr_parse_ip("10.1.0.0", &addr));
    addr.ip[2] = (unsigned char)(number >> 8);
    addr.ip[3] = (unsigned char)number;
    return network_of(&addr, (struct network_prefixes){32, 128});
}

static enum limits_answer come(struct service *service, unsigned number)
{
    const struct limits_most most = {.rate_per_s = 10};
    struct network network = client(number);

    return limits_enter(service->state->sources, &network, &most,
                        clock_now_ns());
}

/* The second pass tells what the sources owe; then nobody accepts. */
static void sources_owe_what_they_owed(void **state)
{
    enum { SOURCES = 200 };
    static struct world world;
    struct service *before, *after;

    (void)state;
    open_world(&world, two);
    before = service_at(&world.old, 0);
    after = service_at(&world.new, 0);
    (void)pass(&world, 4096);
    for (unsigned i = 0; i < SOURCES; i++) {
        struct network network = client(i);

        while (come(before, i) == LIMITS_ENTERED) {
            limits_leave(before->state->sources, &network);
        }
    }
    assert_int_equal(source_table_used(after->state->sources, clock_now_ns()),
                     0);
    (void)pass(&world, 300);
    for (unsigned i = 0; i < SOURCES; i++) {
        struct network network = client(i);
        unsigned entered = 0; /* a token comes each tenth of a second */

        for (; entered < 9 && come(after, i) == LIMITS_ENTERED; entered++) {
            limits_leave(after->state->sources, &network);
        }
        assert_in_range(entered, 0, 8);
    }
    close_world(&world);
}

/* What the old process tells late is older than what this one has. */
static void turns_and_rates_go_on_and_never_back(void **state)
{
    static struct world world;
    struct service *before, *after;

    (void)state;
    open_world(&world, two);
    before = service_at(&world.old, 0);
    after = service_at(&world.new, 0);
    for (uint64_t at = 5; at < 10; at += 4) {
        for (unsigned backup = 0; backup < 2; backup++) {
            atomic_store(&before->balance.classes[backup].cursor, at + backup);
        }
        atomic_store(&before->state->accept_rate.full_ns, at);
        (void)pass(&world, 4096);
        assert_int_equal(after->balance.classes[0].cursor, at);
        assert_int_equal(after->balance.classes[1].cursor, at + 1);
        assert_int_equal(after->state->accept_rate.full_ns, at);
    }
    atomic_store(&after->balance.classes[0].cursor, 20);
    atomic_store(&after->state->accept_rate.full_ns, 20);
    (void)pass(&world, 4096);
    assert_int_equal(after->balance.classes[0].cursor, 20);
    assert_int_equal(after->state->accept_rate.full_ns, 20);
    close_world(&world);
}

static void a_service_that_is_gone_stays_in_the_sums(void **state)
{
    static struct world world;
    const struct service_sums *removed = &world.new.generations.removed;

    (void)state;
    open_world(&world, mail);
    accept_some(&world, 0, 0, 4);
    end_one(&world, 0, CAUSE_DENIED);
    (void)pass(&world, 4096);
    assert_int_equal(removed->accepted, 4);
    assert_int_equal(removed->ended[CAUSE_DENIED], 1);
    assert_int_equal(removed->active, 3);
    /* They end with the other process. */
    assert_int_equal(ledger_reader_balance(&world.reader), 3);
    assert_int_equal(removed->active, 0);
    assert_int_equal(removed->ended[CAUSE_INTERNAL], 3);
    close_world(&world);
}

static void sessions_that_were_taken_do_not_end_with_the_other(void **state)
{
    static struct world world;

    (void)state;
    open_world(&world, two);
    accept_some(&world, 1, 0, 4);
    (void)pass(&world, 4096);
    world.reader.services[service_at(&world.old, 1)->state->number].taken = 3;
    assert_int_equal(ledger_reader_balance(&world.reader), 1);
    assert_int_equal(sums_of(&world.new, 1).active, 3);
    close_world(&world);
}

static void what_must_be_known_is_refused(void **state)
{
    static struct world world;
    struct record_writer writer = {world.bytes, sizeof(world.bytes), 0, false};
    size_t begun;

    (void)state;
    open_world(&world, two);
    writer.bytes = world.bytes;
    record_put_number(&writer, 0x7f, 1); /* a newer record, and a newer part */
    begun = record_begin(&writer, LEDGER_SERVICE);
    record_put_number(&writer, LEDGER_NUMBER, 0);
    record_put_text(&writer, LEDGER_NAME, "web");
    record_put_number(&writer, LEDGER_ENDED + CAUSES + 5, 2);
    record_put_number(&writer, 0x7f, 1);
    record_end(&writer, begun);
    assert_true(read_bytes(&world, world.bytes, writer.used));
    assert_int_equal(sums_of(&world.new, 0).ended[CAUSE_INTERNAL], 2);
    writer.used = 0;
    begun = record_begin(&writer, LEDGER_SERVICE);
    record_put_number(&writer, LEDGER_NUMBER, 0);
    record_put_number(&writer, 0x7f | RECORD_CRITICAL, 1);
    record_end(&writer, begun);
    assert_false(read_bytes(&world, world.bytes, writer.used));
    close_world(&world);
}

static void hostile_records_do_no_harm(void **state)
{
    static struct world world;
    struct record_writer writer;
    unsigned char plain[8192];

    (void)state;
    open_world(&world, two);
    accept_some(&world, 0, 0, 5);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(come(service_at(&world.old, 0), i), LIMITS_ENTERED);
    }
    writer = (struct record_writer){plain, sizeof(plain), 0, false};
    assert_true(ledger_write(&world.ledger, &writer));
    accept_some(&world, 0, 0, 5);
    assert_true(ledger_write(&world.ledger, &writer));
    for (uint64_t seed = 1; seed <= 5000; seed++) {
        struct seeded seeded = seeded_start(seed);
        unsigned char *bytes = malloc(writer.used);

        assert_non_null(bytes);
        memcpy(bytes, plain, writer.used);
        for (unsigned n = 0; n < 1 + seeded_below(&seeded, 4); n++) {
            /* Large numbers are refused by their bound, which takes memory. */
            bytes[seeded_below(&seeded, writer.used)] =
                (unsigned char)seeded_below(&seeded, 20);
        }
        (void)!read_bytes(&world, bytes, writer.used);
        free(bytes);
    }
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_was_counted_arrives_once),
        cmocka_unit_test(small_messages_carry_it_in_parts),
        cmocka_unit_test(states_of_upstreams_arrive),
        cmocka_unit_test(sources_owe_what_they_owed),
        cmocka_unit_test(turns_and_rates_go_on_and_never_back),
        cmocka_unit_test(a_service_that_is_gone_stays_in_the_sums),
        cmocka_unit_test(sessions_that_were_taken_do_not_end_with_the_other),
        cmocka_unit_test(what_must_be_known_is_refused),
        cmocka_unit_test(hostile_records_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
