#include "planes.h"

#include "fail.h"
#include "kernel.h"

#include "proxy/reactor.h"
#include "proxy/session_image.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK_BYTES 4096u

static struct reactor planes[PLANES_MAX];
static unsigned plane_count;
static struct shared shared;
static struct mailbox control;
static bool draining;
static uint64_t handed;

/* Commands go through the mailboxes, as a worker's do: they come after what
 * other planes have handed over before. */
enum { COMMAND_APPLY = PLANE_MESSAGE_TYPES, COMMAND_DRAIN };

struct planes_gift {
    struct message message;
    struct reactor_change change;
};

static struct message drain[PLANES_MAX];

static void must(bool it)
{
    if (!it) {
        abort(); /* the test's own fault */
    }
}

static void on_command(struct loop *loop, struct message *message)
{
    if (message->type == COMMAND_DRAIN) {
        reactor_drain(reactor_of(loop));
    } else {
        struct planes_gift *gift =
            container_of(message, struct planes_gift, message);

        reactor_apply(reactor_of(loop), &gift->change);
        free(gift);
    }
}

/* The plane reads its mailbox to this command, which is the last in it. */
static void obey(unsigned which, struct message *message, int command,
                 uint64_t epoch)
{
    struct loop *loop = &planes[which].plane.loop;
    struct message *next;

    message->type = command;
    mailbox_post_epoch(&loop->mailbox, message, epoch);
    while ((next = mailbox_next(&loop->mailbox)) != NULL) {
        loop->owner->message(loop, next);
    }
}

void planes_open(unsigned count, uint64_t blocks, uint32_t max_connections)
{
    plane_count = count;
    draining = false;
    must(mailbox_open(&control) == 0);
    must(shared_init(&shared, BLOCK_BYTES, 2 * blocks * BLOCK_BYTES, count,
                     &control) == 0);
    atomic_store(&shared.max_connections, max_connections);
    for (unsigned i = 0; i < count; i++) {
        must(reactor_open(&planes[i], i, &shared, on_command) == 0);
    }
}

static void free_reports(void)
{
    struct message *message;

    while ((message = mailbox_next(&control)) != NULL) {
        free(container_of(message, struct report, message));
    }
}

void planes_close(void)
{
    for (unsigned i = 0; i < plane_count; i++) {
        reactor_close(&planes[i]);
        handed += spread_handed(planes[i].plane.load);
    }
    free_reports();
    mailbox_close(&control);
    shared_fini(&shared);
    plane_count = 0;
}

uint64_t planes_handed(void)
{
    return handed;
}

struct plane *planes_at(unsigned which)
{
    return &planes[which].plane;
}

unsigned planes_count(void)
{
    return plane_count;
}

struct planes_gift *planes_prepare(unsigned which,
                                   struct generation *generation)
{
    struct planes_gift *gift = calloc(1, sizeof(*gift));

    if (gift == NULL || reactor_prepare(&gift->change, generation, which) < 0) {
        free(gift);
        return NULL;
    }
    return gift;
}

void planes_apply(unsigned which, struct planes_gift *gift)
{
    obey(which, &gift->message, COMMAND_APPLY,
         gift->change.hold->generation->number);
}

void planes_turn(unsigned which, int limit_ms)
{
    fail_memory_odds(kernel_faults()->memory);
    loop_turn(&planes[which].plane.loop, limit_ms);
    fail_memory_odds(0);
}

/* Duplicates *fd in place. */
static bool duplicate(int *fd)
{
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
    return *fd >= 0;
}

/* The image with descriptors of its own. False: there are none left. */
static bool duplicate_all(struct session_image *image)
{
    int *fds[6];
    unsigned count = 0;
    unsigned done = 0;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        fds[count++] = &image->sock[i].fd;
        if (image->relay[i].pipe.read_fd >= 0) {
            fds[count++] = &image->relay[i].pipe.read_fd;
            fds[count++] = &image->relay[i].pipe.write_fd;
        }
    }
    while (done < count && duplicate(fds[done])) {
        done++;
    }
    if (done == count) {
        return true;
    }
    while (done-- > 0) {
        close(*fds[done]);
    }
    return false;
}

static void move(struct plane *from, struct plane *to, struct session *session)
{
    struct session_image image;

    if (!session_freeze(from, session, &image)) {
        return;
    }
    if (duplicate_all(&image) && session_arrive(to, &image) == 0) {
        session_depart(from, session);
    } else {
        session_thaw(from, session);
    }
}

void planes_move(unsigned from)
{
    struct plane *plane = &planes[from].plane;
    struct plane *to = &planes[(from + 1) % plane_count].plane;
    struct session *session;

    fail_memory_odds(kernel_faults()->memory);
    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        move(plane, to, session);
    }
    fail_memory_odds(0);
}

void planes_drain(void)
{
    draining = true;
    for (unsigned i = 0; i < plane_count; i++) {
        obey(i, &drain[i], COMMAND_DRAIN, 0);
    }
}

bool planes_draining(void)
{
    return draining;
}

void planes_reset_all(void)
{
    for (unsigned i = 0; i < plane_count; i++) {
        reactor_reset_all(&planes[i]);
    }
}

void planes_sweep(void)
{
    for (unsigned i = 0; i < plane_count; i++) {
        reactor_sweep(&planes[i]);
    }
}

unsigned planes_take_reports(void (*done)(struct generation *generation))
{
    struct message *message;
    unsigned drained = 0;

    while ((message = mailbox_next(&control)) != NULL) {
        struct report *report = container_of(message, struct report, message);

        drained += message->type == REPORT_DRAINED;
        if (message->type == REPORT_GENERATION_DONE) {
            done(report->generation);
        }
        free(report);
    }
    return drained;
}

unsigned planes_sessions(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < plane_count; i++) {
        count += planes[i].plane.sessions.lent;
    }
    return count;
}

int planes_epoll(unsigned which)
{
    return planes[which].plane.loop.poller.fd;
}

static const char *plane_left_over(struct plane *plane)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (atomic_load(&plane->memory[i].cache.lent) != 0) {
            return "a block is still lent";
        }
    }
    for (unsigned i = 0; i < PLANE_QUEUES; i++) {
        /* The end of a sweep outlasts the last session. */
        if (!list_empty(&plane->retry[i]) ||
            (i != PLANE_SWEEPS && !list_empty(&plane->loop.runnable[i]))) {
            return "something is still queued";
        }
    }
    if (spread_active(plane->load) != 0 ||
        atomic_load(&plane->load->coming) != 0) {
        return "the spread still counts a session";
    }
    pool_check(&plane->sessions);
    wheel_check(&plane->loop.wheel);
    return NULL;
}

const char *planes_left_over(void)
{
    for (unsigned i = 0; i < plane_count; i++) {
        const char *what = plane_left_over(&planes[i].plane);

        if (what != NULL) {
            return what;
        }
    }
    slab_check(&shared.slab[UP]);
    slab_check(&shared.slab[DOWN]);
    return atomic_load(&shared.active) != 0
               ? "connections of the process are still counted"
               : NULL;
}
