/*
 * sampling: generations without sockets, and samples of their counters.
 */
#ifndef EVPROXY_TESTS_SAMPLING_H
#define EVPROXY_TESTS_SAMPLING_H

#include "control/sample.h"

struct sampling {
    struct generations generations;
    struct workers workers; /* none runs */
    struct sample_facts facts;
    struct sample_source source;
};

void sampling_open(struct sampling *sampling);
void sampling_close(struct sampling *sampling);

/* A generation of that configuration becomes the current one; it has one
 * holder. */
struct generation *sampling_apply(struct sampling *sampling, const char *text);

/* A complete sample, which the caller ends by sample_fini. */
void sampling_take(struct sampling *sampling, struct sample *sample);

#endif
