#include "control/local_ports.h"

#include "known_names.h"
#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct counted {
    uint64_t pairs;
    uint64_t sources;
    const char *text;
};

static struct local_ports count(const char *text)
{
    struct config *config = parse_good(text);
    struct local_ports ports;

    assert_int_equal(local_ports_count(&ports, config, &known_names), 0);
    config_destroy(config);
    return ports;
}

static void assert_counts(const struct counted *cases, size_t number)
{
    for (size_t i = 0; i < number; i++) {
        struct local_ports ports = count(cases[i].text);

        if (ports.pairs != cases[i].pairs ||
            ports.sources != cases[i].sources) {
            fail_msg("%llu pairs and %llu sources of:\n%s",
                     (unsigned long long)ports.pairs,
                     (unsigned long long)ports.sources, cases[i].text);
        }
    }
}

#define A   "[service a]\nlisten = :1\n"
#define B   "[service b]\nlisten = :2\n"
#define U   "[service u]\nmode = udp\nlisten = :1\n"
#define V   "[service v]\nmode = udp\nlisten = :2\n"
#define ONE "upstream = 10.0.0.1:80\n"
#define TWO "upstream = 10.0.0.2:80\n"
#define SIX "upstream = [2001:db8::1]:80\n"
#define S3  "source_address = 10.1.0.1-10.1.0.3\n"
#define S5  "source_address = 10.1.0.3-10.1.0.5\n"

static void each_pair_of_source_and_upstream_has_the_ports_of_tcp(void **state)
{
    static const struct counted cases[] = {
        {1, 0, A ONE},
        {2, 0, A ONE TWO},
        {2, 0, A ONE "upstream = 10.0.0.1:81\n"},
        {2, 0, A ONE SIX},
        {1, 0, A ONE B ONE}, /* one upstream of two services */
        {2, 0, A ONE B TWO},
        {3, 0, A ONE S3},
        {6, 0, A ONE TWO S3},
        {3, 0, A ONE S3 B ONE S3},
        {5, 0, A ONE S3 B ONE S5}, /* 10.1.0.3 is in both ranges */
        {6, 0, A ONE S3 B TWO S5},
        {4, 0, A ONE S3 B ONE}, /* and what the kernel chooses */
        {4, 0, A ONE SIX S3},   /* no source of that family */
        {1, 0, A ONE "source_address = 10.1.0.1, 10.1.0.1\n"},
        {3, 0, A ONE "source_address = 10.1.0.2, 10.1.0.1-10.1.0.3\n"},
        {5, 0, A ONE "source_address = 10.1.0.1-10.1.0.3, 10.1.0.2-10.1.0.5\n"},
        {4, 0,
         A ONE SIX "source_address = 10.1.0.1-10.1.0.2, "
                   "2001:db8::1-2001:db8::2\n"},
        {UINT32_MAX, 0,
         A SIX "source_address = 2001:db8::-2001:db8::1:0:0:0\n"},
    };

    (void)state;
    assert_counts(cases, sizeof(cases) / sizeof(*cases));
}

static void upstreams_of_udp_share_the_ports_of_a_source(void **state)
{
    static const struct counted cases[] = {
        {0, 1, U ONE},
        {0, 1, U ONE TWO},
        {0, 1, U ONE SIX},
        {0, 1, U ONE V TWO},
        {0, 3, U ONE TWO S3},
        {0, 5, U ONE S3 V TWO S5},
        {0, 3, U ONE S3 V TWO}, /* that one gets what is left, if anything */
        {0, 3, U ONE SIX S3},
        {0, 2, U ONE SIX "source_address = 10.1.0.1, 2001:db8::1\n"},
        {1, 1, A ONE V ONE},
    };

    (void)state;
    assert_counts(cases, sizeof(cases) / sizeof(*cases));
}

static void names_count_with_their_addresses(void **state)
{
    static const struct counted cases[] = {
        {2, 0, A "upstream = two.example:80\n"},
        {1, 0, A "upstream = none.example:80\n"},
        {1, 0,
         A "upstream = none.example:80\n" B "upstream = none.example:80\n"},
        {2, 0,
         A "upstream = none.example:80\n"
           "upstream = none.example:81\n"},
        {3, 0, A "upstream = none.example:80\n" S3},
        {2, 0, A "upstream = two.example:80\nupstream = 10.0.9.1:80\n"},
        {3, 0,
         A "upstream = two.example:80\n" B "upstream = both.example:80\n"},
        {2, 0, A "upstream = srv:_a._tcp.example\n"}, /* without the backup */
        {1, 0, A "upstream = srv:_b._tcp.example\n"},
        {0, 1, U "upstream = none.example:80\n"},
    };

    (void)state;
    assert_counts(cases, sizeof(cases) / sizeof(*cases));
}

static void upstreams_that_hold_nothing_now_do_not_count(void **state)
{
    static const struct counted cases[] = {
        {1, 0, A ONE "upstream = 10.0.0.2:80 backup\n"},
        {1, 0, A ONE "upstream = 10.0.0.2:80 drain\n"},
        {1, 0,
         A "upstream = 10.0.0.1:80 drain\n"
           "upstream = 10.0.0.2:80 backup\n"},
        {2, 0,
         A "upstream = 10.0.0.1:80 backup\n"
           "upstream = 10.0.0.2:80 backup\n"},
        {0, 0, A "upstream = 10.0.0.1:80 drain\n"},
    };

    (void)state;
    assert_counts(cases, sizeof(cases) / sizeof(*cases));
}

static void unix_sockets_need_no_port(void **state)
{
    struct local_ports ports = count(A "upstream = unix:/run/a\n" B ONE);

    (void)state;
    assert_int_equal(ports.pairs, 1);
    assert_true(ports.unix_sockets);
    assert_false(count(A ONE).unix_sockets);
    ports = count(A "upstream = unix:/run/a\n" S3);
    assert_int_equal(ports.pairs, 0);
    assert_true(ports.unix_sockets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_pair_of_source_and_upstream_has_the_ports_of_tcp),
        cmocka_unit_test(upstreams_of_udp_share_the_ports_of_a_source),
        cmocka_unit_test(names_count_with_their_addresses),
        cmocka_unit_test(upstreams_that_hold_nothing_now_do_not_count),
        cmocka_unit_test(unix_sockets_need_no_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
