/*
 * msghdr: what the header of a datagram (struct msghdr) carries besides its
 * bytes: the peer's address, and as control messages (cmsg(3)) our address
 * (IP_PKTINFO, IPV6_PKTINFO) and the segment size of a batch (UDP_GRO,
 * UDP_SEGMENT).
 *
 * On a dual-stack socket, which is an IPv6 one that takes IPv4 too, IPv4
 * addresses are mapped in the header and IPv4 in struct addr. Pure.
 */
#ifndef EVPROXY_NET_MSGHDR_H
#define EVPROXY_NET_MSGHDR_H

#include "base/addr.h"
#include "base/endpoint.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for our address, which a dual-stack socket gives twice for IPv4, and a
 * segment size. */
union msghdr_control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
              CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

/* What the control messages of a datagram tell that was received. */
struct msghdr_info {
    struct addr local; /* the address that it was sent to; of a group, one that
                          may answer; family 0: not told, or any may answer */
    uint32_t segment;  /* size; 0: it is no batch */
    bool group;        /* sent to a broadcast or multicast address: each socket
                          of the port gets a copy */
};

struct msghdr_info msghdr_read_control(struct msghdr *header);

/* The peer from the name of a header. scope: the interface of a link-local
 * address, else 0. */
void msghdr_read_peer(const struct endpoint *name, struct addr *peer,
                      uint32_t *scope);

/* Sets the name of a header, in memory that outlives it. */
void msghdr_set_peer(struct msghdr *header, struct endpoint *name,
                     const struct addr *peer, uint32_t scope, bool dual_stack);

/* Adds the address that the datagram is sent from. control outlives the header,
 * and is the same for all that is added to it. */
void msghdr_add_local(struct msghdr *header, union msghdr_control *control,
                      const struct addr *local, uint32_t scope,
                      bool dual_stack);

/* Adds the segment size of a GSO batch, last. msghdr_drop_segment takes it off
 * again. */
void msghdr_add_segment(struct msghdr *header, union msghdr_control *control,
                        uint32_t segment);
void msghdr_drop_segment(struct msghdr *header);

#endif
