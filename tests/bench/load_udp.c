/*
 * udp and udpecho: datagrams, many at a system call. A client is an address of
 * its own in 127.1.0.0 and above; all share one socket, so that the load costs
 * less than what it loads.
 *
 * A client sends bursts of -k datagrams. The last of each asks for an answer,
 * and as long as fewer than -w bursts have none it sends the next. One that
 * gets no answer takes what it had under way for lost and begins anew.
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
    BATCH = 64,        /* messages to one system call */
    ANSWER_BYTES = 16, /* unless a burst is one datagram: that is echoed */
    QUEUE_BYTES = 16 << 20,
    WARM_AT_ONCE = 64,
    CLIENTS_FROM = 0x7f010000,
};

static int64_t patience_ns(void)
{
    return load.patience_ms * INT64_C(1000000);
}

/* At the head of each datagram. */
struct note {
    uint32_t client;
    uint32_t burst;
    uint32_t answer_bytes; /* 0: none is wanted */
};

struct client {
    uint32_t sent; /* bursts */
    uint32_t under_way;
    uint32_t forgotten; /* answers to bursts before it are too late */
    int64_t heard_ns;
};

union control {
    struct cmsghdr align;
    char room[CMSG_SPACE(sizeof(struct in_pktinfo)) +
              CMSG_SPACE(sizeof(uint16_t))];
};

/* What one system call takes or gives, each message at the same place. */
struct post {
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in names[BATCH];
    union control controls[BATCH];
    char *bytes;
    size_t stride; /* of one message */
    unsigned count;
};

static struct post in;
static struct post out;

static struct {
    int fd;
    struct client *clients;
    long datagrams; /* of bursts that were answered, and their answers */
    long lost;      /* bursts */
    long wrong;     /* answers that are not as they should be */
} udp;

static void post_init(struct post *post, size_t stride)
{
    post->stride = stride;
    post->bytes = load_allocate(BATCH, stride);
    for (size_t i = 0; i < BATCH; i++) {
        post->parts[i].iov_base = post->bytes + i * stride;
        post->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &post->names[i],
            .msg_iov = &post->parts[i],
            .msg_iovlen = 1,
        };
    }
}

static int take(int fd, int flags)
{
    for (size_t i = 0; i < BATCH; i++) {
        struct msghdr *header = &in.headers[i].msg_hdr;

        in.parts[i].iov_len = in.stride;
        header->msg_namelen = sizeof(in.names[i]);
        header->msg_control = &in.controls[i];
        header->msg_controllen = sizeof(in.controls[i]);
    }
    return recvmmsg(fd, in.headers, BATCH, flags, NULL);
}

