#include "config/reload.h"

#include "config/load.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct config *parse(const char *text)
{
    struct config_errors errors = {0};
    struct config *config = load_text(text, strlen(text), &errors);

    assert_non_null(config);
    return config;
}

static struct reload_address endpoint(const char *text)
{
    struct address address;

    assert_null(address_parse(text, &address));
    return (struct reload_address){.endpoint = address.endpoint};
}

static void assert_listen(const struct reload_plan *plan, size_t place,
                          enum reload_action action, size_t service,
                          size_t listen, size_t old_index)
{
    const struct reload_listen *found = &plan->listens[place];

    assert_true(place < plan->listen_count);
    assert_int_equal(found->action, action);
    assert_int_equal(found->service, service);
    assert_int_equal(found->listen, listen);
    if (action == RELOAD_KEEP) {
        assert_int_equal(found->old_index, old_index);
    }
}

static void at_the_start_everything_is_opened(void **state)
{
    struct config *config = parse("[service a]\n"
                                  "listen = :80\n"
                                  "listen = unix:/run/a\n"
                                  "upstream = 127.0.0.1:1\n"
                                  "[service b]\n"
                                  "listen = [::1]:80\n"
                                  "upstream = 127.0.0.1:1\n");
    struct reload_plan plan;

    (void)state;
    assert_int_equal(reload_plan(&plan, NULL, 0, config), 0);
    assert_int_equal(plan.listen_count, 3);
    assert_listen(&plan, 0, RELOAD_OPEN, 0, 0, 0);
    assert_listen(&plan, 1, RELOAD_OPEN, 0, 1, 0);
    assert_listen(&plan, 2, RELOAD_OPEN, 1, 0, 0);
    assert_int_equal(plan.close_count, 0);
    reload_plan_fini(&plan);
    config_destroy(config);
}

static void what_both_have_is_kept_whichever_service_has_it(void **state)
{
    struct reload_address old[] = {endpoint("127.0.0.1:3"),
                                   endpoint("127.0.0.1:1"),
                                   endpoint("unix:/run/x"), endpoint(":2")};
    struct config *config = parse("[service new]\n"
                                  "listen = :2\n"
                                  "listen = 127.0.0.2:1\n"
                                  "upstream = 127.0.0.1:9\n"
                                  "[service other]\n"
                                  "listen = unix:/run/x\n"
                                  "listen = 127.0.0.1:3\n"
                                  "upstream = 127.0.0.1:9\n");
    struct reload_plan plan;

    (void)state;
    assert_int_equal(reload_plan(&plan, old, ARRAY_LEN(old), config), 0);
    assert_int_equal(plan.listen_count, 4);
    assert_listen(&plan, 0, RELOAD_KEEP, 0, 0, 3);
    assert_listen(&plan, 1, RELOAD_OPEN, 0, 1, 0);
    assert_listen(&plan, 2, RELOAD_KEEP, 1, 0, 2);
    assert_listen(&plan, 3, RELOAD_KEEP, 1, 1, 0);
    assert_int_equal(plan.close_count, 1);
    assert_int_equal(plan.closes[0], 1);
    reload_plan_fini(&plan);
    config_destroy(config);
}

static void a_new_port_or_family_is_a_new_address(void **state)
{
    struct reload_address old[] = {endpoint("127.0.0.1:80"),
                                   endpoint("0.0.0.0:81")};
    struct config *config = parse("[service a]\n"
                                  "listen = 127.0.0.1:81\n"
                                  "listen = :81\n"
                                  "upstream = 127.0.0.1:9\n");
    struct reload_plan plan;

    (void)state;
    assert_int_equal(reload_plan(&plan, old, ARRAY_LEN(old), config), 0);
    assert_listen(&plan, 0, RELOAD_OPEN, 0, 0, 0);
    assert_listen(&plan, 1, RELOAD_OPEN, 0, 1, 0);
    assert_int_equal(plan.close_count, 2);
    reload_plan_fini(&plan);
    config_destroy(config);
}

static void a_mode_has_addresses_of_its_own(void **state)
{
    struct reload_address old[] = {endpoint("127.0.0.1:80"),
                                   endpoint("127.0.0.1:80"),
                                   endpoint("127.0.0.1:81")};
    struct config *config = parse("[service a]\n"
                                  "listen = 127.0.0.1:80\n"
                                  "upstream = 127.0.0.1:9\n"
                                  "[service b]\n"
                                  "mode = udp\n"
                                  "listen = 127.0.0.1:80\n"
                                  "listen = 127.0.0.1:81\n"
                                  "upstream = 127.0.0.1:9\n");
    struct reload_plan plan;

    (void)state;
    old[0].mode = CONFIG_UDP;
    assert_int_equal(reload_plan(&plan, old, ARRAY_LEN(old), config), 0);
    assert_listen(&plan, 0, RELOAD_KEEP, 0, 0, 1);
    assert_listen(&plan, 1, RELOAD_KEEP, 1, 0, 0);
    assert_listen(&plan, 2, RELOAD_OPEN, 1, 1, 0);
    assert_int_equal(plan.close_count, 1);
    assert_int_equal(plan.closes[0], 2);
    reload_plan_fini(&plan);
    config_destroy(config);
}

static void without_listens_all_is_closed(void **state)
{
    struct reload_address old[] = {endpoint(":1"), endpoint(":2")};
    const struct config empty = {0};
    struct reload_plan plan;

    (void)state;
    assert_int_equal(reload_plan(&plan, old, ARRAY_LEN(old), &empty), 0);
    assert_int_equal(plan.listen_count, 0);
    assert_int_equal(plan.close_count, 2);
    assert_int_equal(plan.closes[0] + plan.closes[1], 1);
    reload_plan_fini(&plan);
    assert_null(plan.listens);
    reload_plan_fini(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_the_start_everything_is_opened),
        cmocka_unit_test(what_both_have_is_kept_whichever_service_has_it),
        cmocka_unit_test(a_new_port_or_family_is_a_new_address),
        cmocka_unit_test(a_mode_has_addresses_of_its_own),
        cmocka_unit_test(without_listens_all_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
