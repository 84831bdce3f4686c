/*
 * rig: one run of the data plane against the simulated kernel: planes without a
 * thread, a few services, and a few connections with what their clients, their
 * servers and the network between do. All of it follows from the seed.
 *
 *      layout.c    services and listen addresses
 *      entry.c     what connections begin with
 *      text.c      the configuration
 *      conn.c      what clients and servers do
 *      network.c   what connects meet, and which server is whose
 *      down.c      upstreams that checks take out
 *      ends.c      what the log says of each end
 *      check*.c    whether it all is as it should be
 *
 * Several connections may share a service, and services a listen address. Which
 * connection a line of the log is about is known by its client's port.
 */
#ifndef EVPROXY_FAULT_RIG_H
#define EVPROXY_FAULT_RIG_H

#include "opening.h"
#include "peer.h"

#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

#define CONNS_MAX        4
#define SERVICES_MAX     8
#define UPSTREAMS_MAX    300
#define ANSWERS_MAX      8 /* attempts whose answers are planned one by one */
#define RATE_LEAST_BYTES 8192u
#define LISTEN_PORT      1000
#define CLIENT_PORT      40000 /* of connection 0 */
#define TOLD_PORT        50000 /* the same, as its PROXY header tells */
#define UPSTREAM_PORT    80

/* Within this a session ends when its peers have gone, and a reset is passed
 * on. Shorter than any timeout that would cover up for a lost edge. */
#define PROMPT_NS (25 * NS_PER_S)

/* What a run is about. */
enum rig_theme {
    RIG_FLOW,     /* all send, read and end in order */
    RIG_RESETS,   /* some reset, some are refused */
    RIG_STALLS,   /* some stop reading, or send nothing any more */
    RIG_DRAIN,    /* all of it, and the planes are drained and emptied */
    RIG_SHORTAGE, /* all of it, and descriptors, ports and memory run out */
    RIG_DOWN,     /* all of it, and upstreams are taken out with on_down */
};

enum conn_kind {
    CONN_FLOW,
    CONN_CLIENT_RESETS,
    CONN_SERVER_RESETS,
    CONN_BOTH_RESET,
    CONN_LATE_RESET, /* after a FIN */
    CONN_STALL,
    CONN_SILENCE,
};

/* What becomes of a connection before an upstream is asked. */
enum entry {
    ENTRY_ROUTED,
    ENTRY_NOT_ALLOWED, /* to send a PROXY header */
    ENTRY_BAD_HEADER,
    ENTRY_CUT_OFF, /* it ends within its opening */
    ENTRY_SILENT,  /* its opening never ends */
    ENTRY_NO_ROUTE,
    ENTRY_DENIED, /* by its service */
};

/* What an upstream answers to a connect. */
enum answer { ANSWER_ACCEPT, ANSWER_REFUSE, ANSWER_SILENCE, ANSWER_RESET };

/* PROXY headers that the upstreams of a service are sent. */
enum told { TOLD_NONE, TOLD_V1, TOLD_V2, TOLD_MIXED };

enum rule { RULE_NONE, RULE_DENY, RULE_ALLOW };

/* A listen address: port LISTEN_PORT and its place. */
struct listen {
    bool proxy_protocol;
    bool named;                /* services are told apart by name */
    unsigned senders;          /* bit n: local address n may send a header */
    struct rig_service *front; /* counts what ends before it is routed */
};

/* A service of the configuration; its upstreams are 10.i.x.x, with its place
 * i. */
struct rig_service {
    unsigned listen;
    char names[64]; /* sni; "": it takes the rest */
    unsigned upstreams;
    unsigned attempts;        /* connect_attempts */
    unsigned max_connections; /* 0: no limit; and the next two too */
    unsigned per_source;
    unsigned upstream_max; /* max_connections of each upstream */
    unsigned fail_threshold;
    bool sources; /* it has source addresses */
    enum rule rule;
    const char *rule_source;
    enum told told;
    unsigned header_ms; /* timeouts; 0: the default */
    unsigned connect_ms;
    unsigned idle_ms;
    unsigned read_ms;
    unsigned write_ms;
    unsigned half_close_ms;
    unsigned lifetime_ms;
    unsigned rate[DIRECTIONS];        /* bytes a second; 0: no limit */
    unsigned shared_rate[DIRECTIONS]; /* of all connections */
    unsigned burst;
    const char *balance;
    unsigned clients;      /* connections that ask for it */
    unsigned connects;     /* that reached the network */
    unsigned ends[CAUSES]; /* by the log */
    uint64_t bytes[DIRECTIONS];
};

