#include "control/capacity.h"

#include "known_names.h"
#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define A   "[service a]\nlisten = :1\n"
#define B   "[service b]\nlisten = :2\n"
#define U   "[service u]\nmode = udp\nlisten = :1\n"
#define ONE "upstream = 10.0.0.1:80\n"

/* Two workers: 24 reserved, 6 of loops, 2 of listens, and 1 of a check leave
 * room for (limit - 33) / 2. */
static const struct capacity_facts ample = {
    .machine =
        {
            .descriptors = 1048576,
            .descriptors_max = 1073741816,
            .ports = 28232,
            .tcp = {.used_bytes = 8192, .memory_bytes = UINT64_C(1) << 30},
            .tcp_receive_bytes = 131072,
            .tcp_send_bytes = 16384,
        },
    .workers = 2,
    .buffer_bytes = 64 << 20,
    .block_bytes = 16384,
};

static struct capacity count(const char *text,
                             const struct capacity_facts *facts)
{
    struct config *config = parse_good(text);
    struct capacity capacity;

    assert_int_equal(capacity_count(&capacity, config, &known_names, facts), 0);
    config_destroy(config);
    return capacity;
}

static uint64_t held(const char *text, enum capacity_limit limit)
{
    return count(text, &ample).held[limit];
}

/* That limit is first, with that number. */
static void assert_first(const char *text, const struct capacity_facts *facts,
                         enum capacity_limit limit, uint64_t connections)
{
    struct capacity capacity = count(text, facts);

    assert_string_equal(capacity_name(capacity_first(&capacity)),
                        capacity_name(limit));
    assert_int_equal(capacity.held[limit], connections);
}

static void the_least_limit_is_first(void **state)
{
    struct capacity_facts facts = ample;

    (void)state;
    assert_first(A ONE, &facts, CAPACITY_LOCAL_PORTS, 28232);
    facts.machine.descriptors = 1033;
    assert_first(A ONE, &facts, CAPACITY_DESCRIPTORS, 500);
    assert_first("[global]\nmax_connections = 400\n" A ONE, &facts,
                 CAPACITY_MAX_CONNECTIONS, 400);
    assert_first(A ONE "max_connections = 300\n", &facts, CAPACITY_SERVICES,
                 300);
    facts.machine.tcp.memory_bytes = 200 * 4096;
    assert_first(A ONE "max_connections = 300\n", &facts, CAPACITY_TCP_MEMORY,
                 200);
}

static void nr_open_below_the_limit_of_the_process_counts(void **state)
{
    struct capacity_facts facts = ample;

    (void)state;
    facts.machine.descriptors_max = 2033;
    assert_first(A ONE, &facts, CAPACITY_DESCRIPTORS, 1000);
}

static void workers_and_listens_take_descriptors(void **state)
{
    struct capacity_facts facts = ample;
    uint64_t two = count(A ONE, &facts).held[CAPACITY_DESCRIPTORS];

    (void)state;
    assert_int_equal(two, (1048576 - 33) / 2);
    facts.workers = 102; /* each a loop and a listening socket */
    assert_int_equal(count(A ONE, &facts).held[CAPACITY_DESCRIPTORS],
                     (1048576 - 333) / 2);
    assert_true(held("[global]\nmetrics_listen = 127.0.0.1:9\n" A ONE,
                     CAPACITY_DESCRIPTORS) < two);
}

