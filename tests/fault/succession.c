#include "succession.h"

#include "control.h"
#include "planes.h"
#include "rig.h"
#include "wrap.h"

#include "proxy/session_record.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Turns that a freeze waits at most. */
#define FREEZE_LATE 120

struct succession scene;

static void must(bool it)
{
    if (!it) {
        abort(); /* the test's own fault */
    }
}

/* ---- processes --------------------------------------------------------- */

CALL(int, spawn, const struct spawn *spawn, struct spawned *process)
{
    int ends[2];

    (void)spawn;
    *process = (struct spawned){0, -1, -1, -1};
    if (channel_open(ends) < 0) {
        return -1;
    }
    process->channel = ends[0];
    scene.channel = ends[1];
    process->pid_fd = eventfd(0, 0);
    process->words_fd = process->pid_fd < 0 ? -1 : eventfd(0, 0);
    if (process->words_fd < 0) {
        close(ends[1]);
        scene.channel = -1;
        return -1;
    }
    scene.pid_fd = process->pid_fd;
    process->pid = 1;
    return 0;
}

CALL(void, spawn_reap, struct spawned *process, char reason[SPAWN_REASON_MAX])
{
    strcpy(reason, "it ended");
    process->pid = 0;
}

/* Both processes count on the same upstreams here, so that no place is held
 * elsewhere. */
static void depart_one(struct plane *plane, struct session *session)
{
    struct upstream *upstream = session->upstream;

    session_depart_process(plane, session);
    atomic_fetch_sub(&upstream->elsewhere, 1);
}

void succession_end_new(void)
{
    struct session *session;
    struct file *file;

    for (uint32_t i = 0; (session = pool_next(&scene.to->sessions, &i)) != NULL;
         i++) {
        if (session->phase == SESSION_FROZEN && session->upstream == NULL) {
            session_depart(scene.to, session);
        } else if (session->phase == SESSION_FROZEN) {
            depart_one(scene.to, session);
        }
    }
    for (unsigned i = 0; (file = file_next(&i)) != NULL; i++) {
        if (file->guest) {
            file_close(file);
        }
    }
    if (scene.channel >= 0) {
        close(scene.channel);
        scene.channel = scene.takeover.channel = -1;
    }
}

CALL(void, spawn_kill, struct spawned *process)
{
    if (process->pid == 0) {
        return;
    }
    process->pid = 0;
    if (!scene.running) {
        succession_end_new();
        return;
    }
    scene.is_killed = true; /* where it waits */
}

/* ---- workers ----------------------------------------------------------- */

static bool is_old(const struct worker *worker)
{
    return worker == scene.old_list[0];
}

CALL(struct handover *, worker_handover, struct worker *worker)
{
    must(is_old(worker));
    return &scene.handover;
}

CALL(int, worker_announce, struct worker *worker)
{
    must(is_old(worker));
    scene.announced = report_create(REPORT_ANNOUNCED, 0);
    scene.announce_due = scene.announced != NULL;
    return scene.announce_due ? 0 : -1;
}

CALL(int, worker_freeze, struct worker *worker)
{
    struct report *report = report_create(REPORT_FROZEN, 0);

    if (report == NULL) {
        return -1;
    }
    if (is_old(worker)) {
        scene.frozen = report;
        scene.freeze_due = true;
        scene.freeze_turn =
            scene.turn +
            (kernel_chance(12) ? (unsigned)kernel_below(FREEZE_LATE) : 0);
    } else { /* it has no sessions of its own */
        mailbox_post(&scene.new_loop.mailbox, &report->message);
    }
    return 0;
}

CALL(bool, worker_thaw, struct worker *worker)
{
    struct report *report = report_create(REPORT_THAWED, 0);

    if (is_old(worker)) {
        scene.thawed_old = report;
        scene.thaw_old_due = true;
    } else {
        scene.thawed = report;
        scene.thaw_due = true;
        scene.started = true;
    }
    return report != NULL;
}

CALL(void, worker_depart, struct worker *worker)
{
    must(is_old(worker));
    scene.depart_due = true;
}

/* The same service and upstream in the plane that takes the session. */
static void find_places(struct session_image *image)
{
    const struct generation *generation = control_of_plane(scene.to->number);
    const char *name = image->service->state->name;
    const char *upstream_text = image->upstream->text;

    for (size_t i = 0; i < generation->service_count; i++) {
        struct service *service = &generation->services[i];

        for (uint32_t j = 0; strcmp(service->state->name, name) == 0 &&
                             j < service->upstream_count;
             j++) {
            if (strcmp(service->upstreams[j]->text, upstream_text) == 0) {
                image->service = service;
                image->upstream = service->upstreams[j];
                return;
            }
        }
    }
    must(false);
}

