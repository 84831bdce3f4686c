/*
 * source_record: what a source owes, as a record for the process that takes
 * over: its network, the service's number in the ledger, and when each of its
 * buckets is full again. Pure.
 */
#ifndef EVPROXY_CONTROL_SOURCE_RECORD_H
#define EVPROXY_CONTROL_SOURCE_RECORD_H

#include "base/record.h"
#include "service/source_table.h"

#include <stdbool.h>
#include <stdint.h>

void source_record_write(const struct source_state *debt, unsigned tag,
                         uint32_t service, struct record_writer *writer);

/* False: it is malformed. */
bool source_record_read(const struct record *record, uint32_t *service,
                        struct source_state *debt) WARN_UNUSED;

#endif
