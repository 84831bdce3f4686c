#include "proxy/session_queue.h"

#include "proxy/admission.h"
#include "proxy/session_open.h"

#include <stdlib.h>

static struct session *session_of(const struct queue_place *place)
{
    struct attempt *attempt = place->owner;

    return container_of(attempt, struct session, opening.attempt);
}

/* The part of a queue after that one, in which sessions here wait. */
static struct queue_part *next_part(const struct plane *plane,
                                    const struct queue_part *part)
{
    struct list *link =
        part == NULL ? list_first(&plane->queues) : part->link.next;

    return link == NULL || link == &plane->queues
               ? NULL
               : container_of(link, struct queue_part, link);
}

static struct queue *queue_of(const struct queue_part *part)
{
    return &session_of(queue_next(part, NULL))->service->state->queue;
}

/* Each turn takes one out of the queue, or is the last. */
static void serve(struct plane *plane, struct queue_part *part)
{
    struct queue *queue = queue_of(part);
    struct queue_place *place;

    while ((place = queue_choose(queue, part)) != NULL &&
           choice_has_place(session_of(place)->service) &&
           session_open_called(plane, session_of(place))) {
    }
}

void session_queue_called(struct plane *plane)
{
    struct queue_part *part = next_part(plane, NULL);

    while (part != NULL) {
        struct queue_part *next = next_part(plane, part);

        if (queue_called(part)) {
            serve(plane, part);
        }
        part = next;
    }
}

/* The generation's service of that state, if connections can go on by it. */
static struct service *find_service(struct generation *generation,
                                    const struct service_state *state)
{
    for (size_t i = 0; i < generation->service_count; i++) {
        struct service *service = &generation->services[i];

        if (service->state == state && service->config->mode == CONFIG_TCP) {
            return service;
        }
    }
    return NULL;
}

/* It has nothing of the older generation: its preface is done. */
static void move(struct plane *plane, struct session *session,
                 struct service *service)
{
    const struct service *before = session->service;
    bool in_source = session->in_source;

    plane_hold(plane, service->generation);
    free(session->throttle); /* no byte has moved */
    session->throttle = NULL;
    admission_move(plane, before, service, &session->client, &in_source);
    session->in_source = in_source;
    session->service = service;
    session->opening.preface.listen = NULL;
    attempt_move(&session->opening.attempt, service);
    if (!session_make_throttle(session)) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else if (service->config->queue_timeout_ns == 0) {
        (void)session_open_called(plane, session); /* or it ends */
    } else {
        session_arm(plane, session);
    }
    plane_release(plane, before->generation);
}

static void move_all(struct plane *plane, struct queue_part *part)
{
    struct queue_place *place = queue_next(part, NULL);
    const struct service *before = session_of(place)->service;
    struct service *service = find_service(plane->generation, before->state);

    while (service != NULL && place != NULL) {
        struct queue_place *next = queue_next(part, place);

        if (session_of(place)->service != service) {
            move(plane, session_of(place), service);
        }
        place = next;
    }
}

void session_queue_adopt(struct plane *plane)
{
    struct queue_part *part = next_part(plane, NULL);

    while (part != NULL) {
        struct queue_part *next = next_part(plane, part);

        move_all(plane, part);
        if (list_linked(&part->link)) {
            serve(plane, part);
        }
        part = next;
    }
}
