#include "control.h"
#include "kernel.h"
#include "planes.h"
#include "rig.h"

#include <string.h>

/* A plane has come round several times by then. */
#define SLACK_NS (2 * NS_PER_S)

/* By service and upstream of the rig; 0: it was not taken out. */
static uint64_t down_ns[SERVICES_MAX][UPSTREAMS_MAX];

static struct service *running(unsigned place)
{
    return &control_current()
                ->services[rig.reversed ? rig.service_count - 1 - place
                                        : place];
}

void down_plan(void)
{
    memset(down_ns, 0, sizeof(down_ns));
    rig.down_turn = (unsigned)between(1, 80);
    rig.up_turn = rig.down_turn + (unsigned)between(1, 80);
}

void down_begin(void)
{
    uint64_t now_ns = kernel_now_ns();

    for (unsigned i = 0; i < rig.service_count; i++) {
        const struct service *service = running(i);

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            struct upstream *upstream = service->upstreams[j];

            if (kernel_chance(2)) {
                kernel_trace("command  %s is down", upstream->text);
                (void)upstream_set_down(upstream, UPSTREAM_UNHEALTHY, now_ns);
                upstream->reset_ns = now_ns;
                down_ns[i][j] = now_ns;
            }
        }
    }
    planes_sweep();
}

void down_end(void)
{
    for (unsigned i = 0; i < rig.service_count; i++) {
        const struct service *service = running(i);

        for (uint32_t j = 0; j < service->upstream_count; j++) {
            (void)service_clear_down(service, service->upstreams[j],
                                     UPSTREAM_UNHEALTHY, kernel_now_ns());
        }
    }
}

bool down_check(const struct conn *conn)
{
    uint64_t since_ns;

    if (conn->ends == 0 || !conn->established || conn->upstream < 0 ||
        conn->taken_ns == 0) {
        return true;
    }
    since_ns = down_ns[conn->ended_in - rig.services][conn->upstream];
    if (since_ns <= conn->taken_ns || conn->ended_ns <= since_ns + SLACK_NS) {
        return true;
    }
    /* A side was reset before, and the other still gets the bytes before it. */
    return conn->cause == CAUSE_CLIENT_RESET ||
           conn->cause == CAUSE_UPSTREAM_RESET ||
           rig_fail("it outlived its upstream: %s", cause_name(conn->cause));
}