static void give(int fd)
{
    unsigned done = 0;

    while (done < out.count) {
        int put = sendmmsg(fd, &out.headers[done], out.count - done, 0);

        /* An error is the next one's alone: it is lost, or refused. */
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
    struct note note;

    if (in.headers[i].msg_len < sizeof(note)) {
        return;
    }
    memcpy(&note, in.parts[i].iov_base, sizeof(note));
    if (note.answer_bytes == 0) {
        return;
    }
    out.headers[out.count].msg_hdr = (struct msghdr){
        .msg_name = &in.names[i],
        .msg_namelen = sizeof(in.names[i]),
        .msg_iov = &out.parts[out.count],
        .msg_iovlen = 1,
    };
    out.parts[out.count].iov_base = in.parts[i].iov_base;
    out.parts[out.count].iov_len =
        MIN(note.answer_bytes, in.headers[i].msg_len);
    out.count++;
}

int load_serve_udp(void)
{
    int fd = open_socket();

    post_init(&in, LOAD_BUFFER_BYTES);
    if (bind(fd, (struct sockaddr *)&load.target, sizeof(load.target)) != 0) {
        load_die("bind");
    }
    for (;;) {
        int got = take(fd, MSG_WAITFORONE);

        for (int i = 0; i < got; i++) {
            answer((unsigned)i);
        }
        give(fd);
    }
}

/* ---- the clients ---- */

static uint32_t answer_bytes(long burst)
{
    return burst == 1 ? (uint32_t)load.bytes : ANSWER_BYTES;
}

/* From which address it leaves, and, with -g, where the kernel divides it. */
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

/* A message of that many datagrams, in the batch out. */
static void write_message(uint32_t client, long datagrams, bool last)
{
    struct client *it = &udp.clients[client];
    unsigned place = out.count++;
    char *bytes = out.parts[place].iov_base;

    out.names[place] = load.target;
    out.headers[place].msg_hdr.msg_namelen = sizeof(load.target);
    out.parts[place].iov_len = (size_t)(datagrams * load.bytes);
    write_control(place, client, datagrams);
    for (long i = 0; i < datagrams; i++) {
        struct note note = {.client = client, .burst = it->sent};

        if (last && i == datagrams - 1) {
            note.answer_bytes = answer_bytes(load.burst);
        }
        memcpy(bytes + i * load.bytes, &note, sizeof(note));
    }
    if (out.count == BATCH) {
        give(udp.fd);
    }
}

static void send_burst(uint32_t client)
{
    struct client *it = &udp.clients[client];
    long messages = load.joined ? 1 : load.burst;

    for (long i = 0; i < messages; i++) {
        write_message(client, load.burst / messages, i == messages - 1);
    }
    it->sent++;
    it->under_way++;
}

static bool to_its_address(unsigned i, uint32_t client)
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

/* The client of an answer in the batch in; NULL: it is to be passed over. */
static struct client *read_answer(unsigned i, int64_t now_ns)
{
    struct client *it;
    struct note note;

    memcpy(&note, in.parts[i].iov_base, sizeof(note));
    if (in.headers[i].msg_len != answer_bytes(load.burst) ||
        note.client >= (uint32_t)load.connections ||
        !to_its_address(i, note.client)) {
        udp.wrong++;
        return NULL;
    }
    it = &udp.clients[note.client];
    if (note.burst < it->forgotten || it->under_way == 0) {
        return NULL;
    }
    it->under_way--;
    it->heard_ns = now_ns;
    return it;
}

static uint32_t number_of(const struct client *client)
{
    return (uint32_t)(client - udp.clients);
}

/* Takes what is there, waiting a little for it; more: those who got an answer
 * go on. */
static void turn(bool more)
{
    struct pollfd poll_fd = {.fd = udp.fd, .events = POLLIN};
    int64_t now_ns;
    int got;

    if (poll(&poll_fd, 1, 20) <= 0) {
        return;
    }
    got = take(udp.fd, MSG_DONTWAIT);
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
    give(udp.fd);
}

static void begin(struct client *client, int64_t now_ns, long window)
{
    client->heard_ns = now_ns;
    while (client->under_way < (uint32_t)window) {
        send_burst(number_of(client));
    }
}

static void begin_again(int64_t now_ns, uint32_t first, uint32_t end,
                        long window)
{
    for (uint32_t i = first; i < end; i++) {
        struct client *it = &udp.clients[i];

        if (it->under_way > 0 && it->heard_ns + patience_ns() < now_ns) {
            udp.lost += it->under_way;
            it->under_way = 0;
            it->forgotten = it->sent;
            begin(it, now_ns, window);
        }
    }
    give(udp.fd);
}

static bool all_answered(uint32_t first, uint32_t end)
{
    while (first < end && udp.clients[first].under_way == 0) {
        first++;
    }
    return first == end;
}

/* One burst of each client there and back: each has its session. */
static void warm_up(void)
{
    uint32_t count = (uint32_t)load.connections;

    for (uint32_t first = 0; first < count; first += WARM_AT_ONCE) {
        uint32_t end = MIN(first + WARM_AT_ONCE, count);

        for (uint32_t i = first; i < end; i++) {
            begin(&udp.clients[i], load_now_ns(), 1);
        }
        give(udp.fd);
        while (!all_answered(first, end)) {
            turn(false);
            begin_again(load_now_ns(), first, end, 1);
        }
    }
}

static void run(void)
{
    uint32_t count = (uint32_t)load.connections;
    int64_t now_ns = load_now_ns();
    int64_t end_ns = now_ns + (int64_t)(load.seconds * 1e9);
    int64_t look_ns = now_ns + patience_ns();

    for (uint32_t i = 0; i < count; i++) {
        begin(&udp.clients[i], now_ns, load.window);
    }
    give(udp.fd);
    while (load.total > 0 ? udp.datagrams < load.total : now_ns < end_ns) {
        turn(true);
        now_ns = load_now_ns();
        if (now_ns > look_ns) {
            begin_again(now_ns, 0, count, load.window);
            look_ns = now_ns + patience_ns();
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
    post_init(&in, LOAD_BUFFER_BYTES);
    post_init(&out, LOAD_BUFFER_BYTES);
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
