/*
 * names: the names of upstreams: of each host name the addresses, and of each
 * SRV name the records, by its last good answers, and when it is looked up
 * next. Pure; control thread. The look-ups are made by control/lookups.h.
 *
 * The targets of an SRV name's records are host names of the table as others
 * are, and are looked up as often as the SRV name.
 *
 * The table outlives generations. A new generation takes its addresses from
 * here and does not wait: a name without a good answer has none, and its
 * upstream is down.
 *
 * A failed or empty answer changes nothing. An address or record that a good
 * answer lacks stays until a second good answer lacks it too, since a server
 * may tell a part of them at a time.
 */
#ifndef EVPROXY_CONTROL_NAMES_H
#define EVPROXY_CONTROL_NAMES_H

#include "config/config.h"
#include "service/resolution.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* To the next look-up after a failed one; twice as long after each further one,
 * up to the interval of the name. */
#define NAMES_RETRY_NS NS_PER_S

/* SRV records whose time to live is shorter are kept so long. */
#define NAMES_TTL_MIN_NS NS_PER_S

#define NAMES_ERROR_MAX 128

struct name {
    char *host;
    enum address_kind kind; /* ADDRESS_NAME, or ADDRESS_SRV: of records */
    union {                 /* sorted, each once */
        void *items;
        struct endpoint *addresses; /* without a port */
        struct srv_record *records;
    };
    bool *missed; /* by item: the last good answer lacked it */
    size_t count;

    uint64_t service_ns;  /* the shortest interval of its services; 0: none */
    uint64_t interval_ns; /* the same, of SRV names whose target it is too; 0:
                             not in use */
    uint64_t ttl_ns;      /* of the records; UINT64_MAX: not known */
    uint64_t due_ns;      /* when it is looked up, unless asked */
    uint32_t failures;    /* failed answers since the last good one */
    bool answered;        /* by a good answer, ever */
    bool asked;           /* a look-up is under way; set by the caller */
    size_t added;         /* items; cleared by the caller, as are the next */
    size_t removed;
    bool changed; /* the priority or weight of records */
    bool slow;    /* for the caller: its last look-up took long */
    char error[NAMES_ERROR_MAX]; /* of the last failed answer */
};

struct names {
    struct resolution_names known; /* the addresses, for generation_create */
    struct name **list;            /* sorted by host */
    size_t count;
};

void names_init(struct names *names);
void names_fini(struct names *names);

/* Adds the names of the config that the table lacks. They are not in use until
 * names_keep. -1 with errno = ENOMEM: none is added. */
int names_add(struct names *names, const struct config *config) WARN_UNUSED;

/* The config, whose names were added, is the current one: its names are due
 * now, and others are forgotten. */
void names_keep(struct names *names, const struct config *config,
                uint64_t now_ns);

/* NULL: not in the table. Case plays no part. */
struct name *names_find(const struct names *names, enum address_kind kind,
                        const char *host);

/*
 * A good answer for a host name has come: addresses, not empty, sorted by
 * endpoint_compare_ip, each once. It adds to name->added and name->removed. -1
 * with errno = ENOMEM: the answer is lost, and nothing has changed but the time
 * of the next look-up.
 */
int names_answer(struct name *name, const struct endpoint *found, size_t count,
                 uint64_t now_ns) WARN_UNUSED;

/*
 * The same for an SRV name: records, sorted by srv_record_compare, each once.
 * It also sets name->changed. The targets are added to the table and due, if
 * they were not looked up just now; host names that are no target any more are
 * forgotten.
 */
int names_answer_records(struct names *names, struct name *name,
                         const struct srv_record *found, size_t count,
                         uint64_t ttl_ns, uint64_t now_ns) WARN_UNUSED;

/* Another process had this good answer: count addresses or records, sorted as
 * above. The name is added to the table, and is not in use until names_keep. -1
 * with errno = ENOMEM. */
int names_restore(struct names *names, enum address_kind kind, const char *host,
                  const void *items, size_t count) WARN_UNUSED;

/* A failed or empty answer has come. error: why. */
void names_fail(struct name *name, const char *error, uint64_t now_ns);

#endif
