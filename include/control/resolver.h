/*
 * resolver: host names to addresses by the system's resolver, so that its hosts
 * files and its order of sources count, and SRV names to records by its name
 * servers. It can block for as long as a name server is silent, so each look-up
 * is made by a thread of this room.
 *
 * A thread begins with a look-up for which there is none and ends when no
 * look-up waits. There are at most RESOLVER_THREADS. Look-ups that are expected
 * to be slow get no more than RESOLVER_SLOW of them: while one server is silent
 * the names of others are still answered.
 *
 * The control thread asks, and gets each look-up back as a message.
 */
#ifndef EVPROXY_CONTROL_RESOLVER_H
#define EVPROXY_CONTROL_RESOLVER_H

#include "base/address.h"
#include "base/endpoint.h"
#include "base/srv_record.h"
#include "net/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESOLVER_THREADS 64
#define RESOLVER_SLOW    48

#define LOOKUP_ERROR_MAX 128

/* A question, then its answer. */
struct lookup {
    struct message message;
    bool slow;              /* is expected to be */
    enum address_kind kind; /* ADDRESS_NAME, ADDRESS_SRV */
    char host[ADDR_HOST_MAX];

    struct endpoint *found;     /* ADDRESS_NAME: TCP addresses without a port,
                                   sorted by endpoint_compare_ip, each once;
                                   NULL: none */
    struct srv_record *records; /* ADDRESS_SRV: sorted by srv_record_compare,
                                   each once; NULL: none */
    size_t count;
    uint32_t ttl_s; /* of the records */
    uint64_t took_ns;
    char error[LOOKUP_ERROR_MAX]; /* why there is none */
};

struct resolver;

/* type: of its messages to the mailbox. NULL with errno = ENOMEM. */
struct resolver *resolver_create(struct mailbox *mailbox, int type) WARN_UNUSED;

/* Does not wait for look-ups that are under way: their threads post no message
 * any more, and the last of them frees the resolver. */
void resolver_destroy(struct resolver *resolver);

/* Looks the name up. -1 with errno: there is no memory or no thread for it. */
int resolver_ask(struct resolver *resolver, enum address_kind kind,
                 const char *host, bool slow) WARN_UNUSED;

/* The look-up that came as a message, which its receiver frees. */
struct lookup *lookup_of(struct message *message);
void lookup_free(struct lookup *lookup);

/* What a thread does: finds the addresses or records of lookup->host. It
 * blocks. */
void lookup_run(struct lookup *lookup);

#endif
