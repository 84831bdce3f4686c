#include "proxy/deadline.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { COUNT = 2000 };

/* The moments of many connections lie all over the last tenth. */
static void lifetimes_are_spread_over_their_last_tenth(void **state)
{
    static const uint64_t seconds[] = {1, 60, 3600, 86400, 365 * 86400};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
        const uint64_t most_ns = seconds[i] * NS_PER_S;
        const struct config_service config = {.max_lifetime_ns = most_ns};
        unsigned late = 0;

        for (uint32_t j = 0; j < COUNT; j++) {
            struct deadline earliest = deadline_none();

            deadline_consider_lifetime(&earliest, &config, NS_PER_S, j);
            assert_int_equal(earliest.cause, CAUSE_MAX_LIFETIME);
            assert_in_range(earliest.at_ns - NS_PER_S, most_ns - most_ns / 10,
                            most_ns);
            late += earliest.at_ns - NS_PER_S > most_ns - most_ns / 20;
        }
        assert_in_range(late, COUNT * 4 / 10, COUNT * 6 / 10);
    }
}

static void without_a_lifetime_there_is_no_deadline(void **state)
{
    const struct config_service config = {.max_lifetime_ns = 0};
    struct deadline earliest = deadline_none();

    (void)state;
    deadline_consider_lifetime(&earliest, &config, NS_PER_S, 1);
    assert_int_equal(earliest.at_ns, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lifetimes_are_spread_over_their_last_tenth),
        cmocka_unit_test(without_a_lifetime_there_is_no_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
