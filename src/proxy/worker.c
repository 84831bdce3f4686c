#include "proxy/worker.h"

#include "base/clock.h"
#include "proxy/handover.h"
#include "proxy/reactor.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum command_type {
    COMMAND_APPLY = PLANE_MESSAGE_TYPES,
    COMMAND_DRAIN,
    COMMAND_RESET_ALL,
    COMMAND_RESET_EVENLY,
    COMMAND_SWEEP,
    COMMAND_BEAT,
    COMMAND_STOP,
    COMMAND_ANNOUNCE,
    COMMAND_FREEZE,
    COMMAND_THAW,
    COMMAND_DEPART,
    COMMAND_TAKE,
};

struct apply_command {
    struct message message;
    struct reactor_change change;
};

struct take_command {
    struct message message;
    struct handover_batch *batch;
    struct report *answer; /* allocated beforehand */
};

/* Commands without a parameter are messages inside the worker: posting one that
 * is still under way changes nothing. */
struct worker {
    struct reactor reactor;
    struct message drain;
    struct message reset_all;
    struct message reset_evenly;
    uint64_t reset_deadline_ns; /* of reset_evenly */
    struct message sweep;
    struct message beat;
    struct message stop;
    struct message announce;
    struct message freeze;
    struct message thaw;
    struct message depart;
    /* Allocated by the control thread before it posts one of those. */
    struct report *announced;
    struct report *frozen;
    struct report *thawed;    /* NULL: no memory */
    struct handover handover; /* what the last of them has left */
    pthread_t thread;
};

static void answer_beat(const struct plane *plane)
{
    struct report *report = report_create(REPORT_BEAT, plane->number);

    if (report != NULL) {
        shared_report(plane->shared, report);
    }
}

static struct worker *worker_of(struct reactor *reactor)
{
    return container_of(reactor, struct worker, reactor);
}

static void announce(struct worker *worker)
{
    struct report *report = worker->announced;

    worker->announced = NULL;
    report->failed =
        !handover_announce(&worker->reactor.plane, &worker->handover);
    shared_report(worker->reactor.plane.shared, report);
}

static void freeze(struct worker *worker)
{
    struct report *report = worker->frozen;

    worker->frozen = NULL;
    report->frozen_ns = clock_now_ns();
    report->failed =
        !handover_freeze(&worker->reactor.plane, &worker->handover);
    shared_report(worker->reactor.plane.shared, report);
}

static void thaw(struct worker *worker)
{
    struct report *report = worker->thawed;

    worker->thawed = NULL;
    handover_thaw(&worker->reactor.plane, &worker->handover);
    if (report != NULL) {
        shared_report(worker->reactor.plane.shared, report);
    }
}

static void take(struct plane *plane, struct take_command *command)
{
    struct report *report = command->answer;

    handover_take(plane, command->batch);
    report->batch = command->batch;
    free(command);
    shared_report(plane->shared, report);
}

static void on_command(struct loop *loop, struct message *message)
{
    struct reactor *reactor = reactor_of(loop);
    struct apply_command *apply;

    switch ((enum command_type)message->type) {
    case COMMAND_APPLY:
        apply = container_of(message, struct apply_command, message);
        reactor_apply(reactor, &apply->change);
        free(apply);
        break;
    case COMMAND_DRAIN:
        reactor_drain(reactor);
        break;
    case COMMAND_RESET_ALL:
        reactor_reset_all(reactor);
        break;
    case COMMAND_RESET_EVENLY:
        reactor_reset_evenly(reactor,
                             container_of(message, struct worker, reset_evenly)
                                 ->reset_deadline_ns);
        break;
    case COMMAND_SWEEP:
        reactor_sweep(reactor);
        break;
    case COMMAND_BEAT:
        answer_beat(&reactor->plane);
        break;
    case COMMAND_STOP:
        loop_stop(loop);
        break;
    case COMMAND_ANNOUNCE:
        announce(worker_of(reactor));
        break;
    case COMMAND_FREEZE:
        freeze(worker_of(reactor));
        break;
    case COMMAND_THAW:
        thaw(worker_of(reactor));
        break;
    case COMMAND_DEPART:
        handover_depart(&reactor->plane, &worker_of(reactor)->handover);
        break;
    case COMMAND_TAKE:
        take(&reactor->plane,
             container_of(message, struct take_command, message));
        break;
    }
}

static void *run(void *arg)
{
    struct worker *worker = arg;

    loop_run(&worker->reactor.plane.loop);
    return NULL;
}

/* The thread inherits a mask that blocks every signal: they are for the control
 * thread. */
static int start_thread(struct worker *worker)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&worker->thread, NULL, run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

