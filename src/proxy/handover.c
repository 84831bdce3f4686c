#include "proxy/handover.h"

#include "proxy/admission.h"
#include "proxy/listener.h"
#include "proxy/udp_listener.h"
#include "proxy/udp_session.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- the sessions that are here ---- */

static bool open_list(struct plane *plane, struct handover *handover)
{
    *handover = (struct handover){
        .list = calloc(plane->sessions.lent + 1, sizeof(*handover->list))};
    return handover->list != NULL;
}

/* The next entry of the list is the session's. */
static struct handover_session *enter(struct handover *handover,
                                      struct session *session)
{
    struct handover_session *entry = &handover->list[handover->count++];

    entry->session = session;
    entry->instance = session->instance[CLIENT];
    entry->index = session->index;
    entry->place = HANDOVER_NO_PLACE;
    return entry;
}

bool handover_announce(struct plane *plane, struct handover *handover)
{
    struct session_image image;
    struct session *session;

    if (!open_list(plane, handover)) {
        return false;
    }
    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        if (session_announce(session, &image)) {
            enter(handover, session)->image = image;
        }
    }
    handover->announced = handover->count;
    return true;
}

/* Both lists are in the order of indexes. */
static void find_place(struct handover_session *entry,
                       const struct handover *announced, uint32_t *at)
{
    const struct handover_session *list = announced->list;

    while (*at < announced->count && list[*at].index < entry->index) {
        ++*at;
    }
    if (*at < announced->count && list[*at].index == entry->index &&
        list[*at].instance == entry->instance) {
        entry->place = *at;
    }
}

static void freeze_sessions(struct plane *plane, struct handover *handover,
                            const struct handover *announced)
{
    struct session_image image;
    struct session *session;
    uint32_t at = 0;

    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        if (session_freeze(plane, session, &image)) {
            struct handover_session *entry = enter(handover, session);

            entry->image = image;
            find_place(entry, announced, &at);
        }
    }
    handover->announced = announced->announced;
}

bool handover_freeze(struct plane *plane, struct handover *handover)
{
    const struct handover announced = *handover;
    struct listener *listener = NULL;
    struct handover frozen;

    if (!open_list(plane, &frozen)) {
        return false;
    }
    plane->frozen = true;
    while ((listener = listener_next(plane, listener)) != NULL) {
        listener_unwatch(plane, listener);
    }
    freeze_sessions(plane, &frozen, &announced);
    free(announced.list);
    *handover = frozen;
    return true;
}

static void free_list(struct handover *handover)
{
    free(handover->list);
    *handover = (struct handover){.list = NULL};
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
        if (session->phase != SESSION_FROZEN) {
            continue;
        }
        if (session->upstream == NULL) { /* its place was in vain */
            session_depart(plane, session);
        } else {
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

/* In its place, or in one that it gets now. */
static bool arrive(struct plane *plane, struct handover_place *place,
                   const struct session_image *image)
{
    struct session *session;

    if (place == NULL) {
        return session_arrive_frozen(plane, image) != NULL;
    }
    session = place->session;
    place->session = NULL;
    if (session_fill(plane, session, image) < 0) {
        session_depart(plane, session);
        return false;
    }
    return true;
}

static bool take(struct plane *plane, struct handover_arrival *arrival)
{
    struct session_image *image = &arrival->image;

    if ((arrival->place != NULL && arrival->place->session == NULL) ||
        !admission_restore(plane, image->service, &image->client,
                           &image->in_source)) {
        session_image_close(image);
        return false;
    }
    enter_upstream(image->upstream, image->finished);
    if (arrive(plane, arrival->place, image)) {
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
        struct handover_arrival *arrival = &batch->list[i];

        if (batch->announced) {
            arrival->place->session = session_place(plane, &arrival->image);
        } else {
            arrival->taken = take(plane, arrival);
        }
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
