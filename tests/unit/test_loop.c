/* The queues of a loop, with an owner of three kinds; and its timers. */
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/eventfd.h>
#include <unistd.h>

enum { HANDLERS = 3 };

static struct room {
    struct loop loop;
    struct list link[HANDLERS];
    char log[32];     /* a letter for each call: runs small, frees capital */
    bool again;       /* a run puts its link on the queue again */
    bool next_queue;  /* a run puts the link of the next queue on it */
    unsigned may_run; /* links of queue 0 that run in this turn */
    struct list more[HANDLERS]; /* further links of queue 0 */
    unsigned long_turns;
    uint64_t took_ns;
} room;

static void note(char letter)
{
    size_t length = strlen(room.log);

    assert_true(length + 1 < sizeof(room.log));
    room.log[length] = letter;
}

static void run(struct loop *loop, struct list *link)
{
    size_t queue = (size_t)(link - room.link);

    note((char)('a' + queue));
    if (room.again) {
        loop_run_later(loop, queue, link);
    }
    if (room.next_queue && queue + 1 < HANDLERS) {
        loop_run_later(loop, queue + 1, &room.link[queue + 1]);
    }
}

static void run_other(struct loop *loop, struct list *link)
{
    assert_ptr_equal(link, &room.link[1]);
    run(loop, link);
}

static void free_deferred(struct loop *loop, struct list *link)
{
    (void)loop;
    note((char)('A' + (link - room.link)));
}

static void batch_end(struct loop *loop)
{
    (void)loop;
    note('.');
}

/* The owner of a queue that may run few links in a turn. */
static bool may_run(struct loop *loop)
{
    (void)loop;
    return room.may_run-- > 0;
}

static void run_more(struct loop *loop, struct list *link)
{
    note((char)('0' + (link - room.more)));
    if (room.again) {
        loop_run_later(loop, 0, link);
    }
}

static void long_turn(struct loop *loop, uint64_t took_ns)
{
    (void)loop;
    room.long_turns++;
    room.took_ns = took_ns;
}

static void run_slowly(struct loop *loop, struct list *link)
{
    (void)loop, (void)link;
    usleep(LOOP_LONG_TURN_NS / 1000);
}

static const struct loop_owner owner = {
    .run = {run, run_other, run},
    .free_deferred = {free_deferred, NULL, free_deferred},
    .batch_end = batch_end,
};

static int set_up(void **state)
{
    (void)state;
    memset(&room, 0, sizeof(room));
    return loop_open(&room.loop, &owner);
}

static int tear_down(void **state)
{
    (void)state;
    loop_close(&room.loop);
    return 0;
}

static void queues_run_in_order_of_their_numbers(void **state)
{
    (void)state;
    for (size_t i = HANDLERS; i-- > 0;) {
        loop_run_later(&room.loop, i, &room.link[i]);
    }
    loop_turn(&room.loop, -1);
    assert_string_equal(room.log, "abc.");
}

static void a_link_runs_once_a_turn(void **state)
{
    (void)state;
    room.again = true;
    loop_run_later(&room.loop, 0, &room.link[0]);
    loop_run_later(&room.loop, 2, &room.link[2]);
    loop_turn(&room.loop, -1);
    loop_turn(&room.loop, -1);
    assert_string_equal(room.log, "ac.ac.");
}

static void what_becomes_runnable_in_a_run_waits_for_the_next_turn(void **state)
{
    (void)state;
    room.next_queue = true;
    loop_run_later(&room.loop, 0, &room.link[0]);
    for (unsigned i = 0; i < HANDLERS; i++) {
        loop_turn(&room.loop, -1);
    }
    assert_string_equal(room.log, "a.b.c.");
}

static void deferred_links_are_freed_at_the_end_of_the_turn(void **state)
{
    (void)state;
    loop_free_later(&room.loop, 2, &room.link[2]);
    loop_free_later(&room.loop, 0, &room.link[0]);
    loop_run_later(&room.loop, 1, &room.link[1]);
    loop_turn(&room.loop, -1);
    assert_string_equal(room.log, "b.AC");
    assert_true(list_empty(&room.loop.deferred[2]));
}

