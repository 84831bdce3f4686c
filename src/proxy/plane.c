#include "proxy/plane.h"

#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRIM_NS  NS_PER_S
#define RETRY_NS (10 * NS_PER_MS)

/* Runs in the thread that returned the block. */
static void memory_wake(void *arg)
{
    struct plane_memory *memory = arg;

    mailbox_post(&memory->plane->loop.mailbox, &memory->granted);
}

int plane_open(struct plane *plane, const struct loop_owner *owner,
               unsigned number, struct shared *shared)
{
    memset(plane, 0, sizeof(*plane));
    if (loop_open(&plane->loop, owner) < 0) {
        return -1;
    }
    plane->number = number;
    plane->tls_work = PLANE_TLS_WORK;
    plane->shared = shared;
    plane->load = &shared->spread->list[number];
    shared->mailboxes[number] = &plane->loop.mailbox;
    plane->random = hash_mix(plane->loop.now_ns + number);
    pipe_pool_init(&plane->pipes);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct plane_memory *memory = &plane->memory[i];

        memory->plane = plane;
        memory->granted.type = i == UP ? PLANE_MEMORY_UP : PLANE_MEMORY_DOWN;
        slab_cache_init(&memory->cache, &shared->slab[i], memory_wake, memory);
    }
    waiting_open(&shared->waiting, number, &plane->waiting,
                 &plane->loop.mailbox, PLANE_WAITING);
    plane->place_free.type = PLANE_PLACE;
    plane->trim_timer.kind = PLANE_TRIM;
    plane->retry_timer.kind = PLANE_RETRY;
    plane->accept_timer.kind = PLANE_ACCEPT;
    return 0;
}

void plane_close(struct plane *plane)
{
    struct list *link;

    while ((link = list_pop(&plane->holds)) != NULL) {
        struct generation_hold *hold =
            container_of(link, struct generation_hold, link);

        free(hold->done);
        free(hold);
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        slab_cache_fini(&plane->memory[i].cache);
    }
    pipe_pool_fini(&plane->pipes);
    waiting_close(&plane->shared->waiting, plane->number);
    loop_close(&plane->loop);
}

static struct generation_hold *find_hold(const struct plane *plane,
                                         const struct generation *generation)
{
    for (struct list *link = list_first(&plane->holds);
         link != NULL && link != &plane->holds; link = link->next) {
        struct generation_hold *hold =
            container_of(link, struct generation_hold, link);

        if (hold->generation == generation) {
            return hold;
        }
    }
    return NULL;
}

bool plane_knows(const struct plane *plane, const struct generation *generation)
{
    return find_hold(plane, generation) != NULL;
}

void plane_adopt(struct plane *plane, struct generation_hold *hold)
{
    plane->generation = hold->generation;
    list_append(&plane->holds, &hold->link);
}

static void end_hold(struct plane *plane, const struct generation *generation)
{
    struct generation_hold *hold = find_hold(plane, generation);

    list_remove(&hold->link);
    shared_report(plane->shared, hold->done);
    free(hold);
}

static void report_if_drained(struct plane *plane)
{
    struct report *report;

    if (!plane->draining || plane->active > 0) {
        return;
    }
    report = report_create(REPORT_DRAINED, plane->number);
    /* Without memory for it the control thread waits until drain_timeout. */
    if (report != NULL) {
        shared_report(plane->shared, report);
    }
}

void plane_hold(struct plane *plane, struct generation *generation)
{
    generation->sessions[plane->number].count++;
    plane->active++;
}

void plane_release(struct plane *plane, struct generation *generation)
{
    generation->sessions[plane->number].count--;
    plane->active--;
    if (plane->accept_paused) {
        plane->accept_resume = plane->accept_due = true;
    }
    if (generation->sessions[plane->number].count == 0 &&
        generation != plane->generation) {
        end_hold(plane, generation);
    }
    report_if_drained(plane);
}

void plane_drain(struct plane *plane)
{
    if (!plane->draining) {
        plane->draining = true;
        report_if_drained(plane);
    }
}

void plane_arm_trim(struct plane *plane)
{
    wheel_arm(&plane->loop.wheel, &plane->trim_timer,
              plane->loop.now_ns + TRIM_NS);
}

void plane_retry_later(struct plane *plane, enum plane_queue queue,
                       struct list *link)
{
    list_append(&plane->retry[queue], link);
    if (!wheel_armed(&plane->retry_timer)) {
        wheel_arm(&plane->loop.wheel, &plane->retry_timer,
                  plane->loop.now_ns + RETRY_NS);
    }
}

void plane_report_shortage(struct plane *plane, int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ENOSPC:
        plane->shortage = error;
        plane->accept_due = true;
        break;
    default:
        break;
    }
}
