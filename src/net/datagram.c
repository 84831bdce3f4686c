#include "net/datagram.h"

#include "net/msghdr.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BATCH_BYTES ((size_t)DATAGRAM_BATCH * DATAGRAM_BYTES_MAX)

/* What recvmmsg and sendmmsg want beside the bytes. Element i is of entry i
 * when it is received; a header that is sent may have the parts of several. */
struct vectors {
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec parts[DATAGRAM_BATCH];
    struct endpoint names[DATAGRAM_BATCH];
    union msghdr_control controls[DATAGRAM_BATCH];
};

int datagram_batch_open(struct datagram_batch *batch)
{
    void *memory = mmap(NULL, BATCH_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return -1;
    }
    /* A huge page would become resident for a few bytes. */
    (void)madvise(memory, BATCH_BYTES, MADV_NOHUGEPAGE);
    *batch = (struct datagram_batch){.memory = memory};
    return 0;
}

void datagram_batch_close(struct datagram_batch *batch)
{
    if (batch->memory != NULL) {
        munmap(batch->memory, BATCH_BYTES);
        batch->memory = NULL;
    }
}

bool datagram_batch_trim(struct datagram_batch *batch)
{
    bool used = batch->used;

    batch->used = false;
    if (!used) {
        (void)madvise(batch->memory, BATCH_BYTES, MADV_DONTNEED);
    }
    return used;
}

static bool is_any(const struct endpoint *endpoint)
{
    return endpoint->u.any.sa_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&endpoint->u.in6.sin6_addr)
               : endpoint->u.in.sin_addr.s_addr == INADDR_ANY;
}

int datagram_socket_init(struct datagram_socket *sock, int fd)
{
    struct endpoint local = {.length = sizeof(local.u)};

    if (getsockname(fd, &local.u.any, &local.length) < 0) {
        return -1;
    }
    sock->fd = fd;
    sock->any_address = is_any(&local);
    sock->dual_stack = local.u.any.sa_family == AF_INET6 && sock->any_address;
    return 0;
}

