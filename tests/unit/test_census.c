/* Which worker has the longest idle session, and who ends one above a limit. */
#include "service/census.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void the_longest_idle_of_the_others_is_found(void **state)
{
    struct census *census = census_create(3);
    uint64_t oldest_ns;

    (void)state;
    census_oldest_other(census, 0, &oldest_ns);
    assert_int_equal(oldest_ns, CENSUS_NONE);
    census_publish(census, 0, 5);
    census_oldest_other(census, 0, &oldest_ns);
    assert_int_equal(oldest_ns, CENSUS_NONE);
    census_publish(census, 1, 30);
    census_publish(census, 2, 20);
    assert_int_equal(census_oldest_other(census, 0, &oldest_ns), 2);
    assert_int_equal(oldest_ns, 20);
    assert_int_equal(census_oldest_other(census, 2, &oldest_ns), 0);
    assert_int_equal(oldest_ns, 5);
    census_publish(census, 0, CENSUS_NONE);
    assert_int_equal(census_oldest_other(census, 2, &oldest_ns), 1);
    census_destroy(census);
}

static void only_what_is_above_the_limit_is_claimed(void **state)
{
    struct census *census = census_create(1);

    (void)state;
    assert_false(census_claim(census, 0));
    census_add(census);
    census_add(census);
    census_add(census);
    assert_true(census_claim(census, 1));
    assert_true(census_claim(census, 1));
    assert_false(census_claim(census, 1));
    assert_int_equal(census_count(census), 1);
    census_subtract(census);
    assert_int_equal(census_count(census), 0);
    census_destroy(census);
}

enum { THREADS = 4, SESSIONS = 20000, MOST = 100 };

struct claimer {
    struct census *census;
    pthread_t thread;
    unsigned claimed;
};

/* Each is over the limit as soon as the others are. */
static void *add_and_claim(void *arg)
{
    struct claimer *claimer = arg;

    for (unsigned i = 0; i < SESSIONS; i++) {
        census_add(claimer->census);
        while (census_claim(claimer->census, MOST)) {
            claimer->claimed++;
        }
    }
    return NULL;
}

static void threads_claim_no_more_than_is_too_much(void **state)
{
    struct claimer claimers[THREADS] = {{.claimed = 0}};
    struct census *census = census_create(THREADS);
    unsigned claimed = 0;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        claimers[i].census = census;
        assert_int_equal(pthread_create(&claimers[i].thread, NULL,
                                        add_and_claim, &claimers[i]),
                         0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(claimers[i].thread, NULL);
        claimed += claimers[i].claimed;
    }
    assert_int_equal(census_count(census), MOST);
    assert_int_equal(claimed, THREADS * SESSIONS - MOST);
    census_destroy(census);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_idle_of_the_others_is_found),
        cmocka_unit_test(only_what_is_above_the_limit_is_claimed),
        cmocka_unit_test(threads_claim_no_more_than_is_too_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
