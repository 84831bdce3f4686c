/*
 * handed: the listening sockets that one process hands to the next, as records
 * and, in the next one, as a table from which services and HTTP take theirs
 * instead of opening new ones. So no socket is ever closed on which a client
 * may wait. Control thread.
 */
#ifndef EVPROXY_CONTROL_HANDED_H
#define EVPROXY_CONTROL_HANDED_H

#include "base/endpoint.h"
#include "base/record.h"
#include "control/inherited.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The owner, if it is no worker. */
#define HANDED_HTTP UINT32_MAX
#define HANDED_MANAGER                                                         \
    (UINT32_MAX - 1) /* kept for the service manager: see                      \
                        control/inherited.h */

struct handed_socket {
    int fd; /* -1: taken */
    int type;
    uint32_t owner; /* a worker, or one of the above */
    bool inherited; /* the service manager has the socket too */
    bool dropped_known;
    uint32_t dropped; /* of datagrams: as struct listen_socket has it */
    struct endpoint endpoint;
};

/* All-zero: empty. */
struct handed {
    struct handed_socket *list;
    size_t count;
    size_t search_at; /* they are taken in about the order that they came in */
};

/* ---- in the process that hands them over ---- */

/* Lists the sockets of a generation, of HTTP (fd -1: it has none) and of the
 * service manager. Their owners stay the same. -1: no memory. */
int handed_collect(struct handed *handed, const struct generation *generation,
                   const struct handed_socket *http,
                   const struct inherited *inherited) WARN_UNUSED;

/* Writes a record with that tag. The descriptor travels beside it. */
void handed_write(const struct handed_socket *socket, unsigned tag,
                  struct record_writer *writer);

/* ---- in the process that takes over ---- */

/* Reads a record into the table, which owns the descriptor from then on. False:
 * it is malformed, or there is no memory. */
bool handed_read(struct handed *handed, const struct record *record,
                 int fd) WARN_UNUSED;

/* Takes the socket of that owner with the endpoint. NULL: there is none. The
 * answer is valid until the next handed_read; its descriptor is the caller's.
 */
const struct handed_socket *handed_take(struct handed *handed, int type,
                                        const struct endpoint *endpoint,
                                        uint32_t owner);

/* Moves the sockets of the service manager to their table. False: no memory. */
bool handed_move_inherited(struct handed *handed,
                           struct inherited *inherited) WARN_UNUSED;

/* Frees the list. */
void handed_free(struct handed *handed);

/* The same, and closes what was not taken. */
void handed_close(struct handed *handed);

#endif
