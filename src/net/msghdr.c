#include "net/msghdr.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

static bool is_type(const struct cmsghdr *part, int level, int type)
{
    return part->cmsg_level == level && part->cmsg_type == type;
}

/* The kernel tells the header's address, and the one of ours that may answer,
 * which differs for a group; 0: it knows none: ip(7). */
static void read_in(const struct cmsghdr *part, struct msghdr_info *info)
{
    struct in_pktinfo in;

    memcpy(&in, CMSG_DATA(part), sizeof(in));
    info->group = in.ipi_spec_dst.s_addr != 0 &&
                  in.ipi_spec_dst.s_addr != in.ipi_addr.s_addr;
    info->local = (struct addr){.family = AF_INET};
    memcpy(info->local.ip, &in.ipi_spec_dst, sizeof(in.ipi_spec_dst));
}

/* Of IPv4 on a dual-stack socket only the header's address: the kernel adds
 * what read_in needs, after this. */
static void read_in6(const struct cmsghdr *part, struct msghdr_info *info)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    memcpy(&in6.sin6_addr, CMSG_DATA(part), sizeof(in6.sin6_addr));
    if (IN6_IS_ADDR_MULTICAST(&in6.sin6_addr)) {
        info->group = true;
    } else {
        addr_from_sockaddr(&info->local, (const struct sockaddr *)&in6);
    }
}

struct msghdr_info msghdr_read_control(struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    struct msghdr_info info = {.segment = 0};
    int segment = 0;

    for (; part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (is_type(part, IPPROTO_UDP, UDP_GRO)) {
            memcpy(&segment, CMSG_DATA(part), sizeof(segment));
            info.segment = segment > 0 ? (uint32_t)segment : 0;
        } else if (is_type(part, IPPROTO_IP, IP_PKTINFO)) {
            read_in(part, &info);
        } else if (is_type(part, IPPROTO_IPV6, IPV6_PKTINFO)) {
            read_in6(part, &info);
        }
    }
    return info;
}

void msghdr_read_peer(const struct endpoint *name, struct addr *peer,
                      uint32_t *scope)
{
    addr_from_sockaddr(peer, &name->u.any);
    *scope = name->u.any.sa_family == AF_INET6 ? name->u.in6.sin6_scope_id : 0;
}

/* The address as a dual-stack socket has it. */
static struct in6_addr mapped(const struct addr *addr)
{
    struct in6_addr in6 = {.s6_addr = {[10] = 0xff, [11] = 0xff}};

    if (addr->family == AF_INET6) {
        memcpy(&in6, addr->ip, sizeof(in6));
    } else {
        memcpy(&in6.s6_addr[12], addr->ip, sizeof(struct in_addr));
    }
    return in6;
}

void msghdr_set_peer(struct msghdr *header, struct endpoint *name,
                     const struct addr *peer, uint32_t scope, bool dual_stack)
{
    endpoint_from_addr(name, peer);
    if (dual_stack && peer->family == AF_INET) {
        name->u.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6,
            .sin6_port = htons(peer->port),
            .sin6_addr = mapped(peer),
        };
        name->length = sizeof(name->u.in6);
    }
    if (name->u.any.sa_family == AF_INET6) {
        name->u.in6.sin6_scope_id = scope;
    }
    header->msg_name = &name->u;
    header->msg_namelen = name->length;
}

static void add_control(struct msghdr *header, union msghdr_control *control,
                        int level, int type, const void *data, size_t size)
{
    struct cmsghdr *part = (void *)(control->room + header->msg_controllen);

    memset(part, 0, CMSG_SPACE(size));
    *part = (struct cmsghdr){
        .cmsg_level = level,
        .cmsg_type = type,
        .cmsg_len = CMSG_LEN(size),
    };
    memcpy(CMSG_DATA(part), data, size);
    header->msg_control = control;
    header->msg_controllen += CMSG_SPACE(size);
}

void msghdr_add_local(struct msghdr *header, union msghdr_control *control,
                      const struct addr *local, uint32_t scope, bool dual_stack)
{
    struct in6_pktinfo in6 = {.ipi6_ifindex = scope};
    struct in_pktinfo in = {.ipi_ifindex = 0};

    if (dual_stack) {
        in6.ipi6_addr = mapped(local);
        add_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, &in6,
                    sizeof(in6));
    } else {
        memcpy(&in.ipi_spec_dst, local->ip, sizeof(in.ipi_spec_dst));
        add_control(header, control, IPPROTO_IP, IP_PKTINFO, &in, sizeof(in));
    }
}

void msghdr_add_segment(struct msghdr *header, union msghdr_control *control,
                        uint32_t segment)
{
    uint16_t size = (uint16_t)segment;

    add_control(header, control, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
}

void msghdr_drop_segment(struct msghdr *header)
{
    header->msg_controllen -= CMSG_SPACE(sizeof(uint16_t));
}
