/*
 * listener: takes connections from a listening socket: checks the limits, and
 * hands them to a session or resets them.
 *
 * Level-triggered, with a budget for each turn of the loop, after the turn's
 * events: those who are here already come first. At the process's limit, or
 * when the machine has no descriptor or memory left, the plane stops watching
 * all its listeners, and tries again by a timer and whenever one of its
 * sessions ends.
 */
#ifndef EVPROXY_PROXY_LISTENER_H
#define EVPROXY_PROXY_LISTENER_H

#include "proxy/plane.h"

/* A slot of plane->listeners; all-zero apart from fd -1: free. */
struct listener {
    int fd; /* -1: the slot is free */
    uint32_t
        instance; /* in the token: events of a former tenant are not ours */
    const struct listen_socket *socket; /* of the plane's generation */
    bool shared; /* a unix socket: other planes watch the same one */
    bool ready;
    bool kept; /* while a generation is applied */
};

/* Watches the generation's sockets from now on, and no others: those are
 * emptied and closed. 0, or -1 with errno if one could not be watched (it is
 * tried again with the next pause's timer). */
void listener_apply(struct plane *plane, const struct generation *generation);

/* Empties and closes all. */
void listener_close_all(struct plane *plane);

/* The loop's handlers. */
void listener_event(struct plane *plane, uint32_t slot, uint32_t instance);
void listener_timer(struct plane *plane);

/* At the end of a turn: accepts from those that are ready. */
void listener_accept_ready(struct plane *plane);

/* Stops watching, for want of descriptors or memory (errno says what). */
void listener_pause_exhausted(struct plane *plane, int error);

#endif
