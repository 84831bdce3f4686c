#include "proxy/handover.h"

#include "proxy/admission.h"
#include "proxy/listener.h"
#include "proxy/udp_listener.h"
#include "proxy/udp_session.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the sessions that are here ---- */

static void freeze_sessions(struct plane *plane, struct handover *handover)
{
    struct session *session;

    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        struct handover_session *entry = &handover->list[handover->count];

        if (session_freeze(plane, session, &entry->image)) {
            entry->session = session;
            handover->count++;
        }
    }
}

bool handover_freeze(struct plane *plane, struct handover *handover)
{
    struct listener *listener = NULL;

    *handover = (struct handover){
        .list = calloc(plane->sessions.lent + 1, sizeof(*handover->list))};
    if (handover->list == NULL) {
        return false;
    }
    plane->frozen = true;
    while ((listener = listener_next(plane, listener)) != NULL) {
        listener_unwatch(plane, listener);
    }
    freeze_sessions(plane, handover);
    return true;
}

static void free_list(struct handover *handover)
{
    free(handover->list);
    *handover = (struct handover){NULL, 0};
}

/* Those that wait for the end of a shortage are watched after it. */
static void watch_listeners(struct plane *plane)
{
    struct listener *listener = NULL;

    while ((listener = listener_next(plane, listener)) != NULL) {
        if (!list_linked(&listener->ready)) {
            listener_watch(plane, listener);
        }
    }
    plane->accept_due = true;
}

/* The new process has no list of those that have arrived. */
static void thaw_sessions(struct plane *plane)
{
    struct session *session;

    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        if (session->phase == SESSION_FROZEN) {
            session_thaw(plane, session);
        }
    }
}

void handover_thaw(struct plane *plane, struct handover *handover)
{
    plane->frozen = false;
    free_list(handover);
    thaw_sessions(plane);
    watch_listeners(plane);
}

/* The new process has the sockets too, and takes what waits in them. UDP
 * sessions go on to send by theirs. */
static void close_listeners(struct plane *plane)
{
    struct listener *listener;

    listener_keep_none(plane);
    listener = listener_next(plane, NULL);
    while (listener != NULL) {
        struct listener *next = listener_next(plane, listener);

        if (!listener->udp) {
            listener_close(plane, listener);
        }
        listener = next;
    }
    udp_listener_close_unused(plane);
}

void handover_depart(struct plane *plane, struct handover *handover)
{
    for (uint32_t i = 0; i < handover->count; i++) {
        struct handover_session *entry = &handover->list[i];

        if (!entry->stays) {
            session_depart_process(plane, entry->session);
        }
    }
    free_list(handover);
    close_listeners(plane);
    thaw_sessions(plane);
    plane_drain(plane);
    if (plane->udp != NULL) {
        udp_session_drain_all(plane);
    }
}

/* ---- the sessions that arrive ---- */

static void enter_upstream(struct upstream *upstream, bool finished)
{
    (void)!upstream_enter(upstream, 0);
    if (finished) {
        upstream_finish(upstream);
    }
}

static void leave_upstream(struct upstream *upstream, bool finished)
{
    if (finished) {
        upstream_leave_finished(upstream);
    } else {
        upstream_leave(upstream);
    }
}

static bool take(struct plane *plane, struct session_image *image)
{
    if (!admission_restore(plane, image->service, &image->client,
                           &image->in_source)) {
        session_image_close(image);
        return false;
    }
    enter_upstream(image->upstream, image->finished);
    if (session_arrive_frozen(plane, image) != NULL) {
        return true;
    }
    leave_upstream(image->upstream, image->finished);
    admission_leave_service(image->service, &image->client, image->in_source);
    admission_leave_process(plane);
    return false;
}

void handover_take(struct plane *plane, struct handover_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->list[i].taken = take(plane, &batch->list[i].image);
    }
}

void handover_free_batch(struct handover_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        for (enum direction j = UP; j < DIRECTIONS; j++) {
            free((void *)(uintptr_t)batch->list[i].image.relay[j].block);
        }
    }
    free(batch);
}
