#include "proxy/worker.h"

#include "proxy/plane.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* A command on its way: the types go on where the plane's own end. */
enum command_type {
    COMMAND_APPLY = PLANE_MESSAGE_TYPES,
    COMMAND_DRAIN,
    COMMAND_RESET_ALL,
    COMMAND_BEAT,
    COMMAND_STOP,
};

struct apply_command {
    struct message message;
    struct generation_hold *hold;
};

/* Commands without a parameter are messages of their own: posting one that is
 * still under way changes nothing. */
struct worker {
    struct plane plane;
    struct message drain;
    struct message reset_all;
    struct message beat;
    struct message stop;
    pthread_t thread;
};

int worker_shared_init(struct worker_shared *shared, uint32_t block_bytes,
                       uint64_t memory_bytes, struct mailbox *control)
{
    int error;

    *shared = (struct worker_shared){.control = control};
    if (slab_init(&shared->slab[UP], block_bytes, memory_bytes / 2) < 0) {
        return -1;
    }
    if (slab_init(&shared->slab[DOWN], block_bytes, memory_bytes / 2) < 0) {
        error = errno;
        slab_fini(&shared->slab[UP]);
        errno = error;
        return -1;
    }
    return 0;
}

void worker_shared_fini(struct worker_shared *shared)
{
    slab_fini(&shared->slab[UP]);
    slab_fini(&shared->slab[DOWN]);
}

static void answer_beat(struct plane *plane)
{
    struct worker_report *report = calloc(1, sizeof(*report));

    if (report != NULL) {
        report->message.type = WORKER_BEAT;
        report->worker = plane->number;
        mailbox_post(plane->shared->control, &report->message);
    }
}

static void on_message(struct loop *loop, struct message *message)
{
    struct plane *plane = plane_of(loop);
    struct apply_command *command;

    switch (message->type) {
    case COMMAND_APPLY:
        command = container_of(message, struct apply_command, message);
        plane_apply(plane, command->hold);
        free(command);
        break;
    case COMMAND_DRAIN:
        plane_drain(plane);
        break;
    case COMMAND_RESET_ALL:
        plane_reset_all(plane);
        break;
    case COMMAND_BEAT:
        answer_beat(plane);
        break;
    case COMMAND_STOP:
        loop_stop(loop);
        break;
    default:
        break;
    }
}

static void *run(void *arg)
{
    struct worker *worker = arg;

    loop_run(&worker->plane.loop);
    return NULL;
}

/* The thread inherits a mask without any signal: they are the control's. */
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

struct worker *worker_start(unsigned number, struct worker_shared *shared)
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
        .beat.type = COMMAND_BEAT,
        .stop.type = COMMAND_STOP,
    };
    if (plane_open(&worker->plane, number, shared, on_message) < 0) {
        goto free_worker;
    }
    error = start_thread(worker);
    if (error != 0) {
        errno = error;
        goto close_plane;
    }
    return worker;

close_plane:
    plane_close(&worker->plane);
free_worker:
    free(worker);
    return NULL;
}

int worker_apply(struct worker *worker, struct generation *generation)
{
    struct apply_command *command = calloc(1, sizeof(*command));
    struct generation_hold *hold = calloc(1, sizeof(*hold));
    struct worker_report *done = calloc(1, sizeof(*done));

    if (command == NULL || hold == NULL || done == NULL) {
        free(command);
        free(hold);
        free(done);
        errno = ENOMEM;
        return -1;
    }
    hold->generation = generation;
    hold->done = done;
    command->message.type = COMMAND_APPLY;
    command->hold = hold;
    mailbox_post(&worker->plane.loop.mailbox, &command->message);
    return 0;
}

void worker_drain(struct worker *worker)
{
    mailbox_post(&worker->plane.loop.mailbox, &worker->drain);
}

void worker_reset_all(struct worker *worker)
{
    mailbox_post(&worker->plane.loop.mailbox, &worker->reset_all);
}

void worker_beat(struct worker *worker)
{
    mailbox_post(&worker->plane.loop.mailbox, &worker->beat);
}

void worker_join(struct worker *worker)
{
    mailbox_post(&worker->plane.loop.mailbox, &worker->stop);
    pthread_join(worker->thread, NULL);
    plane_close(&worker->plane);
    free(worker);
}

void worker_memory(const struct worker *worker, uint32_t *lent, uint32_t *peak)
{
    *lent = 0;
    *peak = 0;
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        const struct slab_cache *cache = &worker->plane.memory[i].cache;

        *lent += atomic_load_explicit(&cache->lent, memory_order_relaxed);
        *peak += atomic_load_explicit(&cache->peak, memory_order_relaxed);
    }
}

struct sock_options worker_sock_options(const struct config_service *config)
{
    return (struct sock_options){
        /* Not rounded down to 0, which would be the kernel's two hours. */
        .keepalive_s =
            (uint32_t)((config->tcp_keepalive_ns + NS_PER_S - 1) / NS_PER_S),
        .user_timeout_ms = (uint32_t)(config->tcp_user_timeout_ns / NS_PER_MS),
        .notsent_lowat_bytes = (uint32_t)config->tcp_notsent_lowat,
        .backlog = config->backlog,
        .fastopen = config->tcp_fastopen,
    };
}
