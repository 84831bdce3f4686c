#include "control/kernel_drops.h"

#include "net/listen.h"

void kernel_drops_count(const struct generation *current, size_t listen)
{
    const struct listen_socket *socket = &current->listens[listen];
    struct service_state *state = socket->service->state;

    if (current->drops_held || socket->fds == NULL ||
        socket->service->config->mode != CONFIG_UDP) {
        return;
    }
    for (unsigned i = 0; i < current->workers; i++) {
        uint32_t dropped =
            socket->fds[i] < 0 ? 0 : listen_dropped(socket->fds[i]);

        if (dropped != socket->dropped[i]) {
            counter_add(&state->counters[state->workers].dropped[DROP_QUEUE],
                        (uint32_t)(dropped - socket->dropped[i]));
            socket->dropped[i] = dropped;
        }
    }
}

void kernel_drops_count_all(const struct generation *current)
{
    for (size_t i = 0; i < current->listen_count; i++) {
        kernel_drops_count(current, i);
    }
}

void kernel_drops_hold(struct generation *current)
{
    kernel_drops_count_all(current);
    current->drops_held = true;
}

void kernel_drops_resume(struct generation *current)
{
    current->drops_held = false;
}
