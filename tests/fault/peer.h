/*
 * peer: a scripted client or server at the far end of a simulated connection.
 *
 * It sends numbered bytes of a pattern that is its own, in pieces and with
 * pauses, reads what comes and compares it with the pattern of the one that it
 * talks to, and ends as its plan says. It is not under test and meets no
 * faults.
 */
#ifndef EVPROXY_FAULT_PEER_H
#define EVPROXY_FAULT_PEER_H

#include "stream.h"

enum peer_ending {
    PEER_FIN,       /* ends its stream after its last byte */
    PEER_FIN_AFTER, /* the same, but not before the other has ended its own */
    PEER_RESET,     /* resets the connection after reset_at bytes */
    PEER_FIN_RESET, /* ends its stream, and then resets the connection */
    PEER_SILENCE,   /* sends its bytes and never ends its stream */
};

struct peer_plan {
    uint32_t total; /* bytes to send */
    enum peer_ending ending;
    uint32_t reset_at;
    uint32_t read_most; /* stops reading after so many; UINT32_MAX: never */
    uint64_t pause_ns;  /* at most, between acts */
    uint32_t urgent;    /* once in so many pieces ends with an urgent byte */
    bool hasty;         /* what it sends arrives at once, and so its reset */
};

struct peer {
    struct stream *stream; /* NULL: not connected, or done */
    struct peer_plan plan;
    uint32_t pattern; /* of what it sends */
    uint32_t expects; /* pattern of what it gets */
    uint32_t sent;
    uint32_t got;
    uint32_t delivered; /* of sent: what had left it when it ended by reset */
    bool began;
    bool scheduled;
    bool sent_fin;
    bool sent_reset;
    bool fin_delivered; /* before that */
    bool got_fin;
    bool got_reset;
    bool broken; /* sending failed: what was received is still to be read */
    bool wrong;  /* a byte was not the one that was due */
    bool refused_by_fault; /* the simulation's doing */
    uint64_t ended_ns;     /* when it was done */
};

/* Acts from now on with this stream, which is its own. */
void peer_begin(struct peer *peer, struct stream *stream);

/* Resets its connection now. */
void peer_reset(struct peer *peer);

/* Done at the end of a run, whatever it was about to do. */
void peer_stop(struct peer *peer);

#endif
