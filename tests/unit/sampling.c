#include "sampling.h"

#include "parsing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKERS 2

static size_t find(const struct resolution_names *names, const char *host,
                   const struct endpoint **found)
{
    (void)names, (void)host;
    *found = NULL;
    return 0;
}

void sampling_open(struct sampling *sampling)
{
    *sampling = (struct sampling){
        .facts = {.descriptors_limit = 1024},
        .source = {.generations = &sampling->generations,
                   .workers = &sampling->workers,
                   .facts = &sampling->facts},
    };
    atomic_init(&sampling->workers.shared.max_connections, 500);
}

void sampling_close(struct sampling *sampling)
{
    generations_fini(&sampling->generations);
}

struct generation *sampling_apply(struct sampling *sampling, const char *text)
{
    static const struct resolution_names nobody = {.find = find};
    struct generations *all = &sampling->generations;
    struct generation *made = generation_create(
        parse_good(text), generations_current(all), WORKERS, 1000, &nobody);

    assert_non_null(made);
    made->holders = 1;
    all->alive = realloc(all->alive, (all->count + 1) * sizeof(made));
    assert_non_null(all->alive);
    all->alive[all->count++] = made;
    return made;
}

void sampling_take(struct sampling *sampling, struct sample *sample)
{
    *sample = (struct sample){.state = SAMPLE_WAITS};
    sample_begin(sample, &sampling->source);
    while (!sample_step(sample, &sampling->source, 0)) {
    }
    assert_int_equal(sample->state, SAMPLE_COMPLETE);
}