void datagram_enable_gro(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

/* ---- receiving ---- */

/* Points the headers to the free entries of the batch. Answers how many. */
static unsigned prepare(struct vectors *vectors, struct datagram_batch *batch,
                        unsigned most)
{
    unsigned room = DATAGRAM_BATCH - batch->count;

    most = most < room ? most : room;
    for (unsigned i = 0; i < most; i++) {
        size_t place = batch->count + i;

        batch->list[place].bytes = batch->memory + place * DATAGRAM_BYTES_MAX;
        vectors->parts[i].iov_base = batch->list[place].bytes;
        vectors->parts[i].iov_len = DATAGRAM_BYTES_MAX;
        vectors->headers[i].msg_hdr = (struct msghdr){
            .msg_iov = &vectors->parts[i],
            .msg_iovlen = 1,
            .msg_control = &vectors->controls[i],
            .msg_controllen = sizeof(vectors->controls[i]),
        };
    }
    return most;
}

static int receive(struct vectors *vectors, int fd, unsigned most)
{
    int got;

    do {
        got = recvmmsg(fd, vectors->headers, most, MSG_DONTWAIT, NULL);
    } while (got < 0 && errno == EINTR);
    return got;
}

static void append(struct datagram_batch *batch, const struct mmsghdr *header,
                   uint32_t segment)
{
    struct datagram *datagram = &batch->list[batch->count++];

    datagram->size = header->msg_len;
    datagram->segment = segment < header->msg_len ? segment : 0;
    datagram->no_gso = false;
    batch->used = true;
}

int datagram_receive(struct datagram_batch *batch,
                     const struct datagram_socket *sock, unsigned most)
{
    struct vectors vectors;
    int got;

    most = prepare(&vectors, batch, most);
    for (unsigned i = 0; i < most; i++) {
        struct msghdr *header = &vectors.headers[i].msg_hdr;

        header->msg_name = &vectors.names[i].u;
        header->msg_namelen = sizeof(vectors.names[i].u);
    }
    got = receive(&vectors, sock->fd, most);
    for (int i = 0; i < got; i++) {
        struct datagram *datagram = &batch->list[batch->count];
        struct msghdr_info info =
            msghdr_read_control(&vectors.headers[i].msg_hdr);

        msghdr_read_peer(&vectors.names[i], &datagram->peer, &datagram->scope);
        datagram->local =
            sock->any_address ? info.local : (struct addr){.family = 0};
        datagram->group = info.group;
        append(batch, &vectors.headers[i], info.segment);
    }
    return got;
}

int datagram_receive_connected(struct datagram_batch *batch, int fd,
                               unsigned most)
{
    struct vectors vectors;
    int got;

    most = prepare(&vectors, batch, most);
    got = receive(&vectors, fd, most);
    for (int i = 0; i < got; i++) {
        append(batch, &vectors.headers[i],
               msghdr_read_control(&vectors.headers[i].msg_hdr).segment);
    }
    return got;
}

/* ---- sending ---- */

/* What one header sends: list[0] to list[count - 1]. */
struct gso_batch {
    struct datagram *const *list;
    unsigned count;
    uint32_t segment; /* size of the first datagram */
    uint32_t bytes;
};

/* What one call sends. */
struct send_call {
    struct vectors vectors;
    struct gso_batch batches[DATAGRAM_BATCH];
    unsigned count;
};

static bool same_ends(const struct datagram *a, const struct datagram *b)
{
    return memcmp(&a->peer, &b->peer, sizeof(a->peer)) == 0 &&
           memcmp(&a->local, &b->local, sizeof(a->local)) == 0 &&
           a->scope == b->scope;
}

/* Takes as much from the list as one header can send. */
static struct gso_batch gather(struct datagram *const *list, unsigned count,
                               bool connected)
{
    struct gso_batch batch = {
        .list = list,
        .count = 1,
        .segment = datagram_segment_size(list[0], 0),
        .bytes = list[0]->size,
    };

    if (list[0]->no_gso) {
        return batch;
    }
    for (; batch.count < count; batch.count++) {
        const struct datagram *next = list[batch.count];

        if (next->no_gso ||
            !gso_can_append(batch.bytes, batch.segment, next->size,
                            next->segment) ||
            (!connected && !same_ends(list[0], next))) {
            break;
        }
        batch.bytes += next->size;
    }
    return batch;
}

static bool has_segments(const struct gso_batch *batch)
{
    return batch->bytes > batch->segment;
}

/* Sends the segments of an entry one by one, and removes each that was sent.
 * False with errno: not all were. */
static bool send_segments(int fd, struct msghdr *header,
                          struct datagram *datagram)
{
    struct iovec part;

    header->msg_iov = &part;
    header->msg_iovlen = 1;
    for (uint32_t left = datagram_segments(datagram); left > 0; left--) {
        part.iov_base = datagram->bytes;
        part.iov_len = datagram_segment_size(datagram, 0);
        while (sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno != EINTR) {
                return false;
            }
        }
        datagram->bytes += part.iov_len;
        datagram->size -= (uint32_t)part.iov_len;
    }
    return true;
}

/* Sends a batch without GSO, and adds to *done the entries that were sent.
 * False with errno: not all. */
static bool send_without_gso(int fd, const struct msghdr *gso_header,
                             const struct gso_batch *batch, unsigned *done)
{
    struct msghdr header = *gso_header;

    msghdr_drop_segment(&header);
    for (unsigned i = 0; i < batch->count; i++) {
        batch->list[i]->no_gso = true;
        if (!send_segments(fd, &header, batch->list[i])) {
            return false;
        }
        ++*done;
    }
    return true;
}

/* How many headers, from that one on, can be sent as they are: up to a GRO
 * batch for which GSO was refused before. */
static unsigned count_sendable(const struct send_call *call, unsigned first)
{
    unsigned end = first;

    while (end < call->count && !(has_segments(&call->batches[end]) &&
                                  call->batches[end].list[0]->no_gso)) {
        end++;
    }
    return end - first;
}

