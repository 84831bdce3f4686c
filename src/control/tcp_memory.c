#include "control/tcp_memory.h"

#include "base/log.h"

#include <inttypes.h>
#include <sys/param.h>

/* Whether the kernel tells all that is compared. */
static bool is_known(const struct machine_tcp *tcp)
{
    return tcp->used_bytes != MACHINE_UNKNOWN && tcp->pressure_bytes > 0;
}

/* As __sk_mem_raise_allocated and __sk_mem_reduce_allocated of Linux. */
bool tcp_memory_is_short(const struct machine_tcp *tcp, bool before)
{
    if (!is_known(tcp)) {
        return before;
    }
    /* Nothing keeps an administrator from a first number above the second. */
    return before ? tcp->used_bytes >= MIN(tcp->low_bytes, tcp->pressure_bytes)
                  : tcp->used_bytes > tcp->pressure_bytes;
}

static void report_change(const struct machine_tcp *tcp, bool is_short)
{
    log_write(is_short ? LOG_WARN : LOG_INFO,
              "tcp memory state=%s kernel_tcp_bytes=%" PRIu64
              " kernel_tcp_pressure_bytes=%" PRIu64,
              is_short ? "short" : "enough", tcp->used_bytes,
              tcp->pressure_bytes);
}

static void look(struct tcp_memory *memory)
{
    bool before = atomic_load_explicit(memory->is_short, memory_order_relaxed);
    bool now;

    machine_read_tcp(&memory->last, memory->proc);
    now = tcp_memory_is_short(&memory->last, before);
    if (now != before) {
        atomic_store_explicit(memory->is_short, now, memory_order_relaxed);
        report_change(&memory->last, now);
    }
}

static void arm(struct tcp_memory *memory)
{
    wheel_arm(&memory->loop->wheel, &memory->timer,
              memory->loop->now_ns + TCP_MEMORY_INTERVAL_NS);
}

void tcp_memory_start(struct tcp_memory *memory)
{
    look(memory);
    if (is_known(&memory->last)) {
        arm(memory);
    }
}

void tcp_memory_timer(struct tcp_memory *memory)
{
    look(memory);
    arm(memory);
}
