/*
 * handover: all connections of a plane at once, on their way to another process
 * or from there. The plane's thread; between two of its steps the control
 * thread reads what they left.
 *
 *      the old process                     the new process
 *      handover_freeze                     handover_freeze, without sessions
 *           │  images, descriptors  ────▶  handover_take, some at a time
 *           │                                   │
 *      handover_depart   ◀── it has all ────────┤
 *      or, if it fails,                    handover_thaw
 *      handover_thaw
 *
 * A frozen plane accepts nothing, and what comes waits in the kernel. Its
 * established sessions are frozen (session_image.h). Everything else goes on:
 * connects, handshakes, UDP sessions; those stay in the old process.
 */
#ifndef EVPROXY_PROXY_HANDOVER_H
#define EVPROXY_PROXY_HANDOVER_H

#include "proxy/session_image.h"

#include <stdbool.h>
#include <stdint.h>

struct handover_session {
    struct session *session;
    struct session_image image;
    bool stays; /* set by the control thread: the new process has not taken it
                   up, and it goes on here */
};

/* The frozen sessions. All-zero: none. */
struct handover {
    struct handover_session *list;
    uint32_t count;
};

/* Stops accepting and freezes. False: no memory for the list; nothing has
 * changed. */
bool handover_freeze(struct plane *plane, struct handover *handover);

/* All goes on here. Frees the list. */
void handover_thaw(struct plane *plane, struct handover *handover);

/* What the new process has goes on there. What stays goes on here, in a drain.
 * Closes the listening sockets without emptying them. Frees the list. */
void handover_depart(struct plane *plane, struct handover *handover);

/* One connection that arrives, and in the end whether it has. */
struct handover_arrival {
    struct session_image image; /* relay[i].block is to be freed */
    uint32_t number;  /* in the order of arrival; and of its service: */
    uint32_t service; /* the control thread's */
    bool taken;
};

/* Some of them for one plane; in one allocation. */
struct handover_batch {
    struct list link; /* the control thread's */
    uint32_t count;
    struct handover_arrival list[];
};

/* Takes the sessions up, frozen, and counts them in. */
void handover_take(struct plane *plane, struct handover_batch *batch);

/* Frees the batch with its blocks. The descriptors are not its own. */
void handover_free_batch(struct handover_batch *batch);

#endif
