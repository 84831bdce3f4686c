/* Whose time it is while an upstream is connected. */
#include "proxy/attempt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void time_in_our_queue_is_not_the_upstreams(void **state)
{
    struct config_service config = {.connect_timeout_ns = NS_PER_S};
    struct service service = {.config = &config};
    struct attempt attempt = {
        .choice.service = &service, .begun_ns = 5 * NS_PER_S, .securing = true};
    struct deadline earliest = deadline_none();

    (void)state;
    attempt_deadline(&attempt, &earliest);
    assert_int_equal(earliest.at_ns, 6 * NS_PER_S);
    earliest = deadline_none();
    attempt.queued = true;
    attempt_deadline(&attempt, &earliest);
    assert_true(earliest.at_ns == UINT64_MAX);
    /* A client that has left waits no longer for that. */
    attempt.abandoned = true;
    attempt_deadline(&attempt, &earliest);
    assert_true(earliest.at_ns < 6 * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_in_our_queue_is_not_the_upstreams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
