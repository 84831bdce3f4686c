/*
 * rig: one run of the data plane against the simulated kernel: a plane without
 * a thread, a few services, and for each a client, its servers and a story of
 * what they do. All of it follows from the seed.
 *
 * Each story has a service of its own, so that its end is known by the
 * service's counters and a server's client by the address it was reached at.
 */
#ifndef EVPROXY_FAULT_RIG_H
#define EVPROXY_FAULT_RIG_H

#include "peer.h"
#include "proxy/reactor.h"

#include <stdbool.h>
#include <stdint.h>

#define STORIES_MAX      4
#define ATTEMPTS_MAX     3
#define PLANES_MAX       2
#define RATE_LEAST_BYTES 8192u
#define PORT_FIRST       1000
#define UPSTREAM_PORT    80

/* What a run is about. */
enum rig_theme {
    RIG_FLOW,     /* everybody sends, reads and ends in order */
    RIG_RESETS,   /* some reset, some are refused */
    RIG_STALLS,   /* some stop reading, or fall silent */
    RIG_DRAIN,    /* all of it, and the plane is drained and emptied */
    RIG_SHORTAGE, /* all of it, and descriptors and ports run out */
};

enum story_kind {
    STORY_FLOW,
    STORY_CLIENT_RESETS,
    STORY_SERVER_RESETS,
    STORY_BOTH_RESET,
    STORY_LATE_RESET, /* after a FIN */
    STORY_STALL,
    STORY_SILENCE,
};

enum fate { FATE_ACCEPT, FATE_REFUSE, FATE_SILENCE, FATE_RESET };

/* One client, the servers that its connects reach, and what becomes of them. */
struct story {
    enum story_kind kind;
    bool single; /* one upstream, and not as many as attempts */
    struct peer client;
    struct peer servers[ATTEMPTS_MAX];
    struct peer_plan server_plan;
    enum fate fates[ATTEMPTS_MAX];
    unsigned tried;    /* bit n: its upstream n */
    unsigned attempts; /* that reached the network */
    unsigned server_count;
    enum fate last_fate;
    enum cause cause;
    bool accepted;
    bool established;
};

/* The run under way. */
struct rig {
    enum rig_theme theme;
    struct story stories[STORIES_MAX];
    unsigned count;
    bool narrow;     /* the process may have few connections */
    bool flood;      /* one moves more than a visit's budget */
    bool stalled;    /* some story holds blocks until a timeout */
    char text[8192]; /* the configuration */
    size_t length;
    struct generation *generation;
    struct generation *before; /* a reload's */
    unsigned reload_turn;      /* of the loop, when that happens; 0: not */
    unsigned drain_turn;
    unsigned reset_turn;
    unsigned drained; /* reports of it */
    unsigned done;    /* reports of generations */
    struct shared shared;
    struct mailbox control;
    struct reactor planes[PLANES_MAX];
    unsigned plane_count;
    char complaint[256];
};

extern struct rig rig;

/* A random number of that range, both ends included. */
static inline uint64_t between(uint64_t least, uint64_t most)
{
    return least + kernel_below(most - least + 1);
}

/* Says what is not as it should be; the first complaint counts. Answers false.
 */
bool complain(const char *format, ...) PRINTF(1, 2);

/* story.c: what the peers do, and what the network does to connects. */
void story_set_world(void);
void story_plan_all(void);
void story_begin_clients(void);
void story_stop_all(void);

/* stage.c: the planes and their configuration. Aborts if it cannot. */
void stage_open(void);
void stage_close(void);
/* The configuration, once more, as by a reload. */
void stage_apply(void);
/* Counts and frees what was mailed to the control thread. */
void stage_read_reports(void);

/* judge.c: each complains. */
void judge_all(void); /* of what became of the stories */
void judge_time(uint64_t begin_ns, uint64_t over_ns);
void judge_leftovers(void);

/* A whole run. NULL, or what was not as it should be. */
const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace);

#endif