static void services_limit_only_if_each_has_a_limit(void **state)
{
    static const struct {
        uint64_t connections;
        const char *text;
    } cases[] = {
        {CAPACITY_NONE, A ONE},
        {7, A ONE "max_connections = 7\n"},
        {CAPACITY_NONE, A ONE "max_connections = 7\n" B ONE},
        {12, A ONE "max_connections = 7\n" B ONE "max_connections = 5\n"},
        {9, A "upstream = 10.0.0.1:80 max_connections=9\n"},
        {CAPACITY_NONE, A "upstream = 10.0.0.1:80 max_connections=9\n"
                          "upstream = 10.0.0.2:80\n"},
        {14, A "upstream = 10.0.0.1:80 max_connections=9\n"
               "upstream = 10.0.0.2:80 max_connections=5\n"},
        {14, A "upstream = 10.0.0.1:80 max_connections=9\n"
               "upstream = 10.0.0.2:80 max_connections=5 backup\n"},
        {9, A "upstream = 10.0.0.1:80 max_connections=9\n"
              "upstream = 10.0.0.2:80 max_connections=5 drain\n"},
        {8, A "upstream = 10.0.0.1:80 max_connections=9\n"
              "max_connections = 8\n"},
        /* More may wait in line. */
        {CAPACITY_NONE, A "upstream = 10.0.0.1:80 max_connections=9\n"
                          "queue_timeout = 1s\n"},
        {20, A "upstream = 10.0.0.1:80 max_connections=9\n"
               "queue_timeout = 1s\nmax_connections = 20\n"},
        {18, A "upstream = two.example:80 max_connections=9\n"},
        {65536, U ONE},
        {20, U ONE "max_sessions = 20\n"},
        {19, U ONE "max_sessions = 20\nmax_connections = 19\n"},
        {CAPACITY_NONE, U ONE "max_sessions = off\n"},
        {CAPACITY_NONE, U ONE B ONE},
        {27, U ONE "max_sessions = 20\n" B ONE "max_connections = 7\n"},
        /* A limit of TCP connections is none of theirs. */
        {CAPACITY_NONE, A ONE "max_sessions = 20\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        uint64_t connections = held(cases[i].text, CAPACITY_SERVICES);

        if (connections != cases[i].connections) {
            fail_msg("%llu of:\n%s", (unsigned long long)connections,
                     cases[i].text);
        }
    }
}

static void ports_are_counted_for_each_pair(void **state)
{
    (void)state;
    assert_int_equal(held(A ONE "source_address = 10.1.0.1-10.1.0.3\n" U ONE,
                          CAPACITY_LOCAL_PORTS),
                     4 * 28232);
    /* More than any number is as good as the greatest. */
    assert_true(held(A "upstream = [::1]:80\n"
                       "source_address = 2001:db8::-2001:db8::1:0:0:0\n",
                     CAPACITY_LOCAL_PORTS) > UINT32_MAX);
}

static void what_is_not_known_is_no_limit(void **state)
{
    struct capacity_facts facts = {
        .machine = {.descriptors = 1033, .descriptors_max = UINT64_MAX},
        .workers = 2,
        .buffer_bytes = 1 << 20,
        .block_bytes = 4096,
    };
    struct capacity capacity = count(A ONE, &facts);

    (void)state;
    assert_first(A ONE, &facts, CAPACITY_DESCRIPTORS, 500);
    assert_true(capacity.held[CAPACITY_LOCAL_PORTS] == CAPACITY_NONE);
    assert_true(capacity.held[CAPACITY_TCP_MEMORY] == CAPACITY_NONE);
    assert_true(capacity.in_flight[CAPACITY_FLIGHT_TCP_MEMORY] ==
                CAPACITY_NONE);
    assert_int_equal(capacity.in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY], 128);
}

/* Their services may hold any number, so that the ports limit only the others.
 */
static void with_unix_sockets_ports_are_never_first(void **state)
{
    struct capacity_facts facts = ample;

    (void)state;
    facts.machine.ports = 1;
    assert_first(A ONE B "upstream = unix:/run/a\n", &facts,
                 CAPACITY_TCP_MEMORY, 262144);
    assert_int_equal(count(A ONE B "upstream = unix:/run/a\n", &facts)
                         .held[CAPACITY_LOCAL_PORTS],
                     1);
    assert_true(held(B "upstream = unix:/run/a\n", CAPACITY_LOCAL_PORTS) ==
                CAPACITY_NONE);
}

static void bytes_in_flight_take_memory_for_each_direction(void **state)
{
    struct capacity capacity = count(A ONE, &ample);

    (void)state;
    assert_int_equal(capacity.in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY], 2048);
    assert_int_equal(capacity.tcp_bytes, 131072 + 16384 + 32768);
    assert_int_equal(capacity.in_flight[CAPACITY_FLIGHT_TCP_MEMORY],
                     (1 << 30) / 180224);
    capacity = count(A ONE B ONE "tcp_notsent_lowat = 1M\n", &ample);
    assert_int_equal(capacity.tcp_bytes, 131072 + 16384 + 1048576);
}

