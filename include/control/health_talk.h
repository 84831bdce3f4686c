/*
 * health_talk: one check over one socket: what it sends, what it waits for, and
 * how it ends. Control thread. When a check begins and what its result changes
 * is in control/health_check.h.
 *
 *      connect ─▶ PROXY header ─▶ TLS ─▶ question ─▶ answer ─▶ passed, failed
 *         │            │           │        ▲           │
 *         └────────────┴───────────┴────────┴───────────┘ as far as wanted
 *
 * tcp has no question. http asks once, and the status line decides. expect asks
 * as often as there are pairs, and what comes between an answer and the next
 * question is skipped. A header is that of a connection without a client:
 * UNKNOWN or LOCAL. Datagrams have none, and neither TLS.
 */
#ifndef EVPROXY_CONTROL_HEALTH_TALK_H
#define EVPROXY_CONTROL_HEALTH_TALK_H

#include "net/sock.h"
#include "service/service.h"
#include "wire/expectation.h"
#include "wire/http_status.h"

#include <stdbool.h>
#include <stdint.h>

enum talk {
    TALK_WAITS,     /* for an event */
    TALK_HANDSHAKE, /* a step of TLS is due: health_talk_step goes on */
    TALK_PASSED,
    TALK_FAILED,   /* cause and reason say why */
    TALK_SHORTAGE, /* of this machine: the check has no result */
};

enum talk_phase {
    TALK_CONNECT,
    TALK_HEADER,
    TALK_TLS,
    TALK_ASK,
    TALK_LISTEN,
};

struct health_talk {
    struct sock sock; /* fd -1: there is none */
    const struct service *service;
    uint32_t place;                  /* of the upstream in the service */
    uint8_t phase;                   /* enum talk_phase */
    uint8_t kind;                    /* enum config_health: what it does */
    uint32_t sent;                   /* bytes of what is being sent */
    uint32_t read;                   /* bytes since the verdict */
    uint32_t exchange;               /* of expect: which pair */
    struct http_status status;       /* of http */
    struct expectation *expectation; /* of expect: of the pair; or NULL */
    uint32_t cause;                  /* of the failure, as check_cause.h */
    int error;          /* errno of the failure, if that says more; or 0 */
    const char *reason; /* of a failed handshake; a literal, or NULL */
};

/*
 * Begins a check of that kind (HEALTH_OFF: whether clients could connect) of
 * the service's upstream. With TALK_WAITS and TALK_HANDSHAKE the caller watches
 * the socket. With any answer it calls health_talk_end.
 */
enum talk health_talk_begin(struct health_talk *talk,
                            const struct service *service, uint32_t place,
                            enum config_health kind) WARN_UNUSED;

/* After an event, whose mask the socket has. */
enum talk health_talk_continue(struct health_talk *talk) WARN_UNUSED;

/* After TALK_HANDSHAKE: one step of the handshake, and what follows it. */
enum talk health_talk_step(struct health_talk *talk) WARN_UNUSED;

/* Its time is up: sets the cause. */
void health_talk_expire(struct health_talk *talk);

/* After the verdict: reads what still comes, so that the other end is not
 * reset while it writes. False: the end of the stream has come, or enough. */
bool health_talk_linger(struct health_talk *talk) WARN_UNUSED;

/* Closes the socket, with a FIN. Harmless if there is none. */
void health_talk_end(struct health_talk *talk);

#endif
