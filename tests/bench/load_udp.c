/*
 * udp and udpecho: datagrams, many in one system call. Each client is an
 * address from 127.1.0.0 on. All share one socket, so the load uses less
 * processor time than the proxy.
 *
 * A client sends bursts of -k datagrams. The last datagram of a burst requests
 * an answer. The client sends the next burst while fewer than -w are pending.
 * After -p milliseconds without an answer it counts the pending bursts as lost
 * and starts again.
 */
#include "load.h"

#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/socket.h>

enum {
    BATCH = 64,        /* messages in one system call */
    ANSWER_BYTES = 16, /* a burst of one datagram is echoed whole */
    QUEUE_BYTES = 16 << 20,
    WARM_AT_ONCE = 64,
    CLIENTS_FROM = 0x7f010000,
};

static int64_t timeout_ns(void)
{
    return load.timeout_ms * INT64_C(1000000);
}

/* The first bytes of each datagram. */
struct request {
    uint32_t client;
    uint32_t burst;
    uint32_t answer_bytes; /* 0: none */
};

struct client {
    uint32_t sent;    /* bursts */
    uint32_t pending; /* bursts without an answer */
    uint32_t oldest;  /* burst whose answer still counts */
    int64_t answered_ns;
};

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in_pktinfo)) +
              CMSG_SPACE(sizeof(uint16_t))];
};

/* The messages of one system call; arrays have the same index. */
struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec iovs[BATCH];
    struct sockaddr_in addresses[BATCH];
    union control controls[BATCH];
    char *bytes;
    size_t stride; /* of one message */
    unsigned count;
};

static struct batch in;
static struct batch out;

static struct {
    int fd;
    struct client *clients;
    long datagrams; /* of answered bursts, and their answers */
    long lost;      /* bursts */
    long wrong;     /* answers of a wrong size, client or address */
} udp;

static void batch_init(struct batch *batch, size_t stride)
{
    batch->stride = stride;
    batch->bytes = load_allocate(BATCH, stride);
    for (size_t i = 0; i < BATCH; i++) {
        batch->iovs[i].iov_base = batch->bytes + i * stride;
        batch->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &batch->addresses[i],
            .msg_iov = &batch->iovs[i],
            .msg_iovlen = 1,
        };
    }
}

static int receive_batch(int fd, int flags)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct msghdr *header = &in.headers[i].msg_hdr;

        in.iovs[i].iov_len = in.stride;
        header->msg_namelen = sizeof(in.addresses[i]);
        header->msg_control = &in.controls[i];
        header->msg_controllen = sizeof(in.controls[i]);
    }
    return recvmmsg(fd, in.headers, BATCH, flags, NULL);
}

static void send_batch(int fd)
{
    unsigned done = 0;

    while (done < out.count) {
        int put = sendmmsg(fd, &out.headers[done], out.count - done, 0);

        /* An error concerns the first message only: skip it. */
        done += put > 0 ? (unsigned)put : 1;
    }
    out.count = 0;
}

static int open_socket(void)
{
    const int on = 1;
    const int bytes = QUEUE_BYTES;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        load_die("socket");
    }
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    return fd;
}

/* ---- the server ---- */

static void answer(unsigned i)
{
    struct request request;

    if (in.headers[i].msg_len < sizeof(request)) {
        return;
    }
    memcpy(&request, in.iovs[i].iov_base, sizeof(request));
    if (request.answer_bytes == 0) {
        return;
    }
    out.headers[out.count].msg_hdr = (struct msghdr){
        .msg_name = &in.addresses[i],
        .msg_namelen = sizeof(in.addresses[i]),
        .msg_iov = &out.iovs[out.count],
        .msg_iovlen = 1,
    };
    out.iovs[out.count].iov_base = in.iovs[i].iov_base;
    out.iovs[out.count].iov_len =
        MIN(request.answer_bytes, in.headers[i].msg_len);
    out.count++;
}

int load_serve_udp(void)
{
    int fd = open_socket();

    batch_init(&in, LOAD_BUFFER_BYTES);
    if (bind(fd, (struct sockaddr *)&load.target, sizeof(load.target)) != 0) {
        load_die("bind");
    }
    for (;;) {
        int got = receive_batch(fd, MSG_WAITFORONE);

        for (int i = 0; i < got; i++) {
            answer((unsigned)i);
        }
        send_batch(fd);
    }
}

