/*
 * tcp_memory: watches the kernel's memory for TCP, once a second, and tells the
 * workers while it is short. Control thread, in its loop.
 *
 * The memory is that of all TCP sockets of the machine. While it is short the
 * kernel lets no buffer grow and makes some smaller. Like the kernel's own
 * state, shortness begins above the second number of net.ipv4.tcp_mem and ends
 * below the first. Both may change at any time. Where the kernel tells neither,
 * as in containers, nothing is watched.
 */
#ifndef EVPROXY_CONTROL_TCP_MEMORY_H
#define EVPROXY_CONTROL_TCP_MEMORY_H

#include "control/machine.h"
#include "net/loop.h"

#include <stdatomic.h>
#include <stdbool.h>

#define TCP_MEMORY_INTERVAL_NS NS_PER_S

struct tcp_memory {
    struct loop *loop;
    _Atomic bool *is_short; /* what the workers read; written when it changes */
    const char *proc;       /* as MACHINE_PROC */
    struct wheel_timer timer; /* its kind is set */
    struct machine_tcp last;  /* at most TCP_MEMORY_INTERVAL_NS old */
};

/* The fields but the last are set, and the workers may run. */
void tcp_memory_start(struct tcp_memory *memory);

/* The loop's handler. */
void tcp_memory_timer(struct tcp_memory *memory);

/* Whether the memory is short, if it was so or not before. Pure. What is not
 * known changes nothing. */
bool tcp_memory_is_short(const struct machine_tcp *tcp, bool before);

#endif
