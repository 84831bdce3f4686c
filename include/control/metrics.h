/*
 * metrics: a sample as Prometheus reads it, text format 0.0.4. Pure.
 *
 * The text is written piece by piece, since that of ten thousand upstreams has
 * ten megabytes: a place tells how far it is.
 */
#ifndef EVPROXY_CONTROL_METRICS_H
#define EVPROXY_CONTROL_METRICS_H

#include "base/text.h"
#include "control/sample.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All-zero: the beginning. */
struct metrics_place {
    unsigned family;
    uint32_t item; /* service or upstream */
};

/* Adds the next piece of some kilobytes. False: it was the last. The sample is
 * complete. */
bool metrics_write(const struct sample *sample, struct metrics_place *place,
                   struct text *text) WARN_UNUSED;

/* Writes a label's value, escaped, with a final zero; cut to fit. */
void metrics_escape(const char *value, char *buffer, size_t size);

#endif
