#include "proxy/session_image.h"

#include "proxy/session_relay.h"

#include <errno.h>

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

static void forget_relays(struct plane *plane, struct session *session)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay_context context = tunnel_context(&tunnel, i);

        relay_forget(&session->relay[i], &context);
    }
}

void session_depart(struct plane *plane, struct session *session)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        poller_remove(&plane->loop.poller, session->sock[i].fd);
    }
    forget_relays(plane, session);
    session_release(plane, session);
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

static int restore_relays(struct plane *plane, struct session *session,
                          const struct session_image *image)
{
    struct tunnel tunnel = session_tunnel(plane, session);

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct relay_context context = tunnel_context(&tunnel, i);

        session->relay[i].direction = (uint8_t)i;
        if (relay_restore(&session->relay[i], &context, &image->relay[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

int session_arrive(struct plane *plane, const struct session_image *image)
{
    struct session *session;
    int error;

    if (plane->draining || !plane_knows(plane, image->service->generation)) {
        errno = ESTALE;
        return -1;
    }
    session = session_create(plane, image->service, &image->client);
    if (session == NULL) {
        return -1;
    }
    session->sock[CLIENT] = image->sock[CLIENT];
    session->sock[UPSTREAM] = image->sock[UPSTREAM];
    session->upstream = image->upstream;
    session->accepted = true; /* counted where the session began */
    session->in_service = true;
    session->in_source = image->in_source;
    session->born_ns = image->born_ns;
    session->connect_us = image->connect_us;
    if (!session_make_throttle(session) ||
        restore_relays(plane, session, image) < 0 ||
        watch_both(plane, session) < 0) {
        error = errno;
        forget_relays(plane, session);
        session_release(plane, session);
        errno = error;
        return -1;
    }
    session_enter(plane, session, SESSION_RELAY);
    session_relay_resume(plane, session);
    return 0;
}
