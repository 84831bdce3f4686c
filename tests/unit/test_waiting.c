#include "proxy/waiting.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORKERS 3
#define MESSAGE 7
#define MAX     200 /* connections: 50 in all, 16 of a source */

struct stage {
    struct waiting waiting;
    struct waiting_line lines[WORKERS];
    struct mailbox mailboxes[WORKERS];
};

static struct stage stage;

static int set_up(void **state)
{
    *state = &stage;
    if (waiting_init(&stage.waiting) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        if (mailbox_open(&stage.mailboxes[i]) < 0) {
            return -1;
        }
        waiting_open(&stage.waiting, i, &stage.lines[i], &stage.mailboxes[i],
                     MESSAGE);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++) {
        waiting_close(&stage.waiting, i);
        mailbox_close(&stage.mailboxes[i]);
    }
    waiting_fini(&stage.waiting);
    return 0;
}

static bool enter(unsigned worker, struct waiting_place *place, uint64_t now)
{
    return waiting_enter(&stage.waiting, &stage.lines[worker], place, now, MAX);
}

static void leave(unsigned worker, struct waiting_place *place)
{
    waiting_leave(&stage.waiting, &stage.lines[worker], place);
}

static void a_quarter_may_wait_at_all_workers_together(void **state)
{
    struct waiting_place places[52] = {0};

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        assert_false(enter(i % WORKERS, &places[i], i));
    }
    assert_true(enter(0, &places[50], 50));
    leave(0, &places[50]);
    leave(3 % WORKERS, &places[3]);
    leave(3 % WORKERS, &places[3]); /* once is enough */
    assert_false(enter(1, &places[51], 51));
    assert_int_equal(atomic_load(&stage.waiting.count), 50);
    leave(1, &places[51]);
    for (unsigned i = 0; i < 50; i++) {
        leave(i % WORKERS, &places[i]);
    }
    assert_int_equal(atomic_load(&stage.waiting.count), 0);
}

static void the_least_share_is_sixteen(void **state)
{
    struct waiting_place places[17] = {0};

    (void)state;
    for (unsigned i = 0; i < 17; i++) {
        assert_int_equal(
            waiting_enter(&stage.waiting, &stage.lines[0], &places[i], i, 2),
            i == 16);
    }
    for (unsigned i = 0; i < 17; i++) {
        leave(0, &places[i]);
    }
}

static void the_oldest_of_all_workers_goes(void **state)
{
    struct waiting_place places[60] = {0};
    struct message *message;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        (void)enter(i < 2 ? 2 : i % 2, &places[i], i);
    }
    /* Ten too many: 0 and 1 are worker 2's, then 2 is worker 0's. */
    assert_null(waiting_choose(&stage.waiting, &stage.lines[0]));
    assert_null(waiting_choose(&stage.waiting, &stage.lines[1]));
    message = mailbox_next(&stage.mailboxes[2]);
    assert_non_null(message);
    assert_int_equal(message->type, MESSAGE);
    assert_null(mailbox_next(&stage.mailboxes[2]));
    assert_int_equal(waiting_due(&stage.lines[2]), 2);
    assert_int_equal(waiting_due(&stage.lines[2]), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_ptr_equal(waiting_choose(&stage.waiting, &stage.lines[2]),
                         &places[i]);
        leave(2, &places[i]);
    }
    /* Its own are gone: it tells the worker that has the oldest now. */
    assert_null(waiting_choose(&stage.waiting, &stage.lines[2]));
    assert_non_null(mailbox_next(&stage.mailboxes[0]));
    assert_int_equal(waiting_due(&stage.lines[0]), 1);
    assert_ptr_equal(waiting_choose(&stage.waiting, &stage.lines[0]),
                     &places[2]);
    for (unsigned i = 2; i < 10; i++) {
        assert_true(waiting_exceeded(&stage.waiting, MAX));
        leave(i % 2, &places[i]);
    }
    assert_false(waiting_exceeded(&stage.waiting, MAX));
    for (unsigned i = 10; i < 60; i++) {
        leave(i % 2, &places[i]);
    }
}

static struct addr ip(const char *text)
{
    struct addr addr;

    assert_null(addr_parse_ip(text, &addr));
    return addr;
}

static struct network at(const char *text)
{
    struct addr addr = ip(text);

    return network_of(&addr, WAITING_PREFIXES);
}

static void a_source_has_a_share_of_its_own(void **state)
{
    static const char *const texts[] = {"192.0.2.1", "192.0.2.2", "2001:db8::1",
                                        "2001:db8:0:1::1"};
    struct network same = at("2001:db8::ffff:1");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct network source = at(texts[i]);

        for (unsigned j = 0; j < 16; j++) {
            assert_true(waiting_enter_source(&stage.waiting, &source, 0,
                                             waiting_source_share(MAX)));
        }
        assert_false(waiting_enter_source(&stage.waiting, &source, 0,
                                          waiting_source_share(MAX)));
        assert_false(waiting_enter_source(&stage.waiting, &source, 0,
                                          waiting_source_share(MAX)));
        assert_true(waiting_enter_source(&stage.waiting, &source, 0, 17));
        waiting_leave_source(&stage.waiting, &source, 0);
        assert_false(waiting_enter_source(&stage.waiting, &source, 0,
                                          waiting_source_share(MAX)));
    }
    assert_false(waiting_enter_source(&stage.waiting, &same, 0,
                                      waiting_source_share(MAX)));
    waiting_leave_source(&stage.waiting, &same, 0);
    assert_true(waiting_enter_source(&stage.waiting, &same, 0,
                                     waiting_source_share(MAX)));
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct network source = at(texts[i]);

        for (unsigned j = 0; j < 16; j++) {
            waiting_leave_source(&stage.waiting, &source, 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quarter_may_wait_at_all_workers_together),
        cmocka_unit_test(the_least_share_is_sixteen),
        cmocka_unit_test(the_oldest_of_all_workers_goes),
        cmocka_unit_test(a_source_has_a_share_of_its_own),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
