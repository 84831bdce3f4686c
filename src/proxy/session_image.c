#include "proxy/session_image.h"

#include "proxy/admission.h"
#include "proxy/session_relay.h"

#include <errno.h>
#include <unistd.h>

static bool can_move(const struct session *session)
{
    return session->phase == SESSION_RELAY &&
           !sock_is_tls(&session->sock[CLIENT]) &&
           !sock_is_tls(&session->sock[UPSTREAM]);
}

bool session_announce(struct session *session, struct session_image *image)
{
    const struct relay_image nothing = {.pipe = {-1, -1, 0}};

    if (!can_move(session)) {
        return false;
    }
    *image = (struct session_image){
        .service = session->service,
        .upstream = session->upstream,
        .client = session->client,
        .relay = {nothing, nothing},
    };
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session->sock[i].options |= SOCK_OPTION_SHARED;
        image->sock[i] = session->sock[i];
    }
    return true;
}

bool session_freeze(struct plane *plane, struct session *session,
                    struct session_image *image)
{
    struct tunnel tunnel;

    if (!can_move(session)) {
        return false;
    }
    tunnel = session_tunnel(plane, session);
    *image = (struct session_image){
        .service = session->service,
        .upstream = session->upstream,
        .client = session->client,
        .in_source = session->in_source,
        .finished = session->finished,
        .note = session->note,
        .born_ns = session->born_ns,
        .connect_us = session->connect_us,
    };
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay_context context = tunnel_context(&tunnel, i);

        image->sock[i] = session->sock[i];
        relay_save(&session->relay[i], &context, &image->relay[i]);
    }
    wheel_disarm(&plane->loop.wheel, &session->timer);
    session_enter(plane, session, SESSION_FROZEN);
    return true;
}

/* Events that came meanwhile are in the sockets' bits. */
void session_thaw(struct plane *plane, struct session *session)
{
    session_enter(plane, session, SESSION_RELAY);
    session_relay_resume(plane, session);
}

static void drop_relays(struct plane *plane, struct session *session)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    (void)tunnel_drop(&tunnel);
}

static void disown_both(struct session *session)
{
    sock_disown(&session->sock[CLIENT]);
    sock_disown(&session->sock[UPSTREAM]);
}

/* Duplicates of the descriptors go on elsewhere, so closing ours does not end
 * the connections, nor does it end our watching them. */
void session_depart(struct plane *plane, struct session *session)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        poller_remove(&plane->loop.poller, session->sock[i].fd);
    }
    disown_both(session);
    drop_relays(plane, session);
    session_release(plane, session);
}

void session_depart_process(struct plane *plane, struct session *session)
{
    admission_leave_service(session->service, &session->client,
                            session->in_source);
    upstream_depart(session->upstream, session->finished);
    (void)loop_guard_forget(&plane->shared->loops, &session->note);
    admission_leave_process(plane);
    session_depart(plane, session);
}

/* The poller reports what the sockets are ready for, and so what has happened
 * while they were on their way. */
static int watch_both(struct plane *plane, struct session *session)
{
    if (session_watch(plane, session, CLIENT) < 0) {
        return -1;
    }
    if (session_watch(plane, session, UPSTREAM) < 0) {
        poller_remove(&plane->loop.poller, session->sock[CLIENT].fd);
        return -1;
    }
    return 0;
}

/* Both, so that the descriptors of both are ours. */
static int restore_relays(struct plane *plane, struct session *session,
                          const struct session_image *image)
{
    struct tunnel tunnel = session_tunnel(plane, session);
    int result = 0;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay_context context = tunnel_context(&tunnel, i);

        session->relay[i].direction = (uint8_t)i;
        if (relay_restore(&session->relay[i], &context, &image->relay[i]) < 0) {
            result = -1;
        }
    }
    return result;
}

static struct session *create(struct plane *plane,
                              const struct session_image *image)
{
    if (plane->draining || !plane_knows(plane, image->service->generation)) {
        errno = ESTALE;
        return NULL;
    }
    return session_create(plane, image->service, &image->client);
}

struct session *session_place(struct plane *plane,
                              const struct session_image *image)
{
    struct session *session = create(plane, image);
    int error = errno;

    if (session != NULL) {
        session->sock[CLIENT] = image->sock[CLIENT];
        session->sock[UPSTREAM] = image->sock[UPSTREAM];
        if (watch_both(plane, session) == 0) {
            session_enter(plane, session, SESSION_FROZEN);
            return session;
        }
        error = errno;
        disown_both(session);
        session_release(plane, session);
    } else {
        close(image->sock[CLIENT].fd);
        close(image->sock[UPSTREAM].fd);
    }
    errno = error;
    return NULL;
}

int session_fill(struct plane *plane, struct session *session,
                 const struct session_image *image)
{
    bool throttled;
    int result;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session->sock[i].ready |= image->sock[i].ready;
        session->sock[i].options |= image->sock[i].options;
    }
    session->upstream = image->upstream;
    session->accepted = true; /* counted where the session began */
    session->in_service = true;
    session->in_source = image->in_source;
    session->finished = image->finished;
    session->note = image->note;
    session->born_ns = image->born_ns;
    session->connect_us = image->connect_us;
    throttled = session_make_throttle(session);
    result = restore_relays(plane, session, image);
    return throttled ? result : -1;
}

static void close_pipes(const struct session_image *image)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        const struct pipe *pipe = &image->relay[i].pipe;

        if (pipe->read_fd >= 0) {
            close(pipe->read_fd);
            close(pipe->write_fd);
        }
    }
}

void session_image_close(const struct session_image *image)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        if (image->sock[i].fd >= 0) {
            close(image->sock[i].fd);
        }
    }
    close_pipes(image);
}

struct session *session_arrive_frozen(struct plane *plane,
                                      const struct session_image *image)
{
    struct session *session = session_place(plane, image);
    int error;

    if (session == NULL) {
        error = errno;
        close_pipes(image);
        errno = error;
        return NULL;
    }
    if (session_fill(plane, session, image) < 0) {
        error = errno;
        session_depart(plane, session);
        errno = error;
        return NULL;
    }
    return session;
}

int session_arrive(struct plane *plane, const struct session_image *image)
{
    struct session *session = session_arrive_frozen(plane, image);

    if (session == NULL) {
        return -1;
    }
    session_thaw(plane, session);
    return 0;
}
