/* An upstream that has come up gets its clients little by little. */
#include "greeters.h"
#include "loopback.h"
#include "proxy.h"
#include "teardown.h"
#include "wait.h"

#include <stdio.h>

#define CHECKED                                                                \
    "health_check = tcp\nhealth_interval = 30ms\nhealth_rise = 1\n"            \
    "health_fall = 1\n"
#define ASKS 220

static void bounce(struct greeters *greeters)
{
    greeters_stop(greeters, 0);
    proxy_line(greeters->proxy, "state=down");
    greeters_start(greeters, 0);
    proxy_line(greeters->proxy, "state=up");
    proxy_mark(greeters->proxy);
}

static unsigned ask_from_many(const struct greeters *greeters)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ASKS; i++) {
        char source[64];

        snprintf(source, sizeof(source), "%s", loopback_source(1 + i));
        count += greeters_ask(&greeters->front, source) == 0;
    }
    return count;
}

/* A tenth against one: 20 of 220. */
static void begins_with_a_tenth(const char *balance)
{
    struct greeters greeters;
    char keys[256];

    snprintf(keys, sizeof(keys), CHECKED "slow_start = 1h\nbalance = %s",
             balance);
    greeters_open(&greeters, 2, NULL, keys);
    assert_in_range(ask_from_many(&greeters), ASKS / 2 - 40, ASKS / 2 + 40);
    bounce(&greeters);
    assert_in_range(ask_from_many(&greeters), 1, 50);
    greeters_close(&greeters);
}

static void with_source_it_begins_with_a_tenth(void **state)
{
    (void)state;
    begins_with_a_tenth("source");
}

static void with_roundrobin_it_begins_with_a_tenth(void **state)
{
    (void)state;
    begins_with_a_tenth("roundrobin");
}

static void with_random_it_begins_with_a_tenth(void **state)
{
    (void)state;
    begins_with_a_tenth("random");
}

/* Connections stay open: one of eleven goes to the one that came. */
static void with_leastconn_it_begins_with_a_tenth(void **state)
{
    struct greeters greeters;
    unsigned count = 0;

    (void)state;
    greeters_open(&greeters, 2, NULL,
                  CHECKED "slow_start = 1h\nbalance = leastconn");
    bounce(&greeters);
    for (unsigned i = 0; i < ASKS; i++) {
        unsigned upstream;

        (void)greeters_connect(&greeters.front, NULL, &upstream);
        count += upstream == 0;
    }
    assert_in_range(count, ASKS / 11 - 14, ASKS / 11 + 14);
    greeters_close(&greeters);
}

static void it_ends_with_the_whole_weight(void **state)
{
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(&greeters, 2, NULL,
                  CHECKED "slow_start = 300ms\nbalance = roundrobin");
    bounce(&greeters);
    int64_t begin = wait_now_ms();
    wait_until(wait_now_ms() > begin + 350);
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[0], 10);
    greeters_close(&greeters);
}

static void the_last_one_up_gets_everybody(void **state)
{
    struct greeters greeters;
    unsigned counts[GREETERS_MAX];

    (void)state;
    greeters_open(&greeters, 2, NULL,
                  CHECKED "slow_start = 1h\nbalance = roundrobin");
    bounce(&greeters);
    greeters_stop(&greeters, 1);
    proxy_line(greeters.proxy, "state=down");
    greeters_count(&greeters, 20, counts);
    assert_int_equal(counts[0], 20);
    greeters_close(&greeters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(with_source_it_begins_with_a_tenth),
        E2E(with_roundrobin_it_begins_with_a_tenth),
        E2E(with_random_it_begins_with_a_tenth),
        E2E(with_leastconn_it_begins_with_a_tenth),
        E2E(it_ends_with_the_whole_weight),
        E2E(the_last_one_up_gets_everybody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
