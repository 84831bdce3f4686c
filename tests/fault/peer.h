/*
 * peer: a scripted client or server at the far end of a simulated connection.
 *
 * It sends its opening and then numbered bytes of its own pattern, in pieces
 * and with pauses; reads what comes and compares it with what it must get; and
 * ends as its plan says. It is not under test and meets no faults.
 *
 *      client sends     | head  | hello | pattern ... |
 *      server gets      | its own head | hello | pattern ... |
 *
 * A head is a PROXY header: meant for the next hop, and not passed on.
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
    uint32_t total; /* bytes of the pattern to send */
    enum peer_ending ending;
    uint32_t reset_at;  /* bytes, the opening's included */
    uint32_t read_most; /* stops reading after so many; UINT32_MAX: never */
    uint64_t pause_ns;  /* at most, between acts */
    uint32_t urgent;    /* once in so many pieces ends with an urgent byte */
    bool hasty;         /* what it sends arrives at once, and so its reset */
};

/* What stands in front of a pattern. */
struct peer_front {
    const uint8_t *head;
    uint32_t head_bytes;
    const uint8_t *hello;
    uint32_t hello_bytes;
};

struct peer {
    struct stream *stream; /* NULL: not connected, or done */
    struct peer_plan plan;
    struct peer_front sends; /* in front of its pattern */
    struct peer_front gets;  /* in front of the pattern of the other */
    uint32_t pattern;        /* of what it sends */
    uint32_t expects;        /* pattern of what it gets */
    uint32_t sent;           /* bytes, heads included, and the next two too */
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
    uint64_t began_ns;
    uint64_t ended_ns; /* when it was done */

    /* NULL, or looks at what has come, and fills in plan, pattern and the like
     * when it shows who is at the other end; false: it does not yet. */
    bool (*identify)(struct peer *peer);
};

/* Acts from now on with this stream, which is its own. */
void peer_begin(struct peer *peer, struct stream *stream);

/* Resets its connection now. */
void peer_reset(struct peer *peer);

/* Done at the end of a run, whatever it was about to do. */
void peer_stop(struct peer *peer);

/* All that it is to send. */
static inline uint32_t peer_total(const struct peer *peer)
{
    return peer->sends.head_bytes + peer->sends.hello_bytes + peer->plan.total;
}

/* How many of so many bytes are not the head's. */
static inline uint32_t peer_payload(const struct peer_front *front,
                                    uint32_t count)
{
    return count > front->head_bytes ? count - front->head_bytes : 0;
}

/* Copies bytes from that place on of a front and the pattern behind it. */
void peer_copy(const struct peer_front *front, uint32_t pattern, uint32_t place,
               unsigned char *bytes, size_t count);

#endif