struct worker *worker_start(unsigned number, struct shared *shared)
{
    struct worker *worker = aligned_alloc(
        CACHE_LINE_BYTES, (sizeof(*worker) + CACHE_LINE_BYTES - 1) /
                              CACHE_LINE_BYTES * CACHE_LINE_BYTES);
    int error;

    if (worker == NULL) {
        return NULL;
    }
    *worker = (struct worker){
        .drain.type = COMMAND_DRAIN,
        .reset_all.type = COMMAND_RESET_ALL,
        .reset_evenly.type = COMMAND_RESET_EVENLY,
        .sweep.type = COMMAND_SWEEP,
        .beat.type = COMMAND_BEAT,
        .stop.type = COMMAND_STOP,
        .announce.type = COMMAND_ANNOUNCE,
        .freeze.type = COMMAND_FREEZE,
        .thaw.type = COMMAND_THAW,
        .depart.type = COMMAND_DEPART,
    };
    if (reactor_open(&worker->reactor, number, shared, on_command) < 0) {
        goto free_worker;
    }
    error = start_thread(worker);
    if (error != 0) {
        errno = error;
        goto close_reactor;
    }
    return worker;

close_reactor:
    reactor_close(&worker->reactor);
free_worker:
    free(worker);
    return NULL;
}

static void post(struct worker *worker, struct message *message)
{
    mailbox_post(&worker->reactor.plane.loop.mailbox, message);
}

int worker_apply(struct worker *worker, struct generation *generation)
{
    struct apply_command *apply = calloc(1, sizeof(*apply));

    if (apply == NULL || reactor_prepare(&apply->change, generation,
                                         worker->reactor.plane.number) < 0) {
        free(apply);
        errno = ENOMEM;
        return -1;
    }
    apply->message.type = COMMAND_APPLY;
    mailbox_post_epoch(&worker->reactor.plane.loop.mailbox, &apply->message,
                       generation->number);
    return 0;
}

void worker_drain(struct worker *worker)
{
    mailbox_post_epoch(&worker->reactor.plane.loop.mailbox, &worker->drain, 0);
}

void worker_reset_all(struct worker *worker)
{
    post(worker, &worker->reset_all);
}

void worker_reset_evenly(struct worker *worker, uint64_t deadline_ns)
{
    worker->reset_deadline_ns = deadline_ns;
    post(worker, &worker->reset_evenly);
}

void worker_sweep(struct worker *worker)
{
    post(worker, &worker->sweep);
}

void worker_beat(struct worker *worker)
{
    post(worker, &worker->beat);
}

int worker_announce(struct worker *worker)
{
    worker->announced =
        report_create(REPORT_ANNOUNCED, worker->reactor.plane.number);
    if (worker->announced == NULL) {
        return -1;
    }
    post(worker, &worker->announce);
    return 0;
}

int worker_freeze(struct worker *worker)
{
    worker->frozen = report_create(REPORT_FROZEN, worker->reactor.plane.number);
    if (worker->frozen == NULL) {
        return -1;
    }
    post(worker, &worker->freeze);
    return 0;
}

bool worker_thaw(struct worker *worker)
{
    bool answers;

    worker->thawed = report_create(REPORT_THAWED, worker->reactor.plane.number);
    answers = worker->thawed != NULL;
    post(worker, &worker->thaw);
    return answers;
}

struct handover *worker_handover(struct worker *worker)
{
    return &worker->handover;
}

void worker_depart(struct worker *worker)
{
    mailbox_post_epoch(&worker->reactor.plane.loop.mailbox, &worker->depart, 0);
}

int worker_take(struct worker *worker, struct handover_batch *batch)
{
    struct take_command *command = calloc(1, sizeof(*command));
    struct report *report =
        report_create(REPORT_TAKEN, worker->reactor.plane.number);

    if (command == NULL || report == NULL) {
        free(command);
        free(report);
        errno = ENOMEM;
        return -1;
    }
    command->message.type = COMMAND_TAKE;
    command->batch = batch;
    command->answer = report;
    post(worker, &command->message);
    return 0;
}

void worker_join(struct worker *worker)
{
    post(worker, &worker->stop);
    pthread_join(worker->thread, NULL);
    reactor_close(&worker->reactor);
    free(worker->handover.list);
    free(worker->announced);
    free(worker->frozen);
    free(worker->thawed);
    free(worker);
}

void worker_memory(const struct worker *worker, uint32_t *lent, uint32_t *peak)
{
    *lent = 0;
    *peak = 0;
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        const struct slab_cache *cache = &worker->reactor.plane.memory[i].cache;

        *lent += atomic_load_explicit(&cache->lent, memory_order_relaxed);
        *peak += atomic_load_explicit(&cache->peak, memory_order_relaxed);
    }
}
