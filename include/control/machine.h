/*
 * machine: what the kernel lets this process and this machine have. It reads
 * files, some microseconds each. Any thread.
 */
#ifndef EVPROXY_CONTROL_MACHINE_H
#define EVPROXY_CONTROL_MACHINE_H

#include <stdint.h>

struct machine {
    uint64_t descriptors;     /* RLIMIT_NOFILE, the hard limit */
    uint64_t descriptors_max; /* as machine_descriptors_max */
    uint64_t ports; /* of net.ipv4.ip_local_port_range, without the reserved
                       ones; 0: not known */
    uint64_t tcp_memory_bytes;  /* of all TCP sockets, net.ipv4.tcp_mem; 0: not
                                   known, as in containers */
    uint64_t tcp_receive_bytes; /* buffer of a socket by default,
                                   net.ipv4.tcp_rmem; 0: not known */
    uint64_t tcp_send_bytes;    /* likewise, net.ipv4.tcp_wmem */
};

#define MACHINE_SETTINGS "/proc/sys"

/* settings: as MACHINE_SETTINGS. */
void machine_read(struct machine *machine, const char *settings);

/* Descriptors that any process may have, fs.nr_open; UINT64_MAX: not known. */
uint64_t machine_descriptors_max(const char *settings);

#endif