static void an_owner_without_queues_turns(void **state)
{
    static const struct loop_owner none = {.batch_end = batch_end};
    struct loop *loop = calloc(1, sizeof(*loop));

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_open(loop, &none), 0);
    loop_turn(loop, 0);
    loop_close(loop);
    free(loop);
    assert_string_equal(room.log, ".");
}

/* ---- late timers ---- */

enum { MANY = POLLER_EVENTS + 100 };

static struct {
    struct wheel_timer timer;
    int fd;
    bool fired;
} watched[MANY];

/* The bytes of that descriptor have come: its timer is off. */
static void on_bytes(struct loop *loop, uint32_t index, uint32_t instance,
                     uint32_t events)
{
    (void)instance, (void)events;
    wheel_disarm(&loop->wheel, &watched[index].timer);
}

static void on_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)loop;
    for (size_t i = 0; i < MANY; i++) {
        watched[i].fired |= &watched[i].timer == timer;
    }
}

/* More descriptors are ready than a batch has room for. */
static void bytes_count_before_timers_that_are_late(void **state)
{
    static const struct loop_owner both = {.event = {[1] = on_bytes},
                                           .timer = {[1] = on_timer}};
    struct loop *loop = calloc(1, sizeof(*loop));

    (void)state;
    assert_non_null(loop);
    assert_int_equal(loop_open(loop, &both), 0);
    for (uint32_t i = 0; i < MANY; i++) {
        watched[i].timer.kind = 1;
        watched[i].fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_true(watched[i].fd >= 0);
        assert_int_equal(
            poller_add(&loop->poller, watched[i].fd, loop_token(1, i, 0)), 0);
        wheel_arm(&loop->wheel, &watched[i].timer, loop->now_ns + NS_PER_MS);
    }
    usleep(30000); /* as a process that was stopped */
    loop_turn(loop, 0);
    for (size_t i = 0; i < MANY; i++) {
        assert_false(watched[i].fired);
        close(watched[i].fd);
    }
    loop_close(loop);
    free(loop);
}

static void links_that_may_not_run_keep_their_places(void **state)
{
    static const struct loop_owner limited = {.run = {run_more},
                                              .may_run = {may_run}};

    (void)state;
    room.loop.owner = &limited;
    room.again = true;
    for (unsigned i = 0; i < HANDLERS; i++) {
        loop_run_later(&room.loop, 0, &room.more[i]);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        room.may_run = 2;
        loop_turn(&room.loop, -1);
        note('.');
    }
    assert_string_equal(room.log, "01.20.12.");
}

/* A turn is reported if it is long, or the longest so far. */
static void long_turns_are_reported(void **state)
{
    static const struct loop_owner slow = {.run = {run_slowly},
                                           .long_turn = long_turn};

    (void)state;
    room.loop.owner = &slow;
    for (unsigned i = 1; i <= 2; i++) {
        loop_run_later(&room.loop, 0, &room.link[0]);
        loop_turn(&room.loop, -1);
        assert_int_equal(room.long_turns, i);
        assert_true(room.took_ns >= LOOP_LONG_TURN_NS);
        assert_true(room.loop.longest_ns >= room.took_ns);
    }
    loop_turn(&room.loop, 0);
    assert_int_equal(room.long_turns, 2);
}

#define ROOM(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM(queues_run_in_order_of_their_numbers),
        ROOM(a_link_runs_once_a_turn),
        ROOM(what_becomes_runnable_in_a_run_waits_for_the_next_turn),
        ROOM(deferred_links_are_freed_at_the_end_of_the_turn),
        ROOM(an_owner_without_queues_turns),
        ROOM(links_that_may_not_run_keep_their_places),
        ROOM(long_turns_are_reported),
        cmocka_unit_test(bytes_count_before_timers_that_are_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
