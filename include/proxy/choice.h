/*
 * choice: which upstream one client is sent to. Picks an upstream of the
 * service, counts the client in there, begins the connect, and goes on to the
 * next upstream when that fails. Remembers which upstreams were tried. For TCP
 * and UDP alike; the plane's thread.
 *
 * A choice begins when the client's service is known and stays with that
 * service: everything in it is sized and counted by it.
 *
 *      pick ──▶ count in ──▶ connect ──▶ choice_keep
 *        ▲         │ full       │ fails: choice_fail
 *        └─────────┴────────────┘
 *
 * A shortage of this machine (ports, descriptors, memory) fails an attempt and
 * is not held against the upstream.
 */
#ifndef EVPROXY_PROXY_CHOICE_H
#define EVPROXY_PROXY_CHOICE_H

#include "net/connect.h"
#include "proxy/plane.h"

#include <stdbool.h>
#include <stdint.h>

/* How the client's upstream is connected and watched. */
struct choice_request {
    struct plane *plane;
    const struct addr *client;
    enum plane_kind kind; /* of the token: PLANE_SESSION, PLANE_UDP_SESSION */
    uint32_t index;       /* of the token */
    uint16_t port;        /* that the client came to */
};

struct choice {
    struct service *service;
    struct upstream *upstream; /* the last one tried; NULL: none */
    uint64_t *tried; /* bit n: upstream n is not picked again; NULL: none is */
    uint32_t place;  /* of upstream in the service */
    uint16_t attempts; /* connects begun */
    uint8_t cause;     /* enum cause: of the last one that failed */
    bool entered : 1;  /* upstream_leave is due */
    bool paused : 1;   /* CHOICE_PAUSE was answered */
    bool stopped : 1;  /* no memory to note what was tried: no more attempts */
};

enum choice_answer {
    CHOICE_CONNECTING, /* an event tells how it ends */
    CHOICE_CONNECTED,
    CHOICE_PAUSE, /* the only upstream has failed: ask again after a pause */
    CHOICE_FULL,  /* all upstreams are full: it may wait for a place, see
                     queue_timeout. Nothing has been tried */
    CHOICE_NONE,  /* no upstream is left, or no attempt; see choice_cause */
};

void choice_begin(struct choice *choice, struct service *service);

/* Opens sock to the next upstream and watches it; *instance is that of its
 * token. */
enum choice_answer choice_connect(struct choice *choice,
                                  const struct choice_request *request,
                                  struct sock *sock,
                                  uint32_t *instance) WARN_UNUSED;

/* The connect, or what follows it, has failed with that errno: closes sock and
 * holds the failure against the upstream, unless it is this machine's. */
void choice_fail(struct choice *choice, struct plane *plane, struct sock *sock,
                 int error);

/* Gives this upstream up for the next one, without counting a failure: closes
 * sock. */
void choice_pass_over(struct choice *choice, struct sock *sock);

/* Why no upstream was found. */
enum cause choice_cause(const struct choice *choice);

/* The connect has succeeded: frees the choice and returns the upstream, which
 * the caller leaves when the connection ends. */
struct upstream *choice_keep(struct choice *choice, struct plane *plane);

/* Gives up: frees the choice and leaves the upstream. */
void choice_drop(struct choice *choice);

/* Whether the service has an upstream that is up and not drained, and one that
 * is not full either. */
bool choice_may_get_place(const struct service *service);
bool choice_has_place(const struct service *service);

/* The line of the configuration that the upstream comes from. */
static inline const struct config_upstream *
choice_line(const struct choice *choice)
{
    return choice->service->lines[choice->place];
}

/* Counts a failure of an upstream by that errno, and takes it out at
 * fail_threshold. */
void choice_blame(struct plane *plane, const struct service *service,
                  struct upstream *upstream, enum cause cause, int error);

#endif
