#include "proxy/session_image.h"

#include "proxy/admission.h"
#include "proxy/session_relay.h"

#include <errno.h>
#include <unistd.h>

bool session_freeze(struct plane *plane, struct session *session,
                    struct session_image *image)
{
    struct tunnel tunnel;

    if (session->phase != SESSION_RELAY ||
        sock_is_tls(&session->sock[CLIENT]) ||
        sock_is_tls(&session->sock[UPSTREAM])) {
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

static void close_both(struct session *session)
{
    sock_close(&session->sock[CLIENT]);
    sock_close(&session->sock[UPSTREAM]);
}

/* Duplicates of the descriptors go on elsewhere, so closing ours does not end
 * the connections, nor does it end our watching them. */
void session_depart(struct plane *plane, struct session *session)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        poller_remove(&plane->loop.poller, session->sock[i].fd);
    }
    close_both(session);
    drop_relays(plane, session);
    session_release(plane, session);
}

void session_depart_process(struct plane *plane, struct session *session)
{
    admission_leave_service(session->service, &session->client,
                            session->in_source);
    upstream_depart(session->upstream, session->finished);
    if (session->note != 0) {
        (void)loop_guard_forget(&plane->shared->loops, session->upstream,
                                session->note);
    }
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

void session_image_close(const struct session_image *image)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        const struct pipe *pipe = &image->relay[i].pipe;

        close(image->sock[i].fd);
        if (pipe->read_fd >= 0) {
            close(pipe->read_fd);
            close(pipe->write_fd);
        }
    }
}

static struct session *create(struct plane *plane,
                              const struct session_image *image)
{
    struct session *session;

    if (plane->draining || !plane_knows(plane, image->service->generation)) {
        errno = ESTALE;
        return NULL;
    }
    session = session_create(plane, image->service, &image->client);
    if (session == NULL) {
        return NULL;
    }
    session->sock[CLIENT] = image->sock[CLIENT];
    session->sock[UPSTREAM] = image->sock[UPSTREAM];
    session->upstream = image->upstream;
    session->accepted = true; /* counted where the session began */
    session->in_service = true;
    session->in_source = image->in_source;
    session->finished = image->finished;
    session->note = image->note;
    session->born_ns = image->born_ns;
    session->connect_us = image->connect_us;
    return session;
}

struct session *session_arrive_frozen(struct plane *plane,
                                      const struct session_image *image)
{
    struct session *session = create(plane, image);
    bool throttled;
    int error;

    if (session == NULL) {
        error = errno;
        session_image_close(image);
        errno = error;
        return NULL;
    }
    throttled = session_make_throttle(session);
    if (restore_relays(plane, session, image) < 0 || !throttled ||
        watch_both(plane, session) < 0) {
        error = errno;
        close_both(session);
        drop_relays(plane, session);
        session_release(plane, session);
        errno = error;
        return NULL;
    }
    session_enter(plane, session, SESSION_FROZEN);
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
