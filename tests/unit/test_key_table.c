#include "config/key_table.h"
#include "config/setter.h"

#include "parsing.h"

#include "config/setter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE (60 * NS_PER_S)

static void a_global_key_that_is_not_set_has_its_default(void **state)
{
    struct config *config = parse_good(SERVICE);

    (void)state;
    assert_int_equal(config->workers, 0);
    assert_int_equal(config->max_connections, 0);
    assert_int_equal(config->buffer_memory, 256 << 20);
    assert_int_equal(config->buffer_size, 16 << 10);
    assert_int_equal(config->drain_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(config->stats_interval_ns, 0);
    assert_int_equal(config->log_level, LOG_INFO);
    assert_false(config->access_log);
    assert_null(config->user);
    assert_null(config->group);
    assert_int_equal(config->service_count, 1);
    config_destroy(config);
}

static void assert_default_times(const struct config_service *service)
{
    assert_int_equal(service->connect_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(service->idle_timeout_ns, 10 * MINUTE);
    assert_int_equal(service->read_timeout_ns, 0);
    assert_int_equal(service->write_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(service->half_close_timeout_ns, 30 * NS_PER_S);
    assert_int_equal(service->header_timeout_ns, 5 * NS_PER_S);
    assert_int_equal(service->max_lifetime_ns, 0);
    assert_int_equal(service->health_interval_ns, 2 * NS_PER_S);
    assert_int_equal(service->health_timeout_ns, NS_PER_S);
    assert_int_equal(service->fail_window_ns, 30 * NS_PER_S);
    assert_int_equal(service->tcp_keepalive_ns, 60 * NS_PER_S);
    assert_int_equal(service->tcp_user_timeout_ns, 0);
}

static void assert_default_limits(const struct config_service *service)
{
    assert_int_equal(service->rate_up, 0);
    assert_int_equal(service->rate_down, 0);
    assert_int_equal(service->service_rate_up, 0);
    assert_int_equal(service->service_rate_down, 0);
    assert_int_equal(service->rate_burst, 64 << 10);
    assert_int_equal(service->rate_burst_up, 0);
    assert_int_equal(service->rate_burst_down, 0);
    assert_int_equal(service->max_connections, 0);
    assert_int_equal(service->max_connections_per_source, 0);
    assert_int_equal(service->accept_rate, 0);
    assert_int_equal(service->accept_rate_per_source, 0);
    assert_int_equal(service->rule_count, 0);
}

static void a_service_key_that_is_not_set_has_its_default(void **state)
{
    struct config *config = parse_good(SERVICE);
    const struct config_service *service = &config->services[0];

    (void)state;
    assert_string_equal(service->name, "web");
    assert_int_equal(service->line, 1);
    assert_int_equal(service->mode, CONFIG_TCP);
    assert_int_equal(service->balance, BALANCE_SOURCE);
    assert_int_equal(service->hash_prefix_v4, 32);
    assert_int_equal(service->hash_prefix_v6, 128);
    assert_int_equal(service->connect_attempts, 3);
    assert_false(service->health_check);
    assert_int_equal(service->health_rise, 2);
    assert_int_equal(service->health_fall, 3);
    assert_int_equal(service->fail_threshold, 5);
    assert_int_equal(service->source_count, 0);
    assert_false(service->tcp_fastopen);
    assert_int_equal(service->tcp_notsent_lowat, 32 << 10);
    assert_int_equal(service->backlog, 4096);
    assert_false(service->access_log);
    assert_default_times(service);
    assert_default_limits(service);
    config_destroy(config);
}

static void every_default_is_taken_when_written_out(void **state)
{
    struct config_key_info info;
    char text[256];

    (void)state;
    for (size_t i = 0; config_key(i, &info); i++) {
        bool global = strcmp(info.section, "global") == 0;

        if (!info.available || info.default_text[0] == '\0') {
            continue;
        }
        snprintf(text, sizeof(text), "[global]\n%s%s%s%s" SERVICE "%s%s%s%s",
                 global ? info.name : "", global ? " = " : "",
                 global ? info.default_text : "", global ? "\n" : "",
                 global ? "" : info.name, global ? "" : " = ",
                 global ? "" : info.default_text, global ? "" : "\n");
        config_destroy(parse_good(text));
    }
}

static void each_name_is_in_its_section_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];

        assert_ptr_equal(key_table_find(key->section, key->name), key);
        assert_non_null(key->help);
        assert_null(strchr(key->help, '\n'));
    }
    assert_true(key_table_count > 60);
    assert_null(key_table_find(KEY_GLOBAL, "listen"));
}

/* What the code takes for granted of rows, and the compiler does not check. */
static void assert_sound(const struct key *key)
{
    bool list = key->field.count_offset != 0;
    bool choice = key->set == setter_choice;

    /* A build that has the key has a field for it. */
    assert_true(key->set == NULL || key->field.width > 0);
    assert_true((key->choices != NULL) >= choice);
    assert_true((key->choices != NULL) == (key->choice_count > 0));
    /* The values of the file would be added to those of a default. */
    assert_true(!list || key->default_text == NULL);
    /* Only global values can be taken over at a reload, and no lists. */
    assert_true(!key->restart || (key->section == KEY_GLOBAL && !list));
    assert_true(key->udp_default == NULL ||
                (key->section == KEY_SERVICE && key->default_text != NULL));
    assert_true(!key->tcp_only || key->section == KEY_SERVICE);
    assert_true(!key->default_taken || key->default_text != NULL);
    assert_true(key->min <= key->max || key->max == 0);
    assert_true(key->min == 0 || !key->may_be_off || key->set == setter_number);
}

static void each_row_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < key_table_count; i++) {
        assert_sound(&key_table[i]);
    }
}

static void the_documents_see_each_row(void **state)
{
    struct config_key_info info;

    (void)state;
    for (size_t i = 0; i < key_table_count; i++) {
        assert_true(config_key(i, &info));
        assert_string_equal(info.name, key_table[i].name);
    }
    assert_false(config_key(key_table_count, &info));
    assert_false(config_key((size_t)-1, &info));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_global_key_that_is_not_set_has_its_default),
        cmocka_unit_test(a_service_key_that_is_not_set_has_its_default),
        cmocka_unit_test(every_default_is_taken_when_written_out),
        cmocka_unit_test(each_name_is_in_its_section_once),
        cmocka_unit_test(each_row_is_sound),
        cmocka_unit_test(the_documents_see_each_row),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
