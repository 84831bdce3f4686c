#include "net/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BATCH_BYTES ((size_t)DATAGRAM_BATCH * DATAGRAM_BYTES_MAX)

/* What is sent joined: as many as every kernel takes, and no more bytes than a
 * datagram has. Longer ones would not fit into a packet of Ethernet: the kernel
 * would refuse them joined, and divides them when they come singly. */
#define JOIN_MOST        64u
#define JOIN_BYTES_MAX   65507u
#define JOIN_SEGMENT_MAX 1472u

/* Room for either kind of packet information, and for the size in a train. */
union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

#define SEGMENT_SPACE CMSG_SPACE(sizeof(uint16_t))

/* What the calls want beside the datagrams. Taking, all is at the same place;
 * giving, a header has the parts of all that it joins. */
struct vectors {
    struct mmsghdr headers[DATAGRAM_BATCH];
    struct iovec parts[DATAGRAM_BATCH];
    struct endpoint names[DATAGRAM_BATCH];
    union control controls[DATAGRAM_BATCH];
};

int datagram_batch_open(struct datagram_batch *batch)
{
    void *memory = mmap(NULL, BATCH_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        return -1;
    }
    /* A huge page would be resident for a few bytes. */
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
    bool six;

    if (getsockname(fd, &local.u.any, &local.length) < 0) {
        return -1;
    }
    six = local.u.any.sa_family == AF_INET6;
    sock->fd = fd;
    sock->wild = is_any(&local);
    sock->both = six && sock->wild;
    return 0;
}

void datagram_take_trains(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on));
}

/* ---- taking ---- */

/* Our address from what the kernel says of a datagram. */
static void read_local(struct datagram *datagram, struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    struct in_pktinfo in;
    struct endpoint local = {.length = 0};

    for (; part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
            memcpy(&in, CMSG_DATA(part), sizeof(in));
            local.u.in.sin_family = AF_INET;
            local.u.in.sin_addr = in.ipi_spec_dst;
        } else if (part->cmsg_level == IPPROTO_IPV6 &&
                   part->cmsg_type == IPV6_PKTINFO) {
            local.u.in6.sin6_family = AF_INET6;
            memcpy(&local.u.in6.sin6_addr, CMSG_DATA(part),
                   sizeof(local.u.in6.sin6_addr));
        }
    }
    addr_from_sockaddr(&datagram->local, &local.u.any);
}

/* The size in a train; 0: it is one datagram. */
static uint32_t read_segment(const struct datagram *datagram,
                             struct msghdr *header)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    int segment = 0;

    for (; part != NULL; part = CMSG_NXTHDR(header, part)) {
        if (part->cmsg_level == IPPROTO_UDP && part->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(part), sizeof(segment));
        }
    }
    return segment > 0 && (uint32_t)segment < datagram->size ? (uint32_t)segment
                                                             : 0;
}

static void read_peer(struct datagram *datagram, const struct endpoint *name)
{
    addr_from_sockaddr(&datagram->peer, &name->u.any);
    datagram->scope =
        name->u.any.sa_family == AF_INET6 ? name->u.in6.sin6_scope_id : 0;
}

