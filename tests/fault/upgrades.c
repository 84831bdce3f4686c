#include "upgrades.h"

#include "control.h"
#include "courier.h"
#include "fail.h"
#include "planes.h"
#include "rig.h"
#include "succession.h"
#include "wrap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of events, timers and messages in the old process's loop. */
enum { KIND_UPGRADE = 1 };

/* A tag that no version has. */
#define PLAIN 0x7001

static struct upgrades_count count;

static void must(bool it)
{
    if (!it) {
        abort(); /* the test's own fault, or a hang */
    }
}

struct upgrades_count upgrades_count(void)
{
    return count;
}

static uint64_t took_ns;  /* in this run, before */
static uint64_t begun_ns; /* the one that is under way; 0: none */

void upgrades_begin_run(void)
{
    took_ns = begun_ns = 0;
}

uint64_t upgrades_ms(void)
{
    return (took_ns + (begun_ns == 0 ? 0 : kernel_now_ns() - begun_ns)) /
           NS_PER_MS;
}

bool upgrades_under_way(void)
{
    return begun_ns != 0;
}

/* ---- the old process's control thread ---------------------------------- */

static void on_event(struct loop *loop, uint32_t index, uint32_t instance,
                     uint32_t events)
{
    (void)loop;
    (void)instance;
    (void)events;
    upgrade_event(&scene.upgrade, index);
}

static void on_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)loop;
    (void)timer;
    upgrade_timer(&scene.upgrade);
}

static void on_message(struct loop *loop, struct message *message)
{
    struct report *report = container_of(message, struct report, message);

    (void)loop;
    upgrade_reported(&scene.upgrade, report);
    free(report);
}

static const struct loop_owner owner = {
    .event = {[KIND_UPGRADE] = on_event},
    .timer = {[KIND_UPGRADE] = on_timer},
    .message = on_message,
};

static void on_ended(void *arg, bool left)
{
    (void)arg;
    (void)left;
}

/* Everybody but the new process's control thread does something. */
static void turn(void)
{
    fail_hold(true);
    if (kernel_chance(3)) {
        planes_turn((unsigned)kernel_below(planes_count()), 1);
        fail_memory_odds(kernel_faults()->memory);
    }
    fail_hold(false);
    count.sessions += succession_work();
    loop_turn(&scene.old_loop, 0);
    must(++scene.turn < 100000);
}

/* ---- the new process's control thread ---------------------------------- */

static void idle(void)
{
    if (!scene.started && scene.turn >= scene.trouble_turn) {
        switch (scene.trouble) {
        case NEW_DIES:
            longjmp(scene.killed, 1);
        case NEW_HANGS:
            rig.stalled = true; /* what is frozen keeps its blocks */
            while (!scene.is_killed) {
                turn();
                kernel_sleep(kernel_now_ns() + 50 * NS_PER_MS);
            }
            break;
        case TOLD_TO_STOP:
            upgrade_abandon(&scene.upgrade, "told to stop");
            break;
        default:
            break;
        }
    }
    if (!scene.is_killed) {
        turn();
    }
    if (scene.is_killed) { /* at once, before it notices anything */
        longjmp(scene.killed, 1);
    }
}

static void compare(const struct generation *mine)
{
    const struct generation *theirs = control_current();

    for (size_t i = 0; i < mine->service_count; i++) {
        const struct service_state *one = mine->services[i].state;
        const struct service_state *two = theirs->services[i].state;
        struct service_sums a, b;

        service_counters_sum(one->counters, one->workers + 1, &a);
        service_counters_sum(two->counters, two->workers + 1, &b);
        if (strcmp(one->name, two->name) != 0 || a.accepted != b.accepted ||
            memcmp(a.bytes, b.bytes, sizeof(a.bytes)) != 0 ||
            memcmp(a.ended, b.ended, sizeof(a.ended)) != 0) {
            rig_fail("the new process has other counters of %s", one->name);
        }
    }
}

/* As if its configuration had one service less: those of its sessions stay. */
static void lack_a_service(struct takeover *takeover)
{
    size_t at = kernel_below(scene.generations.prepared->service_count);

    if (kernel_chance(6) && at < takeover->ledger.service_count) {
        takeover->ledger.services[at].service = NULL;
        scene.lacks = true;
    }
}

