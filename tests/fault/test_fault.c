/*
 * The data plane in many thousand interleavings of events and faults, each made
 * by a seed (see rig.h). A failing one prints its seed.
 *
 *      EVPROXY_TEST_SEED=n    only that one, with a trace of what happens
 *      EVPROXY_TEST_RUNS=n    so many in all
 *      EVPROXY_TEST_LONG=1    twenty times the usual number
 */
#include "base/log.h"
#include "planes.h"
#include "rig.h"
#include "upgrades.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../setting.h"
#include "../skip.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define THEMES 6
#define RUNS   7500
#define LONGER 20

/* The number in that variable of the environment, or another. */
static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static uint64_t seed_now;

/* An assertion has failed, of ours or of the code under test. */
static void tell_seed(int signal)
{
    (void)signal;
    dprintf(2, "EVPROXY_TEST_SEED=%" PRIu64 ": aborted\n", seed_now);
}

/* Every seed of the theme: those of six in turn belong to the six. */
static void run_theme(enum rig_theme theme)
{
    bool is_long = setting_is_on("EVPROXY_TEST_LONG");
    uint64_t runs =
        setting("EVPROXY_TEST_RUNS", is_long ? RUNS * LONGER : RUNS);
    uint64_t only = setting("EVPROXY_TEST_SEED", UINT64_MAX);
    uint64_t handed = planes_handed();
    uint64_t upgraded = upgrades_count().sessions;

    if (only != UINT64_MAX && only % THEMES != theme) {
        skip_because("EVPROXY_TEST_SEED is of another theme");
    }
    for (uint64_t seed = theme; seed < runs; seed += THEMES) {
        uint64_t now = only == UINT64_MAX ? seed : only;
        const char *failure;

        seed_now = now;
        failure = rig_run(now, theme, now == only);
        if (failure != NULL) {
            fail_msg("EVPROXY_TEST_SEED=%" PRIu64 ": %s", now, failure);
        }
        if (now == only) {
            return;
        }
    }
    /* The runs also were about planes that hand connections over. */
    assert_true(runs < 1000 || planes_handed() - handed > runs / 1000);
    assert_true(runs < 1000 || theme == RIG_DOWN ||
                upgrades_count().sessions - upgraded > runs / 1000);
}

static void bytes_arrive_once_in_order_and_the_end_after_them(void **state)
{
    (void)state;
    run_theme(RIG_FLOW);
}

static void a_reset_is_passed_on_after_the_bytes_before_it(void **state)
{
    (void)state;
    run_theme(RIG_RESETS);
}

static void who_stalls_is_ended_and_holds_up_nobody(void **state)
{
    (void)state;
    run_theme(RIG_STALLS);
}

static void a_drained_plane_has_nothing_left(void **state)
{
    (void)state;
    run_theme(RIG_DRAIN);
}

static void a_shortage_passes_without_a_trace(void **state)
{
    (void)state;
    run_theme(RIG_SHORTAGE);
}

static void an_upstream_that_is_down_keeps_no_connection(void **state)
{
    (void)state;
    run_theme(RIG_DOWN);
}

/* They fail at every step, and many succeed. */
static void upgrades_were_among_them(void **state)
{
    struct upgrades_count count = upgrades_count();

    (void)state;
    print_message("upgrades: %" PRIu64 ", of which %" PRIu64
                  " succeeded; sessions moved: %" PRIu64 "\n",
                  count.begun, count.good, count.sessions);
    assert_true(count.begun < 1000 || (count.good > count.begun / 2 &&
                                       count.good < count.begun * 9 / 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_once_in_order_and_the_end_after_them),
        cmocka_unit_test(a_reset_is_passed_on_after_the_bytes_before_it),
        cmocka_unit_test(who_stalls_is_ended_and_holds_up_nobody),
        cmocka_unit_test(a_drained_plane_has_nothing_left),
        cmocka_unit_test(a_shortage_passes_without_a_trace),
        cmocka_unit_test(an_upstream_that_is_down_keeps_no_connection),
        cmocka_unit_test(upgrades_were_among_them),
    };

    log_set_level(LOG_ERROR);
    signal(SIGABRT, tell_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
