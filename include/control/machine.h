/*
 * machine: what the kernel lets this process and this machine have. It reads
 * files, some microseconds each. Any thread.
 */
#ifndef EVPROXY_CONTROL_MACHINE_H
#define EVPROXY_CONTROL_MACHINE_H

#include <stdint.h>

#define MACHINE_UNKNOWN UINT64_MAX

/* The kernel's memory for the buffers of all TCP sockets of the machine: those
 * of other programs and of other network namespaces are in it. */
struct machine_tcp {
    uint64_t used_bytes; /* now, by net/sockstat; or MACHINE_UNKNOWN */
    /* The three numbers of net.ipv4.tcp_mem; all 0: not known, as in
     * containers. */
    uint64_t low_bytes;      /* below, the kernel no longer saves */
    uint64_t pressure_bytes; /* above, it begins to save */
    uint64_t memory_bytes;   /* the most */
};

struct machine {
    uint64_t descriptors;     /* RLIMIT_NOFILE, the hard limit */
    uint64_t descriptors_max; /* as machine_descriptors_max */
    uint64_t ports; /* of net.ipv4.ip_local_port_range, without the reserved
                       ones; 0: not known */
    struct machine_tcp tcp;
    uint64_t tcp_receive_bytes; /* buffer of a socket by default,
                                   net.ipv4.tcp_rmem; 0: not known */
    uint64_t tcp_send_bytes;    /* likewise, net.ipv4.tcp_wmem */
};

#define MACHINE_PROC "/proc"

/* proc: as MACHINE_PROC. */
void machine_read(struct machine *machine, const char *proc);
void machine_read_tcp(struct machine_tcp *tcp, const char *proc);

/* used_bytes, for texts that write 0 for what is not known. */
static inline uint64_t machine_tcp_used(const struct machine_tcp *tcp)
{
    return tcp->used_bytes == MACHINE_UNKNOWN ? 0 : tcp->used_bytes;
}

/* Descriptors that any process may have, fs.nr_open; or MACHINE_UNKNOWN. */
uint64_t machine_descriptors_max(const char *proc);

#endif