/* Sends those from `first` on that can be sent as they are, or one without GSO.
 * Adds to *done the entries that were sent; answers as sendmmsg. */
static int send_some(int fd, struct send_call *call, unsigned first,
                     unsigned *done)
{
    const struct gso_batch *batch = &call->batches[first];
    struct mmsghdr *header = &call->vectors.headers[first];
    unsigned count = count_sendable(call, first);
    int put = 0;

    if (count > 0) {
        put = sendmmsg(fd, header, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    for (int i = 0; i < put; i++) {
        *done += batch[i].count;
    }
    if (count == 0 ||
        (put < 0 && has_segments(batch) && gso_is_refused(errno))) {
        put = send_without_gso(fd, &header->msg_hdr, batch, done) ? 1 : -1;
    }
    return put;
}

static unsigned send_all(int fd, struct send_call *call, int *error)
{
    unsigned sent = 0, done = 0;
    int put;

    *error = 0;
    while (sent < call->count) {
        put = send_some(fd, call, sent, &done);
        if (put > 0) {
            sent += (unsigned)put;
        } else if (errno != EINTR) {
            *error = errno;
            break;
        }
    }
    return done;
}

/* Fills the next header with the bytes of the batch, by its parts. */
static struct msghdr *fill_header(struct send_call *call,
                                  const struct gso_batch *batch,
                                  unsigned first_part)
{
    struct msghdr *header = &call->vectors.headers[call->count].msg_hdr;
    struct iovec *parts = &call->vectors.parts[first_part];

    for (unsigned i = 0; i < batch->count; i++) {
        parts[i].iov_base = batch->list[i]->bytes;
        parts[i].iov_len = batch->list[i]->size;
    }
    *header = (struct msghdr){
        .msg_iov = parts,
        .msg_iovlen = batch->count,
    };
    return header;
}

/* Last of the control messages, as send_without_gso takes it off. */
static void fill_segment(struct msghdr *header, union msghdr_control *control,
                         const struct gso_batch *batch)
{
    if (has_segments(batch)) {
        msghdr_add_segment(header, control, batch->segment);
    }
}

unsigned datagram_send(const struct datagram_socket *sock,
                       struct datagram *const *list, unsigned count, int *error)
{
    struct send_call call;

    call.count = 0;
    for (unsigned i = 0; i < count; call.count++) {
        const struct datagram *first = list[i];
        struct gso_batch *batch = &call.batches[call.count];
        union msghdr_control *control = &call.vectors.controls[call.count];
        struct msghdr *header;

        *batch = gather(&list[i], count - i, false);
        header = fill_header(&call, batch, i);
        msghdr_set_peer(header, &call.vectors.names[call.count], &first->peer,
                        first->scope, sock->dual_stack);
        if (first->local.family != 0) {
            msghdr_add_local(header, control, &first->local, first->scope,
                             sock->dual_stack);
        }
        fill_segment(header, control, batch);
        i += batch->count;
    }
    return send_all(sock->fd, &call, error);
}

unsigned datagram_send_connected(int fd, struct datagram *const *list,
                                 unsigned count, int *error)
{
    struct send_call call;

    call.count = 0;
    for (unsigned i = 0; i < count; call.count++) {
        struct gso_batch *batch = &call.batches[call.count];

        *batch = gather(&list[i], count - i, true);
        fill_segment(fill_header(&call, batch, i),
                     &call.vectors.controls[call.count], batch);
        i += batch->count;
    }
    return send_all(fd, &call, error);
}

int datagram_send_with_header(int fd, const void *header, size_t header_bytes,
                              const struct datagram *datagram)
{
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)header, .iov_len = header_bytes},
        {.iov_base = datagram->bytes,
         .iov_len = datagram_segment_size(datagram, 0)},
    };
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    while (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int datagram_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno
                                                                     : error;
}

bool datagram_refused(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENOPROTOOPT:
        return true;
    default:
        return false;
    }
}