/* One client, the servers that its connects reach, and what becomes of them. */
struct conn {
    enum conn_kind kind;
    struct rig_service *service; /* that it asks for; NULL: nobody's */
    unsigned listen;
    char name[64]; /* of the host that it asks for */
    enum entry entry;
    unsigned local;     /* its own address is 127.0.0.1 + local */
    const char *source; /* address that limits and rules go by */
    struct addr client; /* the same with its port, as upstreams are told */
    uint8_t *told[2];   /* PROXY header of version 1 and 2 for upstreams */
    uint32_t told_bytes[2];
    uint32_t needed; /* bytes that must come before it can be routed */
    bool whole;      /* fewer would do, so they are not cut off */

    struct peer_plan server_plan;
    struct peer client_peer;
    struct peer *servers[ANSWERS_MAX];
    unsigned server_count;
    enum answer answers[ANSWERS_MAX];
    bool one_by_one; /* all upstreams are tried, and refuse but for this: */
    int good;        /* -1: none */
    uint64_t tried[(UPSTREAMS_MAX + 63) / 64];
    unsigned attempts; /* that reached the network */
    enum answer last_answer;
    uint64_t asked_ns; /* when the last of them did */

    /* What the log says. */
    unsigned ends;
    struct rig_service *ended_in;
    enum cause cause;
    int upstream; /* -1: none */
    uint64_t bytes[DIRECTIONS];
    uint64_t duration_ms;
    uint64_t ended_ns;
    bool upgrading;    /* an upgrade was under way at that time */
    uint64_t taken_ns; /* when a server accepted it; 0: none */
    bool established;
};

/* The run under way. */
struct rig {
    enum rig_theme theme;
    struct conn conns[CONNS_MAX];
    unsigned count;
    struct listen listens[CONNS_MAX];
    struct rig_service services[SERVICES_MAX];
    unsigned service_count;
    bool reversed; /* in the configuration the last service comes first */
    bool narrow;   /* the process may have few connections */
    bool flood;    /* one moves more than a visit's budget */
    bool stalled;  /* some connection holds blocks until a timeout */
    bool moves;    /* sessions move from plane to plane */
    unsigned reload_turn; /* of the loop, when that happens; 0: not */
    unsigned drain_turn;
    unsigned reset_turn;
    unsigned down_turn;
    unsigned up_turn; /* they are back */
    unsigned drained; /* reports of it */
    char failure[256];
};

extern struct rig rig;

/* A random number of that range, both ends included. */
static inline uint64_t between(uint64_t least, uint64_t most)
{
    return least + kernel_below(most - least + 1);
}

/* Records a failure; only the first counts. Answers false. */
bool rig_fail(const char *format, ...) PRINTF(1, 2);

/* layout.c */
void layout_plan(void);
/* The longest header_timeout. */
uint64_t layout_header_ns(void);
/* Whether the access rules of the service keep that client out. */
bool layout_denies(const struct rig_service *service, const char *source);

/* entry.c: what the connection begins with, and what becomes of it by that. */
void entry_plan(struct conn *conn);
/* A source that rules may name: a client's own, or told by headers. */
const char *entry_source(bool told);

/* text.c: the configuration of the layout, in a buffer that stays. */
const char *text_write(size_t *length);

/* conn.c */
void conn_plan_all(void);
void conn_begin_clients(void);
void conn_stop_all(void);

/* How often it may ask upstreams. */
unsigned conn_attempts(const struct conn *conn);

/* network.c */
void network_open(void);
void network_stop_servers(void);
/* The PROXY header that an upstream of the service is told: 0 none, 1 or 2. */
unsigned network_told(const struct rig_service *service, unsigned upstream);

/* down.c: when it takes upstreams out; takes them out, so that their
 * connections are reset, and brings them back; whether one was left. */
void down_plan(void);
void down_begin(void);
void down_end(void);
bool down_check(const struct conn *conn);

/* ends.c: from now on, and no more. */
void ends_begin(void);
void ends_stop(void);

/* check.c, check_entry.c: note what is wrong. */
void check_all(void); /* what became of the connections */
void check_time(uint64_t begin_ns, uint64_t over_ns);
void check_leftovers(void);
/* For check_all. Answer false if something is wrong. */
bool check_turned_away(const struct conn *conn);
bool check_refused(const struct conn *conn); /* by a limit */
/* True: too many of its source waited at its address already. */
bool check_source_waits(const struct conn *conn);
bool check_limits(void);
bool check_deadlines(const struct conn *conn);
/* For an attempt that was not answered, when it is over. */
bool check_connect_timeout(const struct conn *conn);
/* Faults have refused descriptors, ports or memory. */
bool check_local_trouble(void);

/* A whole run. NULL, or what was not as it should be. */
const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace);

#endif
