/*
 * session_image: an established session written down, so that it can move to
 * another plane, in this process or in another one. The plane's thread.
 *
 *      session_freeze ──▶ image ──▶ session_arrive, elsewhere
 *            │                          │ done        │ failed
 *            │                   session_depart   session_thaw, here
 *
 * Until session_depart the session keeps everything it has and can go on. The
 * image that arrives must have duplicates of the descriptors, as SCM_RIGHTS
 * makes them for another process. It does not matter here how an image is
 * carried: by a message, or in records through a socket.
 */
#ifndef EVPROXY_PROXY_SESSION_IMAGE_H
#define EVPROXY_PROXY_SESSION_IMAGE_H

#include "proxy/relay_image.h"
#include "proxy/session.h"

/* What the image points to belongs to the session until session_depart. */
struct session_image {
    struct sock sock[2];
    struct service *service;   /* which counts the connection */
    struct upstream *upstream; /* likewise */
    struct addr client;
    bool in_source; /* and likewise its source, by admission_enter_service */
    bool finished;  /* and is counted by upstream_finish */
    uint16_t note;  /* and it is noted in shared->loops of this process */
    uint64_t born_ns;
    uint32_t connect_us;
    struct relay_image relay[DIRECTIONS];
};

/* Stops an established session and describes it. False: the session is in
 * another phase, or TLS ends here, so it cannot move; it goes on. */
bool session_freeze(struct plane *plane, struct session *session,
                    struct session_image *image) WARN_UNUSED;

/* A frozen session goes on here: this cannot fail. Its sockets were watched all
 * the time. */
void session_thaw(struct plane *plane, struct session *session);

/* A frozen session goes on elsewhere: it does not end here, and has no cause.
 * Its own descriptors are closed; its places in all counts are the image's. */
void session_depart(struct plane *plane, struct session *session);

/* The same in another process, which does not share our counts: leaves them
 * all. */
void session_depart_process(struct plane *plane, struct session *session);

/*
 * Takes an image up, and owns its descriptors, also when it fails. -1 with
 * errno: ESTALE if this plane drains or does not hold the service's generation,
 * or another for a shortage; then nothing else has changed.
 */
int session_arrive(struct plane *plane,
                   const struct session_image *image) WARN_UNUSED;

/* Closes the descriptors of an image that is not taken up. */
void session_image_close(const struct session_image *image);

/* The same as session_arrive, and the session is frozen: session_thaw lets it
 * go on. NULL with errno. */
struct session *
session_arrive_frozen(struct plane *plane,
                      const struct session_image *image) WARN_UNUSED;

/*
 * The same in two steps, the second of which is short.
 *
 * session_place watches the sockets of a session that may arrive, which goes on
 * elsewhere until it is frozen there: only its service, client and sockets need
 * be known. The session is frozen, nothing is counted, and its upstream is
 * NULL. NULL with errno: the descriptors of the sockets are closed.
 *
 * session_fill gives it the rest of the image, whose sockets' descriptors are
 * not used. -1 with errno: session_depart is due, as it is for a place that is
 * never filled. It owns the descriptors of pipes in any case.
 */
struct session *session_place(struct plane *plane,
                              const struct session_image *image) WARN_UNUSED;
int session_fill(struct plane *plane, struct session *session,
                 const struct session_image *image) WARN_UNUSED;

/* Describes an established session for session_place, without stopping it. From
 * now on another process may have descriptors of its sockets, so its end shuts
 * them down (SOCK_OPTION_SHARED): a close alone would leave the connections
 * open. False: the session cannot move, see session_freeze. */
bool session_announce(struct session *session,
                      struct session_image *image) WARN_UNUSED;

#endif
