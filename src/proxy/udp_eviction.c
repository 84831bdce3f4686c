#include "proxy/udp_eviction.h"

#include <errno.h>
#include <stdlib.h>

/* A session moves in the order of the process once in this time at most. */
#define ORDER_NS (50 * NS_PER_MS)
/* A session that became idle so much later than another worker's longest idle
 * one is as good: it needs no message. */
#define ALIKE_NS (50 * NS_PER_MS)

/* ---- groups ---- */

static struct udp_session *session_of(const struct udp_group *group,
                                      struct list *link)
{
    return container_of(link - group->scope, struct udp_session, age[0]);
}

static struct udp_group *group_of(const struct plane *plane,
                                  const struct udp_session *session,
                                  enum udp_scope scope)
{
    return scope == UDP_OF_SERVICE ? session->group : &plane->udp->everyone;
}

static uint64_t idle_since(const struct udp_session *session,
                           enum udp_scope scope)
{
    return scope == UDP_OF_SERVICE ? session->moved_ns : session->ordered_ns;
}

static struct udp_session *longest_idle(const struct udp_group *group)
{
    struct list *link = list_first(&group->idle);

    return link == NULL ? NULL : session_of(group, link);
}

/* Tells the other workers of the longest idle one. */
static void publish(const struct plane *plane, const struct udp_group *group)
{
    const struct udp_session *first = longest_idle(group);

    census_publish(group->census, plane->number,
                   first == NULL ? CENSUS_NONE
                                 : idle_since(first, group->scope));
}

/* The session has become the last that is idle. */
static void append(const struct plane *plane, struct udp_group *group,
                   struct udp_session *session)
{
    const struct udp_session *first = longest_idle(group);

    list_remove(&session->age[group->scope]);
    list_append(&group->idle, &session->age[group->scope]);
    if (first == NULL || first == session) {
        publish(plane, group);
    }
}

static void take_out(const struct plane *plane, struct udp_group *group,
                     struct udp_session *session)
{
    bool first = longest_idle(group) == session;

    list_remove(&session->age[group->scope]);
    if (first) {
        publish(plane, group);
    }
}

/* The plane's group of the service; NULL: no memory. */
static struct udp_group *find_group(struct plane *plane, struct census *census)
{
    struct census_entry *entry = &census->entries[plane->number];
    struct udp_group *group = entry->own;

    if (group == NULL) {
        group = calloc(1, sizeof(*group));
        if (group != NULL) {
            group->scope = UDP_OF_SERVICE;
            group->census = census;
            entry->own = group;
        }
    }
    return group;
}

static void free_unused(const struct plane *plane, struct udp_group *group)
{
    if (group->scope == UDP_OF_SERVICE && list_empty(&group->idle) &&
        !group->request.under_way) {
        group->census->entries[plane->number].own = NULL;
        free(group);
    }
}

void udp_eviction_init(struct plane *plane)
{
    struct udp_group *everyone = &plane->udp->everyone;

    everyone->scope = UDP_OF_PROCESS;
    everyone->census = plane->shared->census;
    everyone->census->entries[plane->number].own = everyone;
}

/* ---- sessions ---- */

int udp_eviction_enter(struct plane *plane, struct udp_session *session)
{
    session->group = find_group(plane, session->service->state->census);
    if (session->group == NULL) {
        errno = ENOMEM;
        return -1;
    }
    session->ordered_ns = session->moved_ns;
    for (enum udp_scope scope = 0; scope < UDP_SCOPES; scope++) {
        struct udp_group *group = group_of(plane, session, scope);

        census_add(group->census);
        session->counted |= (uint8_t)(1u << scope);
        append(plane, group, session);
    }
    return 0;
}

void udp_eviction_leave(struct plane *plane, struct udp_session *session)
{
    if (session->group == NULL) {
        return;
    }
    for (enum udp_scope scope = 0; scope < UDP_SCOPES; scope++) {
        struct udp_group *group = group_of(plane, session, scope);

        if (session->counted >> scope & 1) {
            census_subtract(group->census);
        }
        take_out(plane, group, session);
    }
    free_unused(plane, session->group);
    session->group = NULL;
}

/* The order of the process is kept roughly: it would cost as much again for
 * each datagram as that of the service. */
void udp_eviction_touch(struct plane *plane, struct udp_session *session)
{
    uint64_t now_ns = plane->loop.now_ns;

    if (session->moved_ns == now_ns) {
        return;
    }
    session->moved_ns = now_ns;
    append(plane, session->group, session);
    if (now_ns - session->ordered_ns >= ORDER_NS) {
        session->ordered_ns = now_ns;
        append(plane, &plane->udp->everyone, session);
    }
}

/* ---- which one goes ---- */

static void ask(struct plane *plane, struct udp_group *group, unsigned worker,
                uint32_t max)
{
    const struct udp_session *any = longest_idle(group);
    struct udp_request *request = &group->request;

    if (request->under_way || any == NULL) {
        return; /* the worker that asked this one looks again */
    }
    *request = (struct udp_request){
        .message.type = PLANE_UDP_EVICT,
        .asker = &plane->loop.mailbox,
        .group = group,
        .census = group->census,
        .generation = any->service->generation,
        .max = max,
        .under_way = true,
    };
    plane_hold(plane, request->generation);
    mailbox_post(plane->shared->mailboxes[worker], &request->message);
}

/* Whether one that is idle since then may go instead of the other. Without a
 * new session to be spared it must be the older one: it may itself be the new
 * session whose place was asked for, and have no answer yet. */
static bool may_go(uint64_t since_ns, uint64_t other_ns,
                   const struct udp_session *spared)
{
    uint64_t alike_ns = spared == NULL ? 0 : ALIKE_NS;

    return since_ns <= other_ns || since_ns - other_ns <= alike_ns;
}

struct udp_session *udp_eviction_pick(struct plane *plane,
                                      struct census *census, uint32_t max,
                                      const struct udp_session *spared)
{
    struct udp_group *group = census->entries[plane->number].own;
    struct udp_session *session;
    uint64_t other_ns;
    unsigned other;

    if (group == NULL || census_count(census) <= max) {
        return NULL;
    }
    other = census_oldest_other(census, plane->number, &other_ns);
    session = longest_idle(group);
    if (session == spared) {
        session = NULL;
    }
    if (session != NULL &&
        may_go(idle_since(session, group->scope), other_ns, spared)) {
        if (!census_claim(census, max)) {
            return NULL;
        }
        session->counted &= (uint8_t) ~(1u << group->scope);
        return session;
    }
    if (other_ns != CENSUS_NONE) {
        ask(plane, group, other, max);
    }
    return NULL;
}

struct udp_session *udp_eviction_pick_instead(struct plane *plane,
                                              const struct udp_session *session)
{
    for (enum udp_scope scope = 0; scope < UDP_SCOPES; scope++) {
        struct udp_session *first =
            longest_idle(group_of(plane, session, scope));

        if (first != session) {
            return first;
        }
    }
    return NULL;
}

/* ---- between planes ---- */

void udp_eviction_answer(struct udp_request *request)
{
    request->message.type = PLANE_UDP_EVICTED;
    mailbox_post(request->asker, &request->message);
}

struct udp_request udp_eviction_take_back(struct plane *plane,
                                          struct udp_request *request)
{
    struct udp_request copy = *request;

    request->under_way = false;
    free_unused(plane, copy.group);
    return copy;
}
