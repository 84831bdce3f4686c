/*
 * datagram: batches of datagrams, and the system calls that receive and send
 * them.
 *
 * A batch is memory for DATAGRAM_BATCH datagrams of any size, so that none is
 * ever truncated. It is mapped once and becomes resident as far as it is used;
 * datagram_batch_trim returns that memory.
 *
 * Datagrams of one size between the same two ends may pass through the kernel
 * as one (see gso.h). What was received so is one entry of a batch, a GRO batch
 * with a segment size. What is sent is joined to a GSO batch where entries with
 * the same ends follow one another; where the kernel or the route has no GSO,
 * its segments are sent one by one. The peer cannot tell: each segment arrives
 * as the datagram it was.
 *
 * A socket that is bound to all addresses tells to which of them a datagram was
 * sent, and sends from the given one. Of a datagram to a broadcast or multicast
 * address it tells one of ours that may answer (IPv6: none, the kernel picks).
 * IPv4 on a dual-stack socket is IPv4 here.
 *
 * A batch belongs to one thread.
 */
#ifndef EVPROXY_NET_DATAGRAM_H
#define EVPROXY_NET_DATAGRAM_H

#include "base/addr.h"
#include "base/base.h"
#include "base/endpoint.h"
#include "net/gso.h"

#include <stdbool.h>
#include <stdint.h>

#define DATAGRAM_BATCH     32
#define DATAGRAM_BYTES_MAX 65536 /* more than a length of 16 bits */

struct datagram {
    struct addr peer;  /* the source of a received one, the destination else */
    struct addr local; /* our address; family 0: the socket's is used */
    uint32_t scope;    /* interface of a link-local peer, else 0 */
    uint32_t size;
    uint32_t segment; /* segment size of a GRO batch; 0: one datagram */
    bool group;       /* received, and sent to a broadcast or multicast address:
                         every socket of the port has a copy */
    bool no_gso;      /* not to be sent by GSO; set by a send that is refused */
    unsigned char *bytes;
};

/* A socket that is not connected. */
struct datagram_socket {
    int fd;
    bool dual_stack;  /* an IPv6 one that takes IPv4 too */
    bool any_address; /* bound to all addresses */
};

struct datagram_batch {
    struct datagram list[DATAGRAM_BATCH];
    unsigned count;
    unsigned char *memory;
    bool used; /* since the last trim */
};

/* -1 with errno. */
int datagram_batch_open(struct datagram_batch *batch) WARN_UNUSED;
void datagram_batch_close(struct datagram_batch *batch);

/* To be called from time to time while the batch is empty: returns the memory
 * if it was not used since the last call. True: it was. */
bool datagram_batch_trim(struct datagram_batch *batch);

/* How many datagrams the entry is. */
static inline uint32_t datagram_segments(const struct datagram *datagram)
{
    return gso_count(datagram->size, datagram->segment);
}

static inline uint32_t datagram_segment_size(const struct datagram *datagram,
                                             uint32_t n)
{
    return gso_size_of(datagram->size, datagram->segment, n);
}

/* Removes the first segment of a GRO batch. */
static inline void datagram_drop_first(struct datagram *datagram)
{
    datagram->bytes += datagram->segment;
    datagram->size -= datagram->segment;
}

/* Removes all segments but the first n, n > 0. */
static inline void datagram_keep_first(struct datagram *datagram, uint32_t n)
{
    if (n < datagram_segments(datagram)) {
        datagram->size = n * datagram->segment;
    }
}

/* For a descriptor of listen_bind_datagram. -1 with errno. */
int datagram_socket_init(struct datagram_socket *sock, int fd) WARN_UNUSED;

/* GRO batches may arrive from now on, if the kernel has them. */
void datagram_enable_gro(int fd);

/*
 * Appends at most so many received entries to the batch and answers how many;
 * fewer than there was room for: no more now. -1 with errno, EAGAIN among
 * others. _connected: peer, local, scope and group are left alone.
 */
int datagram_receive(struct datagram_batch *batch,
                     const struct datagram_socket *sock,
                     unsigned most) WARN_UNUSED;
int datagram_receive_connected(struct datagram_batch *batch, int fd,
                               unsigned most) WARN_UNUSED;

/*
 * Sends the entries in order, count <= DATAGRAM_BATCH, and answers how many
 * were sent. *error is 0, or why the next one was not; those after it were not
 * tried. Segments of it that were sent are removed from it.
 */
unsigned datagram_send(const struct datagram_socket *sock,
                       struct datagram *const *list, unsigned count,
                       int *error) WARN_UNUSED;
unsigned datagram_send_connected(int fd, struct datagram *const *list,
                                 unsigned count, int *error) WARN_UNUSED;

/* Sends the header and the first segment of the entry as one datagram, and
 * leaves the entry unchanged. 0, or why it was not sent. */
int datagram_send_with_header(int fd, const void *header, size_t header_bytes,
                              const struct datagram *datagram) WARN_UNUSED;

/* Reads and clears the pending error of a connected socket; 0 if none. */
int datagram_error(int fd);

/* Whether the error says that nobody receives at the other end. Other errors
 * are about one datagram, or this machine. */
bool datagram_refused(int error);

#endif