CALL(int, worker_take, struct worker *worker, struct handover_batch *batch)
{
    struct report *report = report_create(REPORT_TAKEN, 0);

    must(!is_old(worker));
    if (report == NULL) {
        return -1;
    }
    must(scene.take_count < TAKES_MAX);
    for (uint32_t i = 0; i < batch->count; i++) {
        find_places(&batch->list[i].image);
    }
    report->batch = batch;
    scene.answers[scene.take_count] = report;
    scene.takes[scene.take_count++] = batch;
    return 0;
}

static void announce(void)
{
    scene.announce_due = false;
    scene.announced->failed = !handover_announce(scene.from, &scene.handover);
    mailbox_post(&scene.old_loop.mailbox, &scene.announced->message);
}

static void freeze(void)
{
    scene.freeze_due = false;
    scene.frozen->frozen_ns = kernel_now_ns();
    scene.frozen->failed = !handover_freeze(scene.from, &scene.handover);
    mailbox_post(&scene.old_loop.mailbox, &scene.frozen->message);
}

/* As handover_depart, but the plane goes on. */
static unsigned depart(void)
{
    unsigned count = 0;

    scene.depart_due = false;
    for (uint32_t i = 0; i < scene.handover.count; i++) {
        if (!scene.handover.list[i].stays) {
            depart_one(scene.from, scene.handover.list[i].session);
            count++;
        }
    }
    handover_thaw(scene.from, &scene.handover);
    return count;
}

static void thaw_old(void)
{
    scene.thaw_old_due = false;
    handover_thaw(scene.from, &scene.handover);
    if (scene.thawed_old != NULL) {
        mailbox_post(&scene.old_loop.mailbox, &scene.thawed_old->message);
    }
}

static void take(void)
{
    struct report *report = scene.answers[0];

    handover_take(scene.to, scene.takes[0]);
    scene.take_count--;
    memmove(scene.takes, scene.takes + 1,
            scene.take_count * sizeof(scene.takes[0]));
    memmove(scene.answers, scene.answers + 1,
            scene.take_count * sizeof(scene.answers[0]));
    mailbox_post(&scene.new_loop.mailbox, &report->message);
}

static void thaw_new(void)
{
    struct handover none = {.list = NULL};
    struct file *file;

    scene.thaw_due = false;
    for (unsigned i = 0; (file = file_next(&i)) != NULL; i++) {
        file->guest = false;
    }
    handover_thaw(scene.to, &none);
    if (scene.thawed != NULL) {
        mailbox_post(&scene.new_loop.mailbox, &scene.thawed->message);
    }
}

unsigned succession_work(void)
{
    unsigned count = 0;

    if (scene.announce_due && kernel_chance(2)) {
        announce();
    }
    if (scene.freeze_due && scene.turn >= scene.freeze_turn &&
        kernel_chance(2)) {
        freeze();
    }
    if (scene.thaw_old_due && !scene.announce_due && !scene.freeze_due &&
        kernel_chance(2)) {
        thaw_old();
    }
    if (scene.depart_due && kernel_chance(2)) {
        count = depart();
    }
    if (scene.take_count > 0 && kernel_chance(2)) {
        take();
    } else if (scene.take_count == 0 && scene.thaw_due && kernel_chance(2)) {
        thaw_new();
    }
    return count;
}

/* ---- small messages ------------------------------------------------------ */

CALL(bool, upgrade_write_sessions, struct upgrade_cursor *cursor,
     struct workers *workers, unsigned tag, struct record_writer *writer,
     struct channel_message *message)
{
    size_t size = writer->size;
    bool complete;

    writer->size = writer->used + SESSION_RECORD_BYTES_MAX + 1024 +
                   (kernel_chance(2) ? kernel_below(4096) : 0);
    complete =
        __real_upgrade_write_sessions(cursor, workers, tag, writer, message);
    writer->size = size;
    return complete;
}

CALL(bool, ledger_write, struct ledger *ledger, struct record_writer *writer)
{
    size_t size = writer->size;
    bool complete;

    writer->size = 1024 + kernel_below(8192);
    complete = __real_ledger_write(ledger, writer);
    writer->size = size;
    return complete;
}

/* ---- what is not there -------------------------------------------------- */

CALL(uint32_t, health_streak, const struct health *health,
     const struct upstream *upstream)
{
    return health == NULL ? 0 : __real_health_streak(health, upstream);
}

CALL(void, health_restore_streak, struct health *health,
     const struct upstream *upstream, uint32_t streak)
{
    if (health != NULL) {
        __real_health_restore_streak(health, upstream, streak);
    }
}

CALL(void, http_server_leave, struct http_server *server)
{
    (void)server; /* there is none */
}

CALL(void, listeners_disown, struct generation *generation)
{
    (void)generation; /* the sockets stay this process's */
}
