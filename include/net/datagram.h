/*
 * datagram: batches of datagrams, and the system calls that take and give them.
 *
 * A batch is memory for DATAGRAM_BATCH datagrams of any size, so that none is
 * ever cut. It is mapped once and resident only as far as it was used;
 * datagram_batch_trim gives it back.
 *
 * Datagrams of one size between the same two ends may travel through the kernel
 * joined (udp(7): UDP_GRO, UDP_SEGMENT), which costs as much as one. Then they
 * are one entry here, a train:
 *
 *      bytes  | segment | segment | segment | rest |
 *             |<---------------- size ------------>|
 *
 * Nobody else can tell: each leaves as the datagram that it was. What follows
 * one another to the same end is joined when it is sent; where the kernel or
 * the way there cannot have it joined, it is sent singly.
 *
 * A socket that is bound to all addresses tells to which of them a datagram was
 * sent, and sends from the one that it is told. IPv4 on a socket of both
 * families is IPv4 here.
 *
 * A batch belongs to one thread.
 */
#ifndef EVPROXY_NET_DATAGRAM_H
#define EVPROXY_NET_DATAGRAM_H

#include "base/addr.h"
#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define DATAGRAM_BATCH 32
#define DATAGRAM_BYTES_MAX                                                     \
    65536 /* what fits into 16 bits of length, and more */

struct datagram {
    struct addr peer;  /* whom it is from, or for */
    struct addr local; /* our address; its family is 0 where that is fixed */
    uint32_t scope;    /* interface of a link-local peer, else 0 */
    uint32_t size;
    uint32_t segment; /* of a train; 0: it is one datagram */
    bool singly;      /* not to be joined; set by a send that found out */
    unsigned char *bytes;
};

/* A socket that is not connected. */
struct datagram_socket {
    int fd;
    bool both; /* an IPv6 one that takes IPv4 too: addresses are mapped */
    bool wild; /* bound to all addresses */
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

/* To be called now and then while the batch is empty: gives the memory back if
 * it was not used since the last time. True: it was. */
bool datagram_batch_trim(struct datagram_batch *batch);

/* How many there are in a train, or 1. */
static inline uint32_t datagram_count(const struct datagram *datagram)
{
    return datagram->segment == 0
               ? 1
               : (datagram->size + datagram->segment - 1) / datagram->segment;
}

/* The size of number n of them. */
static inline uint32_t datagram_size_of(const struct datagram *datagram,
                                        uint32_t n)
{
    uint32_t rest = datagram->size - n * datagram->segment;

    return datagram->segment == 0 || rest < datagram->segment
               ? rest
               : datagram->segment;
}

/* Lets the first one of a train go. */
static inline void datagram_skip(struct datagram *datagram)
{
    datagram->bytes += datagram->segment;
    datagram->size -= datagram->segment;
}

/* Lets all but the first n go, n > 0. */
static inline void datagram_keep(struct datagram *datagram, uint32_t n)
{
    if (n < datagram_count(datagram)) {
        datagram->size = n * datagram->segment;
    }
}

/* For a descriptor that listen_bind_datagram opened. -1 with errno. */
int datagram_socket_init(struct datagram_socket *sock, int fd) WARN_UNUSED;

/* Trains may come from now on, where the kernel has them. */
void datagram_take_trains(int fd);

/*
 * Adds what has come, at most so many entries, to the batch. Fewer than there
 * was room for: no more now. -1 with errno, EAGAIN among others. _connected:
 * peer, local and scope are left alone.
 */
int datagram_receive(struct datagram_batch *batch,
                     const struct datagram_socket *sock,
                     unsigned most) WARN_UNUSED;
int datagram_receive_connected(struct datagram_batch *batch, int fd,
                               unsigned most) WARN_UNUSED;

/*
 * Sends them in order, count <= DATAGRAM_BATCH. Answers how many entries were
 * taken; *error is 0, or why the next one was not: what is behind it was not
 * tried. Of a train that was sent in part, what is left is left in it.
 */
unsigned datagram_send(const struct datagram_socket *sock,
                       struct datagram *const *list, unsigned count,
                       int *error) WARN_UNUSED;
unsigned datagram_send_connected(int fd, struct datagram *const *list,
                                 unsigned count, int *error) WARN_UNUSED;

/* Sends one datagram: the head, and behind it the first one of what is there,
 * which is left as it is. 0, or why it was not sent. */
int datagram_send_behind(int fd, const void *head, size_t head_bytes,
                         const struct datagram *datagram) WARN_UNUSED;

/* The pending error of a connected socket, consumed; 0 if none. */
int datagram_error(int fd);

/* Whether the error says that nobody takes datagrams at the other end. Others
 * are about one datagram, or this machine. */
bool datagram_refused(int error);

#endif
