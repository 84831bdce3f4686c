/*
 * name_record: what is known of a name (control/names.h), as a record for the
 * process that takes over: it begins with the same addresses, and waits for no
 * look-up. Control thread.
 */
#ifndef EVPROXY_CONTROL_NAME_RECORD_H
#define EVPROXY_CONTROL_NAME_RECORD_H

#include "base/record.h"
#include "control/names.h"

/* Writes a record with that tag; nothing if nothing is known of the name. */
void name_record_write(const struct name *name, unsigned tag,
                       struct record_writer *writer);

/* Reads one into the table. False: it is malformed, or there is no memory. */
bool name_record_read(const struct record *record,
                      struct names *names) WARN_UNUSED;

#endif
