/* Messages that belong to an epoch of the reader's. */
#include "net/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_message_within_an_epoch_is_read_within_it(void **state)
{
    struct message first = {.type = 1}, within = {.type = 2};
    struct message second = {.type = 3}, late = {.type = 4};
    struct mailbox mailbox;

    (void)state;
    assert_int_equal(mailbox_open(&mailbox), 0);
    assert_false(mailbox_post_within(&mailbox, &within, 1));
    mailbox_post_epoch(&mailbox, &first, 1);
    assert_false(mailbox_post_within(&mailbox, &within, 2));
    assert_true(mailbox_post_within(&mailbox, &within, 1));
    mailbox_post_epoch(&mailbox, &second, 2);
    assert_false(mailbox_post_within(&mailbox, &late, 1));
    assert_ptr_equal(mailbox_next(&mailbox), &first);
    assert_ptr_equal(mailbox_next(&mailbox), &within);
    assert_ptr_equal(mailbox_next(&mailbox), &second);
    assert_null(mailbox_next(&mailbox));
    mailbox_close(&mailbox);
}

static void after_the_last_epoch_nothing_is_posted_within_one(void **state)
{
    struct message message = {.type = 1}, end = {.type = 2};
    struct mailbox mailbox;

    (void)state;
    assert_int_equal(mailbox_open(&mailbox), 0);
    mailbox_post_epoch(&mailbox, &message, 1);
    mailbox_post_epoch(&mailbox, &end, 0);
    /* Posted again while it is there, it stays where it is. */
    mailbox_post_epoch(&mailbox, &end, 0);
    assert_ptr_equal(mailbox_next(&mailbox), &message);
    assert_false(mailbox_post_within(&mailbox, &message, 1));
    assert_ptr_equal(mailbox_next(&mailbox), &end);
    assert_null(mailbox_next(&mailbox));
    mailbox_close(&mailbox);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_within_an_epoch_is_read_within_it),
        cmocka_unit_test(after_the_last_epoch_nothing_is_posted_within_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