/* The order is that of control/daemon. */
static const char *take_over(void)
{
    struct takeover *takeover = &scene.takeover;
    const char *error =
        takeover_begin(takeover, &scene.names, &scene.inherited);

    if (error == NULL) {
        error = takeover_read(takeover, &scene.generations);
    }
    if (error == NULL) {
        lack_a_service(takeover);
        error = takeover_freeze(takeover);
    }
    if (error == NULL) {
        error = takeover_move(takeover, NULL);
    }
    if (error != NULL) {
        takeover_fail(takeover, error);
        return error;
    }
    takeover_start(takeover);
    return NULL;
}

/* What the end of a process frees. */
static void free_new(void)
{
    struct session_taker *taker = &scene.takeover.taker;
    struct message *message;

    for (unsigned i = 0; i < scene.take_count; i++) {
        handover_free_batch(scene.takes[i]);
        free(scene.answers[i]);
    }
    scene.take_count = 0;
    if (taker->batches != NULL && taker->batches[0] != NULL) {
        handover_free_batch(taker->batches[0]);
    }
    session_taker_free(taker);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        free(taker->bytes[i].bytes);
    }
    while ((message = mailbox_next(&scene.new_loop.mailbox)) != NULL) {
        struct report *report = container_of(message, struct report, message);

        if (report->batch != NULL) {
            handover_free_batch(report->batch);
        }
        free(report);
    }
    handed_free(&scene.takeover.handed);
    ledger_reader_fini(&scene.takeover.ledger);
    *taker = (struct session_taker){.count = 0};
}

static void die(void)
{
    uint64_t one = 1;

    succession_end_new();
    free_new();
    if (scene.upgrade.process.pid != 0) {
        (void)!write(scene.pid_fd, &one, sizeof(one));
    }
}

static void run_new(void)
{
    scene.takeover.loop = &scene.new_loop;
    scene.takeover.workers = &scene.new_workers;
    scene.takeover.channel = scene.channel;
    scene.running = true;
    if (setjmp(scene.killed) == 0) {
        (void)!take_over();
    }
    scene.running = false;
    if (!scene.started) {
        die();
    }
}

/* ---- a newer version --------------------------------------------------- */

/* Each message has a record more, and each session a part. */
static void make_newer(unsigned char *bytes, size_t *size, size_t most)
{
    static unsigned char longer[CHANNEL_BYTES_MAX];
    struct record_reader reader = {bytes, *size};
    struct record_writer writer = {longer, sizeof(longer), 0, false};
    struct record record;

    record_put_text(&writer, PLAIN, "more");
    while (record_next(&reader, &record) > 0) {
        size_t begun;

        if (record.tag != UPGRADE_SESSION && record.tag != UPGRADE_ANNOUNCED) {
            record_put(&writer, record.tag, record.value, record.count);
            continue;
        }
        begun = record_begin(&writer, record.tag);
        if (!writer.failed && record.count <= writer.size - writer.used) {
            memcpy(longer + writer.used, record.value, record.count);
            writer.used += record.count;
        }
        record_put_number(&writer, PLAIN, 1);
        record_end(&writer, begun);
    }
    if (!writer.failed && writer.used <= most) {
        memcpy(bytes, longer, writer.used);
        *size = writer.used;
    }
}

/* ---- all --------------------------------------------------------------- */

static void plan(void)
{
    static const enum trouble late[] = {NEW_DIES, NEW_HANGS, TOLD_TO_STOP};
    unsigned n = (unsigned)between(1, 12);

    scene.trouble = kernel_chance(2)
                        ? NO_TROUBLE
                        : (enum trouble)between(NEW_DIES, TROUBLES - 1);
    scene.trouble_turn = UINT32_MAX;
    for (size_t i = 0; i < ARRAY_LEN(late); i++) {
        if (scene.trouble == late[i]) {
            scene.trouble_turn = (unsigned)kernel_below(40);
        }
    }
    courier_fail(scene.trouble == SEND_FAILS ? n : 0,
                 scene.trouble == NEW_LACKS_DESCRIPTORS ? 1 + n % 3 : 0);
    courier_rewrite(kernel_chance(3) ? make_newer : NULL);
    if (scene.trouble == MEMORY_FAILS) {
        fail_arm(FAIL_MEMORY, n * 2, kernel_chance(4));
    }
    fail_memory_odds(kernel_faults()->memory);
}

