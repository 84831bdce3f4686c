/* A turn of a plane's loop looks at nothing that has not happened: not at its
 * listeners, sessions or generations, of which there may be thousands. */
#include "proxy/reactor.h"

#include "proxy/udp.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_walks_nothing_that_has_not_happened),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
