/*
 * upgrade_writer: what the old process of an upgrade writes into its messages
 * (control/upgrade_message.h), as much as fits into each. Control thread.
 */
#ifndef EVPROXY_CONTROL_UPGRADE_WRITER_H
#define EVPROXY_CONTROL_UPGRADE_WRITER_H

#include "control/handed.h"
#include "control/http_server.h"
#include "control/names.h"
#include "control/upgrade_message.h"
#include "control/workers.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next session to send, and what of it was sent. */
struct upgrade_cursor {
    unsigned worker;
    uint32_t session;
    unsigned direction; /* of the bytes; DIRECTIONS: all are sent */
    uint32_t bytes;
    uint32_t places; /* of the workers before it */
};

/* Lists the sockets of the current generation and of HTTP, as handed_collect.
 */
int upgrade_collect_sockets(struct handed *handed,
                            const struct generation *generation,
                            const struct http_listener *http,
                            const struct inherited *inherited) WARN_UNUSED;

/* Goes on with names and sockets at *at. True: all are written. */
bool upgrade_write_estate(size_t *at, const struct names *names,
                          const struct handed *handed,
                          struct record_writer *writer,
                          struct channel_message *message);

#define UPGRADE_SUMMARY_BYTES 64 /* at most */

/* How many sessions all workers have announced or frozen, which it answers, and
 * how many descriptors travel with them. */
uint32_t upgrade_write_summary(struct workers *workers,
                               struct record_writer *writer);

/* Goes on with the sessions that are announced or frozen, in records of that
 * tag. True: all are written, and there is room for an empty record. */
bool upgrade_write_sessions(struct upgrade_cursor *cursor,
                            struct workers *workers, unsigned tag,
                            struct record_writer *writer,
                            struct channel_message *message);

/* Marks the sessions that a record STAYS names, and adds to *count. False: it
 * is malformed. */
bool upgrade_let_stay(struct workers *workers, const struct record *stays,
                      uint32_t *count) WARN_UNUSED;

void upgrade_write_commit(struct record_writer *writer, uint64_t frozen_ns);

#endif
