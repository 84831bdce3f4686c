#include "control/sampler.h"

#include "base/clock.h"

#include <stdlib.h>

/* In one turn of the loop. */
#define SLICE_NS NS_PER_MS

static struct sample *newest(const struct sampler *sampler)
{
    return list_empty(&sampler->samples)
               ? NULL
               : container_of(sampler->samples.prev, struct sample, link);
}

static void discard(struct sampler *sampler, struct sample *sample)
{
    list_remove(&sample->link);
    sampler->count--;
    sample_fini(sample, &sampler->source);
    free(sample);
}

void sampler_fini(struct sampler *sampler)
{
    struct sample *sample;

    list_remove(&sampler->link);
    while ((sample = newest(sampler)) != NULL) {
        discard(sampler, sample);
    }
}

static void run_later(struct sampler *sampler)
{
    if (!list_linked(&sampler->link)) {
        loop_run_later(sampler->loop, sampler->queue, &sampler->link);
    }
}

struct sample *sampler_ask(struct sampler *sampler)
{
    struct sample *sample = newest(sampler);

    if (sample == NULL ||
        (sample->state != SAMPLE_WAITS && sampler->count < SAMPLER_MAX)) {
        sample = calloc(1, sizeof(*sample));
        if (sample == NULL) {
            return NULL;
        }
        list_append(&sampler->samples, &sample->link);
        sampler->count++;
        run_later(sampler);
    }
    sample->holders++;
    return sample;
}

static bool is_over(const struct sample *sample)
{
    return sample->state == SAMPLE_COMPLETE || sample->state == SAMPLE_FAILED;
}

void sampler_release(struct sampler *sampler, struct sample *sample)
{
    if (--sample->holders == 0 && is_over(sample)) {
        discard(sampler, sample);
    }
}

/* The oldest one that is not complete; NULL: all are. */
static struct sample *next(const struct sampler *sampler)
{
    const struct list *head = &sampler->samples;

    for (struct list *link = list_first(head); link != NULL && link != head;
         link = link->next) {
        struct sample *sample = container_of(link, struct sample, link);

        if (!is_over(sample)) {
            return sample;
        }
    }
    return NULL;
}

void sampler_run(struct sampler *sampler)
{
    uint64_t until_ns = clock_now_ns() + SLICE_NS;
    struct sample *sample = next(sampler);

    if (sample == NULL) {
        return;
    }
    if (sample->state == SAMPLE_WAITS) {
        sample_begin(sample, &sampler->source);
    }
    if (sample_step(sample, &sampler->source, until_ns)) {
        /* Those who are told may release it. */
        sample->holders++;
        sampler->done(sampler->arg);
        sampler_release(sampler, sample);
    }
    if (next(sampler) != NULL) {
        run_later(sampler);
    }
}
