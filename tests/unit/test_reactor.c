/* A turn of a plane's loop looks at nothing that has not happened: not at its
 * listeners, sessions or generations, of which there may be thousands. One that
 * takes long is reported. */
#include "proxy/reactor.h"

#include "base/log.h"
#include "proxy/udp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* A list that must not be walked: its links are in memory without access. */
struct forbidden {
    struct list *head;
    struct list before;
};

static void forbid(struct forbidden *forbidden, struct list *head, void *memory)
{
    *forbidden = (struct forbidden){.head = head, .before = *head};
    head->next = head->prev = memory;
}

static void allow(const struct forbidden *forbidden)
{
    *forbidden->head = forbidden->before;
}

static void a_turn_walks_nothing_that_has_not_happened(void **state)
{
    static struct shared shared;
    static struct reactor reactor;
    struct plane *plane = &reactor.plane;
    struct forbidden lists[4];
    struct mailbox control;
    void *memory =
        mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mailbox_open(&control), 0);
    assert_int_equal(shared_init(&shared, 4096, 1 << 20, 1, &control), 0);
    assert_int_equal(reactor_open(&reactor, 0, &shared, NULL), 0);
    plane->udp = udp_create(1);
    assert_non_null(plane->udp);
    forbid(&lists[0], &plane->listeners, memory);
    forbid(&lists[1], &plane->holds, memory);
    forbid(&lists[2], &plane->udp->everyone.idle, memory);
    forbid(&lists[3], &plane->waiting.places, memory);
    for (unsigned turn = 0; turn < 5; turn++) {
        loop_turn(&plane->loop, 0);
    }
    /* A session has ended while accepting is paused. */
    plane->accept_paused = plane->accept_resume = plane->accept_due = true;
    loop_turn(&plane->loop, 0);
    assert_false(plane->accept_paused);
    /* Descriptors are short. */
    plane_report_shortage(plane, EMFILE);
    loop_turn(&plane->loop, 0);
    assert_true(plane->accept_paused);
    for (unsigned i = 0; i < 4; i++) {
        allow(&lists[i]);
    }
    reactor_close(&reactor);
    shared_fini(&shared);
    mailbox_close(&control);
    munmap(memory, 4096);
}

/* A command that takes long. */
static void dawdle(struct loop *loop, struct message *message)
{
    (void)loop, (void)message;
    usleep(LOOP_LONG_TURN_NS / 1000);
}

static void long_turns_have_one_line_a_second(void **state)
{
    struct message command = {.type = PLANE_MESSAGE_TYPES};
    static struct shared shared;
    static struct reactor reactor;
    struct mailbox control;
    char text[512];
    int ends[2];
    ssize_t got;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_open(ends[1], false);
    assert_int_equal(mailbox_open(&control), 0);
    assert_int_equal(shared_init(&shared, 4096, 1 << 20, 1, &control), 0);
    assert_int_equal(reactor_open(&reactor, 0, &shared, dawdle), 0);
    for (unsigned turn = 0; turn < 2; turn++) {
        mailbox_post(&reactor.plane.loop.mailbox, &command);
        loop_turn(&reactor.plane.loop, 0);
    }
    assert_true(shared.longest_turn_ns >= LOOP_LONG_TURN_NS);
    got = read(ends[0], text, sizeof(text) - 1);
    assert_true(got > 0);
    text[got] = '\0';
    assert_string_equal(strchr(text, '\n'), "\n");
    assert_ptr_equal(strstr(text, "long turn worker=0 took_ms="), text);
    assert_non_null(strstr(text, " count=1\n"));
    reactor_close(&reactor);
    shared_fini(&shared);
    mailbox_close(&control);
    log_open(STDERR_FILENO, false);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_walks_nothing_that_has_not_happened),
        cmocka_unit_test(long_turns_have_one_line_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