/* Puts the places of the batch behind its count into the parts. */
static unsigned lay_out(struct vectors *vectors, struct datagram_batch *batch,
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

static int receive(struct datagram_batch *batch, int fd,
                   struct vectors *vectors, unsigned most)
{
    int got;

    do {
        got = recvmmsg(fd, vectors->headers, most, MSG_DONTWAIT, NULL);
    } while (got < 0 && errno == EINTR);
    for (int i = 0; i < got; i++) {
        struct datagram *datagram = &batch->list[batch->count++];

        datagram->size = vectors->headers[i].msg_len;
        datagram->segment =
            read_segment(datagram, &vectors->headers[i].msg_hdr);
        datagram->singly = false;
        batch->used = true;
    }
    return got;
}

int datagram_receive(struct datagram_batch *batch,
                     const struct datagram_socket *sock, unsigned most)
{
    unsigned first = batch->count;
    struct vectors vectors;
    int got;

    most = lay_out(&vectors, batch, most);
    for (unsigned i = 0; i < most; i++) {
        struct msghdr *header = &vectors.headers[i].msg_hdr;

        header->msg_name = &vectors.names[i].u;
        header->msg_namelen = sizeof(vectors.names[i].u);
    }
    got = receive(batch, sock->fd, &vectors, most);
    for (int i = 0; i < got; i++) {
        struct datagram *datagram = &batch->list[first + (unsigned)i];

        read_peer(datagram, &vectors.names[i]);
        datagram->local = (struct addr){.family = 0};
        if (sock->wild) {
            read_local(datagram, &vectors.headers[i].msg_hdr);
        }
    }
    return got;
}

int datagram_receive_connected(struct datagram_batch *batch, int fd,
                               unsigned most)
{
    struct vectors vectors;

    most = lay_out(&vectors, batch, most);
    return receive(batch, fd, &vectors, most);
}

/* ---- giving ---- */

/* The address as a socket of both families wants it. */
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

static void write_peer(struct endpoint *name, const struct datagram *datagram,
                       const struct datagram_socket *sock)
{
    endpoint_from_addr(name, &datagram->peer);
    if (sock->both && datagram->peer.family == AF_INET) {
        name->u.in6 = (struct sockaddr_in6){
            .sin6_family = AF_INET6,
            .sin6_port = htons(datagram->peer.port),
            .sin6_addr = mapped(&datagram->peer),
        };
        name->length = sizeof(name->u.in6);
    }
    if (name->u.any.sa_family == AF_INET6) {
        name->u.in6.sin6_scope_id = datagram->scope;
    }
}

/* Adds a note to a message, whose control has room for it. */
static void add_control(struct msghdr *header, union control *control,
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

/* The address that it is to leave from. */
static void write_local(struct msghdr *header, union control *control,
                        const struct datagram *datagram,
                        const struct datagram_socket *sock)
{
    struct in6_pktinfo in6 = {.ipi6_ifindex = datagram->scope};
    struct in_pktinfo in = {.ipi_ifindex = 0};

    if (datagram->local.family == 0) {
        return;
    }
    if (sock->both) {
        in6.ipi6_addr = mapped(&datagram->local);
        add_control(header, control, IPPROTO_IPV6, IPV6_PKTINFO, &in6,
                    sizeof(in6));
    } else {
        memcpy(&in.ipi_spec_dst, datagram->local.ip, sizeof(in.ipi_spec_dst));
        add_control(header, control, IPPROTO_IP, IP_PKTINFO, &in, sizeof(in));
    }
}

/* One message: list[0] to list[count - 1], joined. */
struct message {
    struct datagram *const *list;
    unsigned count;
    uint32_t segment; /* of the first datagram */
    uint32_t bytes;
};

static bool same_ends(const struct datagram *a, const struct datagram *b)
{
    return memcmp(&a->peer, &b->peer, sizeof(a->peer)) == 0 &&
           memcmp(&a->local, &b->local, sizeof(a->local)) == 0 &&
           a->scope == b->scope;
}

/* Whether the next one, to the same peer, may be joined to what is there: all
 * are of one size, and a last one may be smaller, but not empty. */
static bool fits(const struct message *message, const struct datagram *next)
{
    uint32_t bytes = message->bytes + next->size;
    uint32_t segment = message->segment;

    return !next->singly && !message->list[0]->singly && next->size > 0 &&
           segment > 0 && segment <= JOIN_SEGMENT_MAX &&
           message->bytes % segment == 0 &&
           datagram_size_of(next, 0) <= segment &&
           (next->segment == 0 || next->segment == segment) &&
           bytes <= JOIN_BYTES_MAX && bytes <= JOIN_MOST * segment;
}

/* Takes the next message off the list. */
static struct message gather(struct datagram *const *list, unsigned count,
                             bool connected)
{
    struct message message = {
        .list = list,
        .count = 1,
        .segment = datagram_size_of(list[0], 0),
        .bytes = list[0]->size,
    };

    for (; message.count < count; message.count++) {
        const struct datagram *next = list[message.count];

        if (!fits(&message, next) ||
            (!connected && !same_ends(list[0], next))) {
            break;
        }
        message.bytes += next->size;
    }
    return message;
}

/* Sends what is in a train, or the one datagram. On an error what was sent is
 * off it. */
static bool send_apart(int fd, struct msghdr *header, struct datagram *train)
{
    struct iovec part;

    header->msg_iov = &part;
    header->msg_iovlen = 1;
    for (uint32_t left = datagram_count(train); left > 0; left--) {
        part.iov_base = train->bytes;
        part.iov_len = datagram_size_of(train, 0);
        while (sendmsg(fd, header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno != EINTR) {
                return false;
            }
        }
        train->bytes += part.iov_len;
        train->size -= (uint32_t)part.iov_len;
    }
    return true;
}

/* Sends a message's datagrams one by one, and adds to *done the entries that
 * have gone. False with errno: not all. */
static bool send_singly(int fd, const struct msghdr *joined,
                        const struct message *message, unsigned *done)
{
    struct msghdr header = *joined;

    header.msg_controllen -= SEGMENT_SPACE;
    for (unsigned i = 0; i < message->count; i++) {
        message->list[i]->singly = true;
        if (!send_apart(fd, &header, message->list[i])) {
            return false;
        }
        ++*done;
    }
    return true;
}

/* What a kernel answers that cannot join, or not on this way: no checksums, or
 * packets too small. */
static bool cannot_join(int error)
{
    return error == EIO || error == EINVAL || error == EMSGSIZE ||
           error == EOPNOTSUPP || error == ENOPROTOOPT;
}

/* The messages of one call. */
struct burst {
    struct vectors vectors;
    struct message messages[DATAGRAM_BATCH];
    unsigned count;
};

static bool is_joined(const struct message *message)
{
    return message->bytes > message->segment;
}

/* How many messages from that one on go as they are. */
static unsigned intact(const struct burst *burst, unsigned first)
{
    unsigned end = first;

    while (end < burst->count && !(is_joined(&burst->messages[end]) &&
                                   burst->messages[end].list[0]->singly)) {
        end++;
    }
    return end - first;
}

/* Sends what goes as it is, and then one that does not, if need be. Adds to
 * *done the entries that have gone. */
static int send_some(int fd, struct burst *burst, unsigned first,
                     unsigned *done)
{
    const struct message *message = &burst->messages[first];
    struct mmsghdr *header = &burst->vectors.headers[first];
    unsigned count = intact(burst, first);
    int put = 0;

    if (count > 0) {
        put = sendmmsg(fd, header, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    for (int i = 0; i < put; i++) {
        *done += message[i].count;
    }
    if (count == 0 || (put < 0 && is_joined(message) && cannot_join(errno))) {
        put = send_singly(fd, &header->msg_hdr, message, done) ? 1 : -1;
    }
    return put;
}

static unsigned send_all(int fd, struct burst *burst, int *error)
{
    unsigned sent = 0, done = 0;
    int put;

    *error = 0;
    while (sent < burst->count) {
        put = send_some(fd, burst, sent, &done);
        if (put > 0) {
            sent += (unsigned)put;
        } else if (errno != EINTR) {
            *error = errno;
            break;
        }
    }
    return done;
}

/* Writes a message's header, but for its name. */
static struct msghdr *
enclose(struct burst *burst, const struct message *message, unsigned first_part)
{
    struct msghdr *header = &burst->vectors.headers[burst->count].msg_hdr;
    struct iovec *parts = &burst->vectors.parts[first_part];

    for (unsigned i = 0; i < message->count; i++) {
        parts[i].iov_base = message->list[i]->bytes;
        parts[i].iov_len = message->list[i]->size;
    }
    *header = (struct msghdr){
        .msg_iov = parts,
        .msg_iovlen = message->count,
    };
    return header;
}

/* The size in a train comes last: send_singly takes it off. */
static void write_segment(struct msghdr *header, union control *control,
                          const struct message *message)
{
    uint16_t segment = (uint16_t)message->segment;

    if (is_joined(message)) {
        add_control(header, control, IPPROTO_UDP, UDP_SEGMENT, &segment,
                    sizeof(segment));
    }
}

unsigned datagram_send(const struct datagram_socket *sock,
                       struct datagram *const *list, unsigned count, int *error)
{
    struct burst burst;

    burst.count = 0;
    for (unsigned i = 0; i < count; burst.count++) {
        struct message *message = &burst.messages[burst.count];
        struct endpoint *name = &burst.vectors.names[burst.count];
        union control *control = &burst.vectors.controls[burst.count];
        struct msghdr *header;

        *message = gather(&list[i], count - i, false);
        header = enclose(&burst, message, i);
        write_peer(name, list[i], sock);
        header->msg_name = &name->u;
        header->msg_namelen = name->length;
        write_local(header, control, list[i], sock);
        write_segment(header, control, message);
        i += message->count;
    }
    return send_all(sock->fd, &burst, error);
}

unsigned datagram_send_connected(int fd, struct datagram *const *list,
                                 unsigned count, int *error)
{
    struct burst burst;

    burst.count = 0;
    for (unsigned i = 0; i < count; burst.count++) {
        struct message *message = &burst.messages[burst.count];

        *message = gather(&list[i], count - i, true);
        write_segment(enclose(&burst, message, i),
                      &burst.vectors.controls[burst.count], message);
        i += message->count;
    }
    return send_all(fd, &burst, error);
}

int datagram_send_behind(int fd, const void *head, size_t head_bytes,
                         const struct datagram *datagram)
{
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)head, .iov_len = head_bytes},
        {.iov_base = datagram->bytes, .iov_len = datagram_size_of(datagram, 0)},
    };
    const struct msghdr header = {.msg_iov = parts, .msg_iovlen = 2};

    while (sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
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
