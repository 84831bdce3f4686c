#include "proxy/sweep.h"

#include "proxy/session.h"
#include "proxy/udp_session.h"

/* When the session's connect began; it is at most a microsecond before. */
static uint64_t begun_ns(const struct session *session)
{
    return session->entered_ns - ((uint64_t)session->connect_us + 1) * 1000;
}

/* True: the session has ended. */
static bool end_session(struct plane *plane, struct session *session)
{
    if (session->phase != SESSION_RELAY ||
        !upstream_resets(session->upstream, begun_ns(session))) {
        return false;
    }
    session_close(plane, session, CAUSE_UPSTREAM_DOWN);
    return true;
}

static bool end_udp_session(struct plane *plane, struct udp_session *session)
{
    if (session->closed || !session->in_upstream ||
        !upstream_resets(session->upstream, session->born_ns)) {
        return false;
    }
    udp_session_close(plane, session, CAUSE_UPSTREAM_DOWN);
    return true;
}

/* Goes on with one pool of records. True: its end is reached. */
static bool sweep_sessions(struct plane *plane)
{
    uint32_t *at = &plane->sweep.at;
    unsigned ended = 0;

    for (unsigned n = 0; n < SWEEP_RECORDS && ended < SWEEP_ENDS; n++) {
        struct session *session = pool_next(&plane->sessions, at);

        if (session == NULL) {
            return true;
        }
        ended += end_session(plane, session);
        ++*at;
    }
    return false;
}

static bool sweep_udp(struct plane *plane)
{
    uint32_t *at = &plane->sweep.at;
    unsigned ended = 0;

    for (unsigned n = 0; n < SWEEP_RECORDS && ended < SWEEP_ENDS; n++) {
        struct udp_session *session = pool_next(&plane->udp->sessions, at);

        if (session == NULL) {
            return true;
        }
        ended += end_udp_session(plane, session);
        ++*at;
    }
    return false;
}

static void begin_pass(struct plane *plane)
{
    plane->sweep.again = plane->sweep.udp = false;
    plane->sweep.at = 0;
    loop_run_later(&plane->loop, PLANE_SWEEPS, &plane->sweep.link);
}

void sweep_begin(struct plane *plane)
{
    if (list_linked(&plane->sweep.link)) {
        plane->sweep.again = true;
    } else {
        begin_pass(plane);
    }
}

void sweep_run(struct loop *loop, struct list *link)
{
    struct plane *plane = plane_of(loop);
    struct plane_sweep *sweep = &plane->sweep;

    if (!sweep->udp && sweep_sessions(plane)) {
        sweep->udp = true;
        sweep->at = 0;
    } else if (sweep->udp && (plane->udp == NULL || sweep_udp(plane))) {
        if (sweep->again) {
            begin_pass(plane);
        }
        return;
    }
    loop_run_later(loop, PLANE_SWEEPS, link);
}
