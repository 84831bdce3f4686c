/* Whose buckets a connection has. */
#include "proxy/throttle.h"

#include "generation_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* A full table has no place for one that a reload moves. */
static void without_a_place_among_the_sources_it_has_no_bucket(void **state)
{
    static const struct limits_most any = {0};
    struct generation *generation =
        make_generation("[service web]\n"
                        "listen = 127.0.0.1:80\n"
                        "upstream = 10.0.0.1:80\n"
                        "rate_up_per_source = 10K\n",
                        NULL);
    struct service *service = &generation->services[0];
    struct network network;
    struct rate *source;
    struct addr client;

    (void)state;
    assert_null(addr_parse_ip("192.0.2.1", &client));
    assert_true(throttle_find_source(service, &client, false, &source));
    assert_null(source);
    network = service_source(service, &client);
    assert_int_equal(limits_enter(service->state->sources, &network, &any, 1),
                     LIMITS_ENTERED);
    assert_true(throttle_find_source(service, &client, true, &source));
    assert_non_null(source);
    limits_leave(service->state->sources, &network);
    generation_destroy(generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_place_among_the_sources_it_has_no_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
