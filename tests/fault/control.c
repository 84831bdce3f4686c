#include "control.h"

#include "config/load.h"
#include "config/reload.h"
#include "control/listeners.h"
#include "planes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ALIVE_MAX 32

/* The generations that some plane holds, the current one last. */
static struct {
    struct generation *generation;
    unsigned holders;
} alive[ALIVE_MAX];
static unsigned alive_count;
static unsigned planes_served; /* planes that have the current one */
static bool late;

void control_set_late(bool is_late)
{
    late = is_late;
}

struct generation *control_current(void)
{
    return alive_count == 0 ? NULL : alive[alive_count - 1].generation;
}

struct generation *control_of_plane(unsigned which)
{
    if (which < planes_served) {
        return control_current();
    }
    return alive_count < 2 ? NULL : alive[alive_count - 2].generation;
}

unsigned control_alive(void)
{
    return alive_count;
}

struct generation *control_alive_at(unsigned at)
{
    return alive[at].generation;
}

struct config *control_parse(const char *text, size_t length)
{
    struct config_errors errors = {0};
    struct config *config = load_text(text, length, &errors);

    if (config == NULL) {
        fprintf(stderr, "line %u: %s\n%s", errors.list[0].line,
                errors.list[0].message, text);
        abort();
    }
    config_errors_fini(&errors);
    return config;
}

static void done(control_step_fn step, const char *what)
{
    if (step != NULL) {
        step(what);
    }
}

/* The generation with its sockets; NULL: it was refused. */
static struct generation *prepare(struct config *config, uint32_t connections,
                                  struct reload_plan *plan)
{
    const struct listeners_origin origin = {.owner = geteuid()};
    const struct listen_socket *failed;
    struct generation *next = generation_create(
        config, control_current(), planes_count(), connections, NULL);

    if (next == NULL) {
        config_destroy(config);
        return NULL;
    }
    if (listeners_open(next, control_current(), plan, &origin, &failed) < 0) {
        generation_destroy(next);
        return NULL;
    }
    return next;
}

/* The reload comes to nothing. */
static bool refuse(struct generation *next, struct reload_plan *plan,
                   control_step_fn step)
{
    if (next != NULL) {
        listeners_abandon(next, plan);
        generation_destroy(next);
    }
    reload_plan_fini(plan);
    done(step, "the reload is refused");
    return false;
}

/* The first plane takes it, and the listening sockets are told of changes. */
static void commit(struct planes_gift *gift, const struct generation *next,
                   const struct generation *running,
                   const struct reload_plan *plan, control_step_fn step)
{
    if (!late) {
        planes_apply(0, gift);
        done(step, "plane 0 has taken it");
    }
    listeners_commit(next, running, plan);
    done(step, "listeners_commit");
    if (late) {
        planes_apply(0, gift);
        done(step, "plane 0 has taken it late");
    }
}

bool control_reload(struct config *config, uint32_t connections,
                    control_step_fn step)
{
    struct generation *running = control_current();
    struct planes_gift *gift = NULL;
    struct reload_plan plan;
    struct generation *next;

    assert(alive_count < ALIVE_MAX &&
           (running == NULL || planes_served == planes_count()));
    if (listeners_plan(&plan, control_current(), config) < 0) {
        config_destroy(config);
        return false;
    }
    next = prepare(config, connections, &plan);
    done(step, "listeners_open");
    if (next != NULL) {
        gift = planes_prepare(0, next);
    }
    if (gift == NULL) {
        return refuse(next, &plan, step);
    }
    alive[alive_count].generation = next;
    alive[alive_count++].holders = planes_count();
    planes_served = 1;
    commit(gift, next, running, &plan, step);
    reload_plan_fini(&plan);
    return true;
}

bool control_spread(control_step_fn step)
{
    while (planes_served < planes_count()) {
        struct planes_gift *gift =
            planes_prepare(planes_served, control_current());

        if (gift == NULL) {
            return false;
        }
        planes_apply(planes_served++, gift);
        done(step, "another plane has taken it");
    }
    return true;
}

static void destroy(struct generation *generation)
{
    listeners_release(generation);
    generation_destroy(generation);
}

static void generation_done(struct generation *generation)
{
    unsigned i = 0;

    while (alive[i].generation != generation) {
        i++;
        assert(i < alive_count);
    }
    if (--alive[i].holders > 0) {
        return;
    }
    destroy(generation);
    alive_count--;
    for (; i < alive_count; i++) {
        alive[i] = alive[i + 1];
    }
}

unsigned control_take_reports(void)
{
    return planes_take_reports(generation_done);
}

void control_unlink(void)
{
    listeners_unlink(control_current());
}

void control_close(void)
{
    for (unsigned i = 0; i < alive_count; i++) {
        destroy(alive[i].generation);
    }
    alive_count = 0;
    planes_served = 0;
}
