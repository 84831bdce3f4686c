/* Look-ups that the machine answers itself; nothing here asks the network. */
#include "control/resolver.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../skip.h"

#include <netdb.h>

/* A bare system may know no name at all. */
static void skip_without_names(void)
{
    struct addrinfo *found = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &found) != 0) {
        skip_because("localhost does not resolve here");
    }
    freeaddrinfo(found);
}

/* The addresses of the host; lookup_free afterwards. */
static struct lookup *look_up(const char *host)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));

    assert_non_null(lookup);
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    lookup_run(lookup);
    assert_true((lookup->count == 0) == (lookup->found == NULL));
    assert_true((lookup->count == 0) == (lookup->error[0] != '\0'));
    return lookup;
}

/* The host has this one address, or, where the machine lacks IPv6, none. */
static void expect_only(const char *host, const char *expected)
{
    struct lookup *lookup = look_up(host);
    char text[ADDR_TEXT_MAX];

    if (lookup->count > 0 || strchr(host, ':') == NULL) {
        assert_int_equal(lookup->count, 1);
        assert_string_equal(endpoint_format(&lookup->found[0], text), expected);
    }
    lookup_free(lookup);
}

static void localhost_is_a_loopback_address(void **state)
{
    struct lookup *lookup;

    (void)state;
    skip_without_names();
    lookup = look_up("localhost");
    assert_true(lookup->count > 0);
    for (size_t i = 0; i < lookup->count; i++) {
        char text[ADDR_TEXT_MAX];

        endpoint_format(&lookup->found[i], text);
        assert_true(strcmp(text, "127.0.0.1:*") == 0 ||
                    strcmp(text, "[::1]:*") == 0);
    }
    lookup_free(lookup);
}

static void addresses_come_sorted_and_each_once(void **state)
{
    struct lookup *lookup = look_up("localhost");

    (void)state;
    for (size_t i = 1; i < lookup->count; i++) {
        assert_true(
            endpoint_compare_ip(&lookup->found[i - 1], &lookup->found[i]) < 0);
    }
    lookup_free(lookup);
}

static void a_number_is_its_own_answer(void **state)
{
    (void)state;
    expect_only("127.0.0.9", "127.0.0.9:*");
}

static void a_mapped_address_is_an_ipv4_address(void **state)
{
    (void)state;
    expect_only("::ffff:127.0.0.1", "127.0.0.1:*");
}

/* lo is interface 1 on every Linux. */
static void a_link_local_address_keeps_its_zone(void **state)
{
    (void)state;
    expect_only("fe80::1%lo", "[fe80::1%1]:*");
}

static void expect_nothing(const char *host)
{
    struct lookup *lookup = look_up(host);

    assert_int_equal(lookup->count, 0);
    lookup_free(lookup);
}

static void a_link_local_address_without_a_zone_is_no_answer(void **state)
{
    (void)state;
    expect_nothing("fe80::1");
}

/* A label of more than 63 bytes cannot be asked for. */
static void what_cannot_be_a_name_has_no_address(void **state)
{
    char name[80];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    expect_nothing(name);
}

/* ---- by threads ---- */

#define MESSAGE 7

static struct lookup *next_answer(struct mailbox *mailbox)
{
    struct pollfd poll_fd = {.fd = mailbox->fd, .events = POLLIN};
    struct message *message;

    while ((message = mailbox_next(mailbox)) == NULL) {
        assert_int_equal(poll(&poll_fd, 1, 10000), 1);
    }
    assert_int_equal(message->type, MESSAGE);
    return lookup_of(message);
}

static void each_question_is_answered_once(void **state)
{
    enum { COUNT = 200 };
    struct mailbox mailbox;
    struct resolver *resolver;
    unsigned answers[COUNT] = {0};

    (void)state;
    assert_int_equal(mailbox_open(&mailbox), 0);
    resolver = resolver_create(&mailbox, MESSAGE);
    assert_non_null(resolver);
    for (unsigned i = 0; i < COUNT; i++) {
        char host[32];

        snprintf(host, sizeof(host), "127.0.0.%u", i);
        assert_int_equal(resolver_ask(resolver, ADDRESS_NAME, host, i % 2 == 0),
                         0);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        struct lookup *lookup = next_answer(&mailbox);

        assert_int_equal(lookup->count, 1);
        answers[atoi(lookup->host + strlen("127.0.0."))]++;
        lookup_free(lookup);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(answers[i], 1);
    }
    assert_null(mailbox_next(&mailbox));
    resolver_destroy(resolver);
    mailbox_close(&mailbox);
}

/* Its threads may be anywhere at that moment. */
static void it_can_be_left_at_any_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct mailbox mailbox;
        struct resolver *resolver;
        struct message *message;

        assert_int_equal(mailbox_open(&mailbox), 0);
        resolver = resolver_create(&mailbox, MESSAGE);
        assert_non_null(resolver);
        for (unsigned i = 0; i < round % 20; i++) {
            assert_int_equal(
                resolver_ask(resolver, ADDRESS_NAME, "127.0.0.1", i % 2), 0);
        }
        resolver_destroy(resolver);
        while ((message = mailbox_next(&mailbox)) != NULL) {
            lookup_free(lookup_of(message));
        }
        mailbox_close(&mailbox);
    }
    resolver_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(localhost_is_a_loopback_address),
        cmocka_unit_test(addresses_come_sorted_and_each_once),
        cmocka_unit_test(a_number_is_its_own_answer),
        cmocka_unit_test(a_mapped_address_is_an_ipv4_address),
        cmocka_unit_test(a_link_local_address_keeps_its_zone),
        cmocka_unit_test(a_link_local_address_without_a_zone_is_no_answer),
        cmocka_unit_test(what_cannot_be_a_name_has_no_address),
        cmocka_unit_test(each_question_is_answered_once),
        cmocka_unit_test(it_can_be_left_at_any_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
