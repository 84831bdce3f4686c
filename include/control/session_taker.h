/*
 * session_taker: the connections of an upgrade on their way from the messages
 * to the workers of the new process, evenly.
 * Control thread, outside its loop: it waits for the workers here.
 */
#ifndef EVPROXY_CONTROL_SESSION_TAKER_H
#define EVPROXY_CONTROL_SESSION_TAKER_H

#include "base/record.h"
#include "control/ledger_reader.h"
#include "control/workers.h"
#include "net/channel.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>

/* Bytes that a relay of the next session holds. */
struct session_taker_bytes {
    unsigned char *bytes;
    uint32_t count;
};

struct session_taker {
    struct loop *loop; /* whose mailbox gets the workers' reports */
    struct workers *workers;
    struct ledger_reader *ledger;        /* knows the services and upstreams */
    struct session_taker_bytes bytes[2]; /* by direction */
    struct handover_batch **batches;     /* by worker: of the present message */
    struct handover_place **places;      /* by their number */
    size_t place_count;
    struct list aside; /* messages to the control thread, for later */
    unsigned due;      /* reports of workers that are awaited */
    uint32_t count;    /* sessions that were read */
    uint32_t *stays;   /* the numbers of those that stay in the old process */
    size_t stay_count;
    bool failed; /* no memory for one of them */
};

/* The functions answer NULL, or a sentence that says why they failed. The first
 * three fields are set. */

/* Makes all workers freeze. */
const char *session_taker_freeze(struct session_taker *taker) WARN_UNUSED;

/* How many are to come: whether RLIMIT_NOFILE is enough for them. */
const char *session_taker_check(const struct record *sessions) WARN_UNUSED;

/* Adds bytes that a relay of the next session holds. */
const char *session_taker_add_bytes(struct session_taker_bytes *bytes,
                                    const struct record *record) WARN_UNUSED;

/* One session; takes its descriptors out of the message. If this process lacks
 * its service or its upstream, it stays in the old one. */
const char *session_taker_take(struct session_taker *taker,
                               const struct record *record,
                               struct channel_message *in) WARN_UNUSED;

/* The same for one that is announced: it gets a place, if there is one. */
const char *session_taker_announced(struct session_taker *taker,
                                    const struct record *record,
                                    struct channel_message *in) WARN_UNUSED;

/* At the end of a message: sends what is gathered to the workers. */
const char *session_taker_flush(struct session_taker *taker) WARN_UNUSED;

/* Waits until they have answered. Other messages wait for the loop. */
const char *session_taker_await(struct session_taker *taker) WARN_UNUSED;

/* Lets all go on, posts the messages that were put aside, and frees the rest.
 */
void session_taker_start(struct session_taker *taker);

/* Frees what it has allocated. */
void session_taker_free(struct session_taker *taker);

#endif