/* ---- the clients ---- */

static uint32_t answer_bytes(long burst)
{
    return burst == 1 ? (uint32_t)load.bytes : ANSWER_BYTES;
}

/* Sets the source address and, with -g, the segment size of the GSO batch. */
static void write_control(unsigned place, uint32_t client, long datagrams)
{
    struct in_pktinfo info = {.ipi_spec_dst.s_addr =
                                  htonl(CLIENTS_FROM + client)};
    struct msghdr *header = &out.headers[place].msg_hdr;
    struct cmsghdr *part = &out.controls[place].align;
    uint16_t size = (uint16_t)load.bytes;

    header->msg_control = part;
    header->msg_controllen = CMSG_SPACE(sizeof(info));
    *part = (struct cmsghdr){.cmsg_level = IPPROTO_IP,
                             .cmsg_type = IP_PKTINFO,
                             .cmsg_len = CMSG_LEN(sizeof(info))};
    memcpy(CMSG_DATA(part), &info, sizeof(info));
    if (datagrams > 1) {
        header->msg_controllen = sizeof(out.controls[place]);
        part = CMSG_NXTHDR(header, part);
        *part = (struct cmsghdr){.cmsg_level = IPPROTO_UDP,
                                 .cmsg_type = UDP_SEGMENT,
                                 .cmsg_len = CMSG_LEN(sizeof(size))};
        memcpy(CMSG_DATA(part), &size, sizeof(size));
    }
}

/* Adds a message of that many datagrams to the batch out. */
static void write_message(uint32_t client, long datagrams, bool last)
{
    struct client *it = &udp.clients[client];
    unsigned place = out.count++;
    char *bytes = out.iovs[place].iov_base;

    out.addresses[place] = load.target;
    out.headers[place].msg_hdr.msg_namelen = sizeof(load.target);
    out.iovs[place].iov_len = (size_t)(datagrams * load.bytes);
    write_control(place, client, datagrams);
    for (long i = 0; i < datagrams; i++) {
        struct request request = {.client = client, .burst = it->sent};

        if (last && i == datagrams - 1) {
            request.answer_bytes = answer_bytes(load.burst);
        }
        memcpy(bytes + i * load.bytes, &request, sizeof(request));
    }
    if (out.count == BATCH) {
        send_batch(udp.fd);
    }
}

static void send_burst(uint32_t client)
{
    struct client *it = &udp.clients[client];
    long messages = load.gso ? 1 : load.burst;

    for (long i = 0; i < messages; i++) {
        write_message(client, load.burst / messages, i == messages - 1);
    }
    it->sent++;
    it->pending++;
}

static bool has_address_of(unsigned i, uint32_t client)
{
    struct msghdr *header = &in.headers[i].msg_hdr;
    struct cmsghdr *part = CMSG_FIRSTHDR(header);
    struct in_pktinfo info;

    if (part == NULL || part->cmsg_type != IP_PKTINFO) {
        return false;
    }
    memcpy(&info, CMSG_DATA(part), sizeof(info));
    return info.ipi_addr.s_addr == htonl(CLIENTS_FROM + client);
}

/* The client of an answer in the batch in; NULL: the answer does not count. */
static struct client *read_answer(unsigned i, int64_t now_ns)
{
    struct client *it;
    struct request request;

    memcpy(&request, in.iovs[i].iov_base, sizeof(request));
    if (in.headers[i].msg_len != answer_bytes(load.burst) ||
        request.client >= (uint32_t)load.connections ||
        !has_address_of(i, request.client)) {
        udp.wrong++;
        return NULL;
    }
    it = &udp.clients[request.client];
    if (request.burst < it->oldest || it->pending == 0) {
        return NULL;
    }
    it->pending--;
    it->answered_ns = now_ns;
    return it;
}

static uint32_t number_of(const struct client *client)
{
    return (uint32_t)(client - udp.clients);
}

/* Waits a little for answers and counts them. With more, the clients that got
 * one send the next burst. */