static void datagrams_take_none_of_it(void **state)
{
    struct capacity capacity = count(U ONE, &ample);

    (void)state;
    assert_true(capacity.held[CAPACITY_TCP_MEMORY] == CAPACITY_NONE);
    assert_true(capacity.in_flight[CAPACITY_FLIGHT_TCP_MEMORY] ==
                CAPACITY_NONE);
    assert_true(capacity.in_flight[CAPACITY_FLIGHT_BUFFER_MEMORY] ==
                CAPACITY_NONE);
}

static void assert_report(const char *config,
                          const struct capacity_facts *facts,
                          const char *expected)
{
    struct capacity capacity = count(config, facts);
    struct text text = {.count = 0};

    capacity_write(&capacity, &text);
    text_add_bytes(&text, "", 1);
    assert_false(text.failed);
    assert_string_equal(text.bytes, expected);
    text_fini(&text);
}

#define PORTS_RAISE                                                            \
    "raise=\"net.ipv4.ip_local_port_range, source_address, more upstreams\"\n"
/* used: of what TCP memory is used, " used=N" or "". */
#define MEMORY_LINES(used)                                                     \
    "limit=tcp_memory connections=262144 first=no bytes=1073741824 "           \
    "bytes_each=4096" used " raise=\"net.ipv4.tcp_mem\"\n"                     \
    "limit=tcp_memory in_flight=5957 bytes=1073741824 bytes_each=180224" used  \
    " raise=\"net.ipv4.tcp_mem\"\n"                                            \
    "limit=buffer_memory in_flight=2048 bytes=67108864 bytes_each=32768 "      \
    "raise=\"buffer_memory\"\n"

static void the_report_marks_the_first_limit(void **state)
{
    struct capacity_facts facts = ample;

    (void)state;
    assert_report(A ONE, &facts,
                  "connections=28232\n"
                  "limit=descriptors connections=524271 first=no "
                  "RLIMIT_NOFILE=1048576 raise=\"LimitNOFILE= of the unit, "
                  "ulimit -n of a shell\"\n"
                  "limit=local_ports connections=28232 first=yes ports=28232 "
                  "pairs=1 udp_sources=0 unix=no " PORTS_RAISE MEMORY_LINES(
                      " used=8192"));
    facts.machine.tcp.used_bytes = MACHINE_UNKNOWN;
    facts.machine.descriptors = facts.machine.descriptors_max = 1033;
    assert_report("[global]\nmax_connections = 9\n" A
                  "upstream = unix:/a\nmax_connections = 10\n",
                  &facts,
                  "connections=9\n"
                  "limit=max_connections connections=9 first=yes "
                  "raise=\"max_connections of [global]\"\n"
                  "limit=services connections=10 first=no "
                  "raise=\"max_connections, and max_sessions of UDP, of "
                  "services and their upstreams\"\n"
                  "limit=descriptors connections=500 first=no "
                  "RLIMIT_NOFILE=1033 raise=\"LimitNOFILE= of the unit and "
                  "fs.nr_open\"\n" MEMORY_LINES(""));
    facts.machine.descriptors_max = 933;
    assert_report(U ONE, &facts,
                  "connections=450\n"
                  "limit=services connections=65536 first=no "
                  "raise=\"max_connections, and max_sessions of UDP, of "
                  "services and their upstreams\"\n"
                  "limit=descriptors connections=450 first=yes "
                  "fs.nr_open=933 raise=\"fs.nr_open\"\n"
                  "limit=local_ports connections=28232 first=no ports=28232 "
                  "pairs=0 udp_sources=1 unix=no " PORTS_RAISE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_limit_is_first),
        cmocka_unit_test(nr_open_below_the_limit_of_the_process_counts),
        cmocka_unit_test(workers_and_listens_take_descriptors),
        cmocka_unit_test(services_limit_only_if_each_has_a_limit),
        cmocka_unit_test(ports_are_counted_for_each_pair),
        cmocka_unit_test(what_is_not_known_is_no_limit),
        cmocka_unit_test(with_unix_sockets_ports_are_never_first),
        cmocka_unit_test(bytes_in_flight_take_memory_for_each_direction),
        cmocka_unit_test(datagrams_take_none_of_it),
        cmocka_unit_test(the_report_marks_the_first_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
