/*
 * waiting: connections whose client still owes what comes before its bytes: a
 * PROXY header, a server name, a TLS handshake. No limit of a service holds for
 * most of them, so all together have a share of the process, and those of one
 * source a smaller one:
 *
 *      in all         a quarter of max_connections    above: the one that has
 *                                                     waited longest goes
 *      of one source  a 64th of max_connections       above: the new one goes
 *
 * Each is at least WAITING_SHARE_MIN. If every service of an address limits the
 * connections of a source, no more of one may wait there than all of them
 * together would let in.
 *
 * Each worker has a line of its own, the oldest connection first; the counts
 * are of all workers. If the oldest of all stands in another worker's line,
 * that worker gets a message.
 *
 * The counts of sources are a sketch (Cormode and Muthukrishnan, "An improved
 * data stream summary: the count-min sketch", 2005), so that a connection costs
 * neither a lock nor memory: two counters for each source, of which the smaller
 * one counts. With k sources at their limit, another one is refused by mistake
 * with a probability of (k / 65536)^2. The hash has a secret seed, so that an
 * attacker cannot choose sources that have another one refused.
 *
 * Knows nothing of sessions. Places and lines belong to their worker's thread,
 * the rest to any.
 */
#ifndef EVPROXY_PROXY_WAITING_H
#define EVPROXY_PROXY_WAITING_H

#include "base/base.h"
#include "base/list.h"
#include "base/network.h"
#include "net/mailbox.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WAITING_SHARE_MIN 16u
#define WAITING_LINES_MAX 1024u /* workers */

/* A connection's place in the line. All-zero: it is in none. */
struct waiting_place {
    struct list link;
    uint64_t since_ns;
    bool in_source;  /* waiting_leave_source is due, for the process */
    bool in_address; /* and for the address, see waiting_enter_source */
};

/* One worker's. */
struct waiting_line {
    struct list places;
    struct mailbox *mailbox;    /* the worker's */
    struct message message;     /* that waiting_due is more than 0 */
    _Atomic uint64_t oldest_ns; /* of the first place; UINT64_MAX: none. The
                                   worker writes, any worker reads */
    _Atomic uint32_t due;       /* places that must go; others add */
};

struct waiting {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count; /* places in all lines;
                                      every worker adds and subtracts */
    _Atomic uint32_t nameless; /* connections that no service has counted yet;
                                  every worker adds and subtracts */
    _Atomic(struct waiting_line *) lines[WAITING_LINES_MAX]; /* by worker; each
                                      writes its own */
    _Atomic unsigned line_count; /* workers at most so far */
    _Atomic uint32_t *sources;   /* the sketch; any worker adds */
    uint64_t seed;
};

/* -1 with errno. */
int waiting_init(struct waiting *waiting) WARN_UNUSED;
void waiting_fini(struct waiting *waiting);

/* The line of the worker of that number, who gets messages of that type. */
void waiting_open(struct waiting *waiting, unsigned worker,
                  struct waiting_line *line, struct mailbox *mailbox,
                  int message_type);
void waiting_close(struct waiting *waiting, unsigned worker);

/* The place is the last in the line. True: the share is exceeded, and
 * waiting_choose is due. */
bool waiting_enter(struct waiting *waiting, struct waiting_line *line,
                   struct waiting_place *place, uint64_t now_ns,
                   uint32_t max_connections) WARN_UNUSED;
/* Harmless if it is in none. */
void waiting_leave(struct waiting *waiting, struct waiting_line *line,
                   struct waiting_place *place);

/* What one source may have of the process. */
uint32_t waiting_source_share(uint32_t max_connections);

/* What counts as one source in the process. */
#define WAITING_PREFIXES ((struct network_prefixes){.v4 = 32, .v6 = 64})

/* False: the source has so many already. key: what is counted apart; 0: all of
 * the process, by WAITING_PREFIXES. All clients without an IP address are one
 * source. */
bool waiting_enter_source(struct waiting *waiting, const struct network *source,
                          uint64_t key, uint32_t most) WARN_UNUSED;
void waiting_leave_source(struct waiting *waiting, const struct network *source,
                          uint64_t key);

/* The place that must go, which is the oldest of all. NULL: none, or its worker
 * was told. */
struct waiting_place *waiting_choose(struct waiting *waiting,
                                     struct waiting_line *line) WARN_UNUSED;

/* The message has come: how often waiting_choose is due here while the share is
 * exceeded. (By now another line may have the oldest.) */
uint32_t waiting_due(struct waiting_line *line) WARN_UNUSED;
bool waiting_exceeded(const struct waiting *waiting, uint32_t max_connections);

#endif
