/*
 * sampler: samples (control/sample.h) on demand, one at a time and a little in
 * each turn of the loop. Control thread.
 *
 * A request gets a sample that begins after it, so the sample includes all that
 * happened before the request. Requests that come while a sample is under way
 * share the next one. There are at most SAMPLER_MAX samples, even if slow
 * readers hold them: beyond that, requests share the newest one.
 */
#ifndef EVPROXY_CONTROL_SAMPLER_H
#define EVPROXY_CONTROL_SAMPLER_H

#include "control/sample.h"
#include "net/loop.h"

#include <stdbool.h>

#define SAMPLER_MAX 8

/* Called when a sample is complete, or has failed. */
typedef void (*sampler_done_fn)(void *arg);

struct sampler {
    struct loop *loop;
    unsigned queue; /* of the loop: a link in it calls sampler_run */
    struct sample_source source;
    sampler_done_fn done;
    void *arg;

    struct list samples; /* all that are held, in the order of their begin */
    unsigned count;
    struct list link; /* in the queue */
};

/* The fields above the second group are set. No sample is held: frees all.
 */
void sampler_fini(struct sampler *sampler);

/* A sample that the caller holds; it is not to be read until it is complete.
 * NULL: no memory. */
struct sample *sampler_ask(struct sampler *sampler) WARN_UNUSED;
void sampler_release(struct sampler *sampler, struct sample *sample);

/* The loop's handler. */
void sampler_run(struct sampler *sampler);

#endif
