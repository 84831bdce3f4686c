/*
 * status: a sample as JSON (RFC 8259): what the status page shows, with the
 * keys of the stats lines and with histories. Pure. It is written piece by
 * piece, as control/metrics.h is.
 */
#ifndef EVPROXY_CONTROL_STATUS_H
#define EVPROXY_CONTROL_STATUS_H

#include "base/text.h"
#include "control/sample.h"
#include "service/history.h"

#include <stdbool.h>
#include <stdint.h>

/* All-zero: the beginning. */
struct status_place {
    bool begun;
    bool in_service; /* its upstreams are being written */
    uint32_t service;
    uint32_t upstream; /* index + 1; 0: no more */
};

/* Adds the next piece of some kilobytes. False: it was the last. The sample is
 * complete; history is that of the process. */
bool status_write(const struct sample *sample, const struct history *history,
                  struct status_place *place, struct text *text) WARN_UNUSED;

/* Adds a string with its quotes. */
void status_add_string(struct text *text, const char *string);

#endif
