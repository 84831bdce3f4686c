/*
 * gso: the arithmetic of GSO and GRO batches: datagrams of one size between the
 * same two ends, which the kernel sends or receives as one (udp(7):
 * UDP_SEGMENT, UDP_GRO) at the cost of one.
 *
 *      bytes  | segment | segment | segment | rest |
 *             |<--------------- bytes ------------>|
 *
 * The last segment may be smaller. Pure.
 */
#ifndef EVPROXY_NET_GSO_H
#define EVPROXY_NET_GSO_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

/* A batch has as many segments as every kernel takes, and no more bytes than a
 * datagram may have. Larger segments do not fit into a packet of Ethernet: the
 * kernel would refuse them in a batch, but fragments single ones. */
#define GSO_SEGMENTS_MAX      64u
#define GSO_BYTES_MAX         65507u
#define GSO_SEGMENT_BYTES_MAX 1472u

/* The number of segments. segment 0: the bytes are one datagram. */
static inline uint32_t gso_count(uint32_t bytes, uint32_t segment)
{
    return segment == 0 ? 1 : (bytes + segment - 1) / segment;
}

/* The size of segment n, which exists. */
static inline uint32_t gso_size_of(uint32_t bytes, uint32_t segment, uint32_t n)
{
    uint32_t rest = bytes - n * segment;

    return segment == 0 || rest < segment ? rest : segment;
}

/*
 * Whether a datagram of next_bytes may follow the bytes of a batch with that
 * segment size. It may be a GRO batch itself (next_segment > 0) or smaller than
 * a segment, which makes it the last, but not empty.
 */
static inline bool gso_can_append(uint32_t bytes, uint32_t segment,
                                  uint32_t next_bytes, uint32_t next_segment)
{
    uint32_t sum = bytes + next_bytes;

    return next_bytes > 0 && segment > 0 && segment <= GSO_SEGMENT_BYTES_MAX &&
           (next_segment == segment ||
            (next_segment == 0 && next_bytes <= segment)) &&
           sum <= GSO_BYTES_MAX && sum <= GSO_SEGMENTS_MAX * segment &&
           bytes % segment == 0;
}

/* Whether the error of a send says that the kernel has no GSO, or not on this
 * route, where there are no checksums or the packets are too small. */
static inline bool gso_is_refused(int error)
{
    return error == EIO || error == EINVAL || error == EMSGSIZE ||
           error == EOPNOTSUPP || error == ENOPROTOOPT;
}

#endif
