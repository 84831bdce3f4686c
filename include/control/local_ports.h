/*
 * local_ports: how many connections to upstreams the local ports suffice for.
 * Pure except for the callbacks that know the names.
 *
 * TCP: the kernel gives a port to any number of connections as long as these
 * differ in the local address or in the upstream's address. So each pair of a
 * source address and an upstream has all ports. The address that the kernel
 * chooses counts as one, and as another than those in a list.
 *
 * UDP: the kernel chooses the port of a socket before it knows the upstream, so
 * that all upstreams share the ports of a source address. Without
 * source_address it chooses one that no socket has with any address, of either
 * family: all such sessions share the ports of one address, and where other
 * services have source_address these leave none to rely on.
 *
 * Left out are upstreams that get no new connections (drain), and backups,
 * except where a service has nothing else: they hold connections when others do
 * not.
 */
#ifndef EVPROXY_CONTROL_LOCAL_PORTS_H
#define EVPROXY_CONTROL_LOCAL_PORTS_H

#include "config/config.h"
#include "service/resolution.h"

#include <stdbool.h>
#include <stdint.h>

struct local_ports {
    uint64_t pairs;    /* of TCP, over all services */
    uint64_t sources;  /* of UDP: addresses */
    bool unix_sockets; /* some upstreams are, and need no port */
};

/* A name without addresses counts as one upstream. -1 with errno = ENOMEM. */
int local_ports_count(struct local_ports *ports, const struct config *config,
                      const struct resolution_names *names) WARN_UNUSED;

#endif
