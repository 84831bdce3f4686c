#include "net/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define BATCH_BYTES ((size_t)DATAGRAM_BATCH * DATAGRAM_BYTES_MAX)

/* Room for either kind of packet information. */
union control {
    struct cmsghdr align;
    char in[CMSG_SPACE(sizeof(struct in_pktinfo))];
    char in6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* What the calls want beside the datagrams, each at the same place. */
struct letters {
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
    for (size_t i = 0; i < DATAGRAM_BATCH; i++) {
        batch->list[i].bytes = batch->memory + i * DATAGRAM_BYTES_MAX;
    }
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

static void read_peer(struct datagram *datagram, const struct endpoint *name)
{
    addr_from_sockaddr(&datagram->peer, &name->u.any);
    datagram->scope =
        name->u.any.sa_family == AF_INET6 ? name->u.in6.sin6_scope_id : 0;
}

/* Puts the places of the batch behind its count into the parts. */
static unsigned lay_out(struct letters *letters,
                        const struct datagram_batch *batch, unsigned most)
{
    unsigned room = DATAGRAM_BATCH - batch->count;

    most = most < room ? most : room;
    for (unsigned i = 0; i < most; i++) {
        letters->parts[i].iov_base = batch->list[batch->count + i].bytes;
        letters->parts[i].iov_len = DATAGRAM_BYTES_MAX;
        letters->headers[i].msg_hdr = (struct msghdr){
            .msg_iov = &letters->parts[i],
            .msg_iovlen = 1,
        };
    }
    return most;
}

static int receive(struct datagram_batch *batch, int fd,
                   struct letters *letters, unsigned most)
{
    int got;

    do {
        got = recvmmsg(fd, letters->headers, most, MSG_DONTWAIT, NULL);
    } while (got < 0 && errno == EINTR);
    for (int i = 0; i < got; i++) {
        batch->list[batch->count++].size = letters->headers[i].msg_len;
        batch->used = true;
    }
    return got;
}

int datagram_receive(struct datagram_batch *batch,
                     const struct datagram_socket *sock, unsigned most)
{
    unsigned first = batch->count;
    struct letters letters;
    int got;

    most = lay_out(&letters, batch, most);
    for (unsigned i = 0; i < most; i++) {
        struct msghdr *header = &letters.headers[i].msg_hdr;

        header->msg_name = &letters.names[i].u;
        header->msg_namelen = sizeof(letters.names[i].u);
        header->msg_control = &letters.controls[i];
        header->msg_controllen = sock->wild ? sizeof(letters.controls[i]) : 0;
    }
    got = receive(batch, sock->fd, &letters, most);
    for (int i = 0; i < got; i++) {
        struct datagram *datagram = &batch->list[first + (unsigned)i];

        read_peer(datagram, &letters.names[i]);
        read_local(datagram, &letters.headers[i].msg_hdr);
    }
    return got;
}

int datagram_receive_connected(struct datagram_batch *batch, int fd,
                               unsigned most)
{
    struct letters letters;

    most = lay_out(&letters, batch, most);
    return receive(batch, fd, &letters, most);
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

/* The address that it is to leave from. */
static void write_local(struct msghdr *header, union control *control,
                        const struct datagram *datagram,
                        const struct datagram_socket *sock)
{
    struct in6_pktinfo in6 = {.ipi6_ifindex = datagram->scope};
    struct in_pktinfo in = {.ipi_ifindex = 0};
    struct cmsghdr *part = &control->align;

    if (datagram->local.family == 0) {
        return;
    }
    memset(control, 0, sizeof(*control));
    header->msg_control = control;
    if (sock->both) {
        in6.ipi6_addr = mapped(&datagram->local);
        part->cmsg_level = IPPROTO_IPV6;
        part->cmsg_type = IPV6_PKTINFO;
        part->cmsg_len = CMSG_LEN(sizeof(in6));
        memcpy(CMSG_DATA(part), &in6, sizeof(in6));
        header->msg_controllen = sizeof(control->in6);
    } else {
        memcpy(&in.ipi_spec_dst, datagram->local.ip, sizeof(in.ipi_spec_dst));
        part->cmsg_level = IPPROTO_IP;
        part->cmsg_type = IP_PKTINFO;
        part->cmsg_len = CMSG_LEN(sizeof(in));
        memcpy(CMSG_DATA(part), &in, sizeof(in));
        header->msg_controllen = sizeof(control->in);
    }
}

static void enclose(struct letters *letters, const struct datagram *const *list,
                    unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        letters->parts[i].iov_base = list[i]->bytes;
        letters->parts[i].iov_len = list[i]->size;
        letters->headers[i].msg_hdr = (struct msghdr){
            .msg_iov = &letters->parts[i],
            .msg_iovlen = 1,
        };
    }
}

static unsigned send_all(int fd, struct letters *letters, unsigned count,
                         int *error)
{
    unsigned sent = 0;
    int put;

    *error = 0;
    while (sent < count) {
        put = sendmmsg(fd, &letters->headers[sent], count - sent,
                       MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put > 0) {
            sent += (unsigned)put;
        } else if (errno != EINTR) {
            *error = errno;
            break;
        }
    }
    return sent;
}

unsigned datagram_send(const struct datagram_socket *sock,
                       const struct datagram *const *list, unsigned count,
                       int *error)
{
    struct letters letters;

    enclose(&letters, list, count);
    for (unsigned i = 0; i < count; i++) {
        struct msghdr *header = &letters.headers[i].msg_hdr;

        write_peer(&letters.names[i], list[i], sock);
        header->msg_name = &letters.names[i].u;
        header->msg_namelen = letters.names[i].length;
        write_local(header, &letters.controls[i], list[i], sock);
    }
    return send_all(sock->fd, &letters, count, error);
}

unsigned datagram_send_connected(int fd, const struct datagram *const *list,
                                 unsigned count, int *error)
{
    struct letters letters;

    enclose(&letters, list, count);
    return send_all(fd, &letters, count, error);
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