static void hold_generations(int by)
{
    struct generations *generations = &scene.changes.generations;

    for (size_t i = 0; i < generations->count; i++) {
        generations->alive[i]->holders += (unsigned)by;
    }
}

static void open_old(unsigned from)
{
    struct generations *generations = &scene.changes.generations;

    scene.old_list[0] = (struct worker *)scene.from;
    scene.old_workers = (struct workers){.count = 1, .list = scene.old_list};
    generations->alive = scene.alive;
    generations->count = control_alive();
    must(generations->count <= ARRAY_LEN(scene.alive));
    for (unsigned i = 0; i < generations->count; i++) {
        scene.alive[i] = control_alive_at(i);
    }
    generations->applied = control_current()->workers + 1;
    hold_generations(1);
    scene.http.server.listener.fd = -1;
    scene.systemd.fd = -1;
    scene.upgrade = (struct upgrade){
        .loop = &scene.old_loop,
        .changes = &scene.changes,
        .workers = &scene.old_workers,
        .http = &scene.http,
        .systemd = &scene.systemd,
        .inherited = &scene.inherited,
        .ended = on_ended,
        .kind = KIND_UPGRADE,
    };
    upgrade_init(&scene.upgrade);
    (void)from;
}

/* All loops are open; false: there are no descriptors. */
static bool open_loops(void)
{
    if (loop_open(&scene.old_loop, &owner) < 0) {
        return false;
    }
    if (loop_open(&scene.new_loop, &owner) < 0) {
        loop_close(&scene.old_loop);
        return false;
    }
    return true;
}

/* The rest of both: the old process tells what it has counted, and ends. */
static void finish(void)
{
    while (upgrade_under_way(&scene.upgrade) || scene.upgrade.due > 0 ||
           scene.depart_due || scene.thaw_old_due || scene.thaw_due ||
           scene.announce_due || scene.freeze_due) {
        turn();
    }
    fail_memory_odds(0);
    (void)fail_disarm();
    courier_fail(0, 0);
    if (scene.started) {
        must(scene.upgrade.phase == UPGRADE_LEFT);
        count.good++;
        while (!upgrade_finish(&scene.upgrade)) {
            takeover_event(&scene.takeover);
        }
        takeover_event(&scene.takeover);
        must(scene.takeover.goodbye);
        if (!scene.lacks) {
            compare(scene.generations.prepared);
        }
    } else {
        must(scene.upgrade.phase == UPGRADE_NONE);
    }
    takeover_fini(&scene.takeover);
    upgrade_fini(&scene.upgrade);
}

void upgrades_run(unsigned from, const char *text, size_t length)
{
    struct generation *mine;

    memset(&scene, 0, sizeof(scene));
    scene.channel = -1;
    scene.from = planes_at(from);
    scene.to = planes_at((from + 1) % planes_count());
    if (!open_loops()) {
        return;
    }
    begun_ns = kernel_now_ns();
    mine = generation_create(control_parse(text, length), NULL, planes_count(),
                             64, NULL);
    must(mine != NULL);
    scene.generations.prepared = mine;
    scene.new_list[0] = (struct worker *)scene.to;
    scene.new_workers = (struct workers){.count = 1, .list = scene.new_list};
    open_old(from);
    count.begun++;
    plan();
    upgrade_begin(&scene.upgrade);
    if (scene.channel >= 0 && scene.upgrade.phase != UPGRADE_NONE) {
        wrap_set_idle(idle);
        run_new();
        wrap_set_idle(NULL);
    } else {
        succession_end_new();
    }
    finish();
    courier_rewrite(NULL);
    hold_generations(-1);
    loop_close(&scene.old_loop);
    loop_close(&scene.new_loop);
    generation_destroy(mine);
    took_ns += kernel_now_ns() - begun_ns;
    begun_ns = 0;
}