static void receive_answers(bool more)
{
    struct pollfd poll_fd = {.fd = udp.fd, .events = POLLIN};
    int64_t now_ns;
    int got;

    if (poll(&poll_fd, 1, 20) <= 0) {
        return;
    }
    got = receive_batch(udp.fd, MSG_DONTWAIT);
    now_ns = load_now_ns();
    for (int i = 0; i < got; i++) {
        struct client *it = read_answer((unsigned)i, now_ns);

        if (it != NULL) {
            udp.datagrams += load.burst + 1;
            if (more) {
                send_burst(number_of(it));
            }
        }
    }
    send_batch(udp.fd);
}

static void fill_window(struct client *client, int64_t now_ns, long window)
{
    client->answered_ns = now_ns;
    while (client->pending < (uint32_t)window) {
        send_burst(number_of(client));
    }
}

static void restart_silent(int64_t now_ns, uint32_t first, uint32_t end,
                           long window)
{
    for (uint32_t i = first; i < end; i++) {
        struct client *it = &udp.clients[i];

        if (it->pending > 0 && it->answered_ns + timeout_ns() < now_ns) {
            udp.lost += it->pending;
            it->pending = 0;
            it->oldest = it->sent;
            fill_window(it, now_ns, window);
        }
    }
    send_batch(udp.fd);
}

static bool all_answered(uint32_t first, uint32_t end)
{
    while (first < end && udp.clients[first].pending == 0) {
        first++;
    }
    return first == end;
}

/* One burst of each client and its answer: the proxy has all sessions. */
static void warm_up(void)
{
    uint32_t count = (uint32_t)load.connections;

    for (uint32_t first = 0; first < count; first += WARM_AT_ONCE) {
        uint32_t end = MIN(first + WARM_AT_ONCE, count);

        for (uint32_t i = first; i < end; i++) {
            fill_window(&udp.clients[i], load_now_ns(), 1);
        }
        send_batch(udp.fd);
        while (!all_answered(first, end)) {
            receive_answers(false);
            restart_silent(load_now_ns(), first, end, 1);
        }
    }
}

static void run(void)
{
    uint32_t count = (uint32_t)load.connections;
    int64_t now_ns = load_now_ns();
    int64_t end_ns = now_ns + (int64_t)(load.seconds * 1e9);
    int64_t check_ns = now_ns + timeout_ns();

    for (uint32_t i = 0; i < count; i++) {
        fill_window(&udp.clients[i], now_ns, load.window);
    }
    send_batch(udp.fd);
    while (load.total > 0 ? udp.datagrams < load.total : now_ns < end_ns) {
        receive_answers(true);
        now_ns = load_now_ns();
        if (now_ns > check_ns) {
            restart_silent(now_ns, 0, count, load.window);
            check_ns = now_ns + timeout_ns();
        }
    }
}

int load_run_udp(void)
{
    struct sockaddr_in all = {.sin_family = AF_INET};
    double took;
    int64_t begun;

    if (load.burst * load.bytes > LOAD_BUFFER_BYTES - 29 ||
        load.bytes < ANSWER_BYTES) {
        errno = EINVAL;
        load_die("-k and -b");
    }
    batch_init(&in, LOAD_BUFFER_BYTES);
    batch_init(&out, LOAD_BUFFER_BYTES);
    udp.clients =
        load_allocate((size_t)load.connections, sizeof(udp.clients[0]));
    udp.fd = open_socket();
    if (bind(udp.fd, (struct sockaddr *)&all, sizeof(all)) != 0) {
        load_die("bind");
    }
    warm_up();
    load_ready();
    udp.datagrams = udp.lost = 0;
    begun = load_now_ns();
    if (load.total > 0 || load.seconds > 0) {
        run();
    }
    took = (double)(load_now_ns() - begun) / 1e9;
    printf("{\"n\": %ld, \"seconds\": %.3f, \"per_s\": %.0f, \"lost\": %ld, "
           "\"wrong\": %ld}\n",
           udp.datagrams, took, (double)udp.datagrams / took, udp.lost,
           udp.wrong);
    fflush(stdout);
    load_wait_line();
    return 0;
}
