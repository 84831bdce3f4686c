/*
 * handover: all connections of a plane at once, on their way to another process
 * or from there. The plane's thread; between two of its steps the control
 * thread reads what they left.
 *
 *      the old process                     the new process
 *      handover_announce                   handover_freeze, without sessions
 *           │  descriptors          ────▶  handover_take, some at a time:
 *           │                                   │ they get their places
 *      handover_freeze                          │
 *           │  images               ────▶  handover_take, some at a time
 *           │                                   │
 *      handover_depart   ◀── it has all ────────┤
 *      or, if it fails,                    handover_thaw
 *      handover_thaw
 *
 * A frozen plane accepts nothing, and what comes waits in the kernel. Its
 * established sessions are frozen (session_image.h). Everything else goes on:
 * connects, handshakes, UDP sessions; those stay in the old process.
 *
 * Most of the work of a move is the kernel's, for each descriptor. It is done
 * while the sessions go on in the old process: their sockets are watched in the
 * new one before they freeze. A session that ends before the freeze leaves its
 * place unused. One that begins after the announcement is sent with its
 * descriptors after the freeze. If one of the binaries is older and knows no
 * announcements, all sessions are sent that way.
 */
#ifndef EVPROXY_PROXY_HANDOVER_H
#define EVPROXY_PROXY_HANDOVER_H

#include "proxy/session_image.h"

#include <stdbool.h>
#include <stdint.h>

#define HANDOVER_NO_PLACE UINT32_MAX

struct handover_session {
    struct session *session;
    struct session_image image;
    uint32_t instance; /* of the client's token: tells the session from others
                          that have had its record */
    uint32_t index;    /* of the record, in ascending order */
    uint32_t place;    /* when frozen: its number among those announced here, or
                          HANDOVER_NO_PLACE */
    bool stays; /* set by the control thread: the new process has not taken it
                   up, and it goes on here */
};

/* The sessions that are announced, or those that are frozen. All-zero: none. */
struct handover {
    struct handover_session *list;
    uint32_t count;
    uint32_t announced; /* how many were */
};

/* Describes the sessions that would move now; they go on. False: no memory for
 * the list. */
bool handover_announce(struct plane *plane, struct handover *handover);

/* Stops accepting and freezes; takes the list of what was announced and leaves
 * that of what is frozen. False: no memory for it; nothing has changed. */
bool handover_freeze(struct plane *plane, struct handover *handover);

/* All goes on here. Frees the list. */
void handover_thaw(struct plane *plane, struct handover *handover);

/* The sessions that the new process has taken continue there. The others
 * continue here, in a drain. Closes the listening sockets without emptying
 * them. Frees the list. */
void handover_depart(struct plane *plane, struct handover *handover);

/* One connection that arrives, and in the end whether it has. */
struct handover_arrival {
    struct session_image image;   /* relay[i].block is to be freed */
    struct handover_place *place; /* of this plane; NULL: it has none */
    uint32_t number;  /* in the order of arrival; and of its service: */
    uint32_t service; /* the control thread's */
    bool taken;
};

/* One that is announced. */
struct handover_place {
    struct session *session; /* the plane's: NULL before it has a place, if it
                                gets none, and when it is filled */
    unsigned worker;         /* the control thread's */
};

/* Some of them for one plane; in one allocation. */
struct handover_batch {
    struct list link; /* the control thread's */
    bool announced;   /* they get places */
    uint32_t count;
    struct handover_arrival list[];
};

/* Takes the sessions up, frozen, and counts them in. Those that are announced
 * get places. */
void handover_take(struct plane *plane, struct handover_batch *batch);

/* Frees the batch with its blocks. The descriptors are not its own. */
void handover_free_batch(struct handover_batch *batch);

#endif
