/* The client. A connection takes a record of 40 bytes; its messages are made
 * again whenever they are needed. */
#include "echo_load.h"
#include "echo_message.h"
#include "histogram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define US_PER_S UINT64_C(1000000)
#define NONE     UINT32_MAX

enum {
    SOURCES = 250,      /* 1,000,000 connections are 4,000 for each */
    EVENTS = 512,       /* of one epoll_wait() */
    OPENING_MAX = 1000, /* connections that wait for their first echo */
    REPORT_S = 10,
    STALL_S = 60,          /* opening ends if nothing moves for so long */
    DRAIN_S = 30,          /* the longest wait for the last echoes */
    TICK_US = 10000,       /* the resolution of the wheel */
    WHEEL_SLOTS = 1 << 14, /* one round of the wheel is 164 s */
    CONNECTIONS_MAX = 10000000,
    MESSAGE_MAX = 64 << 20,
};

enum state { NEW, CONNECTING, WAITING, BUSY, CLOSED };

struct conn {
    uint64_t sent_us; /* when the current message was sent */
    int fd;
    uint32_t message; /* number of the current message, from 0 */
    uint32_t sent;    /* bytes of it that were sent */
    uint32_t got;     /* bytes of it that were echoed and compared */
    uint32_t next;    /* the next connection in the same slot of the wheel */
    uint32_t due;     /* the tick at which to send, while in the wheel */
    uint32_t state;
};

static struct sockaddr_in host = {.sin_family = AF_INET};
static uint32_t total; /* connections asked for */
static uint32_t size;  /* bytes of a message */
static uint64_t min_gap_us;
static uint64_t max_gap_us;
static bool holding;

static int epoll;
static struct conn *conns;
static unsigned char *in; /* one message as it was echoed */

static struct {
    uint64_t begun_us; /* tick 0 */
    uint32_t tick;     /* the last one that was run */
    uint32_t slots[WHEEL_SLOTS];
} wheel;

static struct {
    uint32_t started;
    uint32_t established;
    uint32_t opening;
    uint32_t busy;
    uint32_t failed;
    uint32_t closed_by_peer;
    uint64_t messages;
    uint64_t mismatches;
    int last_error; /* errno of a failed connection */
    struct histogram first;
    struct histogram hold;
} seen;

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / 1000;
}

static void drop(struct conn *conn, bool by_peer)
{
    if (conn->state == CLOSED) {
        return;
    }
    if (conn->state == BUSY) {
        seen.busy--;
    }
    if (conn->state == CONNECTING ||
        (conn->state == BUSY && conn->message == 0)) {
        seen.opening--;
    }
    if (conn->state == CONNECTING) {
        seen.failed++;
    } else if (by_peer) {
        seen.closed_by_peer++;
    }
    if (conn->fd >= 0) {
        close(conn->fd);
    }
    conn->fd = -1;
    conn->state = CLOSED;
}

static void send_rest(uint32_t id)
{
    struct conn *conn = &conns[id];

    while (conn->sent < size) {
        ssize_t count =
            send(conn->fd, echo_message(id, conn->message, conn->sent),
                 size - conn->sent, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno != EAGAIN) {
                drop(conn, true);
            }
            return;
        }
        conn->sent += (uint32_t)count;
    }
}

static void send_message(uint32_t id)
{
    struct conn *conn = &conns[id];

    conn->state = BUSY;
    conn->sent = conn->got = 0;
    conn->sent_us = now_us();
    seen.busy++;
    send_rest(id);
}

/* ---- when to send next ------------------------------------------------ */

static void wheel_put(uint32_t id)
{
    uint32_t *slot = &wheel.slots[conns[id].due % WHEEL_SLOTS];
    conns[id].next = *slot;
    *slot = id;
}

/* Sends the next message after a random pause of at least min_us. */
static void schedule(uint32_t id, uint64_t now, uint64_t min_us)
{
    uint64_t at = now + min_us + echo_random(max_gap_us - min_us);
    uint32_t due = (uint32_t)((at - wheel.begun_us) / TICK_US);

    conns[id].due = due > wheel.tick ? due : wheel.tick + 1;
    wheel_put(id);
}

/* Runs the next tick if it is due; true: more are due. */
static bool wheel_run(uint64_t now)
{
    uint32_t current = (uint32_t)((now - wheel.begun_us) / TICK_US);
    if (wheel.tick >= current) {
        return false;
    }
    wheel.tick++;
    uint32_t *slot = &wheel.slots[wheel.tick % WHEEL_SLOTS];
    uint32_t next = *slot;
    *slot = NONE;
    while (next != NONE) {
        uint32_t id = next;
        next = conns[id].next;
        if (conns[id].state != WAITING) {
            continue;
        }
        if (conns[id].due > wheel.tick) {
            wheel_put(id); /* for a later round */
        } else {
            send_message(id);
        }
    }
    return wheel.tick < current;
}

/* ---- what comes back -------------------------------------------------- */

static void message_done(uint32_t id)
{
    struct conn *conn = &conns[id];
    uint64_t now = now_us();

    histogram_add(conn->message > 0 ? &seen.hold : &seen.first,
                  now - conn->sent_us);
    seen.messages++;
    seen.busy--;
    if (conn->message == 0) {
        seen.opening--;
    }
    conn->message++;
    conn->state = WAITING;
    if (holding && max_gap_us > 0) {
        schedule(id, now, min_gap_us);
    }
}

/* Whether the bytes equal those sent, and no more came than were sent. */
static bool is_echo(uint32_t id, uint32_t count)
{
    const struct conn *conn = &conns[id];
    return conn->state == BUSY && conn->got + count <= conn->sent &&
           memcmp(in, echo_message(id, conn->message, conn->got), count) == 0;
}

/* Edge-triggered: reads until nothing is left. */
static void receive(uint32_t id, bool hung_up)
{
    struct conn *conn = &conns[id];

    while (conn->state == BUSY || conn->state == WAITING) {
        uint32_t want = conn->state == BUSY ? size - conn->got : 0;
        /* One byte more shows an echo that is too long. */
        ssize_t count = recv(conn->fd, in, want + 1, 0);
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count <= 0) {
            drop(conn, true);
            return;
        }
        if (!is_echo(id, (uint32_t)count)) {
            seen.mismatches++;
            drop(conn, false);
            return;
        }
        conn->got += (uint32_t)count;
        if (conn->got == size) {
            message_done(id);
        }
        if ((uint32_t)count < want + 1 && !hung_up) {
            return;
        }
    }
}

/* ---- opening ---------------------------------------------------------- */

static void connected(uint32_t id)
{
    struct conn *conn = &conns[id];
    int error = 0;
    socklen_t length = sizeof(error);

    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
        seen.last_error = error;
        drop(conn, false);
        return;
    }
    seen.established++;
    send_message(id);
}

static int dial(uint32_t id)
{
    const int on = 1;
    struct sockaddr_in source = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(0x7f000201u + id % SOURCES),
    };
    struct epoll_event event = {
        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
        .data.u32 = id,
    };
    int fd = conns[id].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -1;
    }
    echo_nodelay(fd);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&host, sizeof(host)) != 0 &&
        errno != EINPROGRESS) {
        return -1;
    }
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void open_next(void)
{
    uint32_t id = seen.started++;

    seen.opening++;
    conns[id].state = CONNECTING;
    if (dial(id) != 0) {
        seen.last_error = errno;
        drop(&conns[id], false);
    }
}

static void handle(const struct epoll_event *event)
{
    uint32_t id = event->data.u32;
    uint32_t flags = event->events;
    struct conn *conn = &conns[id];

    if (conn->state == CONNECTING &&
        (flags & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        connected(id);
    } else if (conn->state == BUSY && conn->sent < size && (flags & EPOLLOUT)) {
        send_rest(id);
    }
    if (flags & ~(uint32_t)EPOLLOUT) {
        receive(id, flags & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    }
}

static void wait_for_events(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, timeout_ms);

    if (count < 0 && errno != EINTR) {
        echo_die("epoll_wait: %s", strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        handle(&events[i]);
    }
}

static void say(const char *phase, uint64_t begun)
{
    fprintf(stderr,
            "echo_load: %s started=%u established=%u opening=%u failed=%u "
            "closed_by_peer=%u messages=%" PRIu64 " seconds=%.1f\n",
            phase, seen.started, seen.established, seen.opening, seen.failed,
            seen.closed_by_peer, seen.messages,
            (double)(now_us() - begun) / 1e6);
}

static bool may_open(uint64_t now, uint64_t begun, double rate)
{
    double allowed = (double)(now - begun) / 1e6 * rate + 1;
    return seen.started < total && seen.started < allowed &&
           seen.opening < OPENING_MAX;
}

static void give_up_opening(void)
{
    for (uint32_t id = 0; id < seen.started; id++) {
        if (conns[id].state == CONNECTING) {
            seen.last_error = ETIMEDOUT;
            drop(&conns[id], false);
        }
    }
    seen.failed += total - seen.started;
}

static void open_all(double rate)
{
    uint64_t begun = now_us();
    uint64_t moved = begun;
    uint64_t reported = begun;
    uint32_t done = 0;

    while (seen.started < total || seen.opening > 0) {
        uint64_t now = now_us();
        /* No more than EVENTS at a time, so that echoes need not wait. */
        for (int i = 0; i < EVENTS && may_open(now, begun, rate); i++) {
            open_next();
        }
        wait_for_events(may_open(now, begun, rate) ? 0 : 1);
        if (seen.started - seen.opening != done) {
            done = seen.started - seen.opening;
            moved = now;
        }
        if (now - reported > REPORT_S * US_PER_S) {
            say("opening", begun);
            reported = now;
        }
        if (now - moved > STALL_S * US_PER_S) {
            say("stalled", begun);
            give_up_opening();
            return;
        }
    }
}

/* ---- the phases ------------------------------------------------------- */

static void idle(double seconds)
{
    uint64_t end = now_us() + (uint64_t)(seconds * 1e6);
    while (now_us() < end) {
        wait_for_events(100);
    }
}

static void hold(double seconds)
{
    uint64_t begun = now_us();
    uint64_t end = begun + (uint64_t)(seconds * 1e6);

    holding = true;
    wheel.begun_us = begun;
    for (uint32_t id = 0; id < seen.started && max_gap_us > 0; id++) {
        if (conns[id].state == WAITING) {
            schedule(id, begun, 0); /* its first pause has begun already */
        }
    }
    for (uint64_t now = begun; now < end; now = now_us()) {
        bool behind = wheel_run(now);
        wait_for_events(behind ? 0 : TICK_US / 1000);
    }
    holding = false;
    end += DRAIN_S * US_PER_S;
    while (seen.busy > 0 && now_us() < end) {
        wait_for_events(10);
    }
}

static void print_result(double opening_s)
{
    const struct histogram *took = max_gap_us > 0 ? &seen.hold : &seen.first;

    printf("{\"requested\":%u,\"established\":%u,\"failed\":%u,"
           "\"closed_by_peer\":%u,\"messages\":%" PRIu64
           ",\"mismatches\":%" PRIu64 ",\"unanswered\":%u,\"p50_us\":%" PRIu64
           ",\"p90_us\":%" PRIu64 ",\"p99_us\":%" PRIu64 ",\"max_us\":%" PRIu64
           ",\"opening_s\":%.1f,\"size\":%u,\"last_error\":\"%s\"}\n",
           total, seen.established, seen.failed, seen.closed_by_peer,
           seen.messages, seen.mismatches, seen.busy, histogram_at(took, 0.50),
           histogram_at(took, 0.90), histogram_at(took, 0.99), took->max,
           opening_s, size, seen.last_error ? strerror(seen.last_error) : "");
    fflush(stdout);
}

static void set_up(void)
{
    epoll = epoll_create1(0);
    conns = calloc(total, sizeof(conns[0]));
    echo_message_set_up(size);
    in = malloc((size_t)size + 1);
    if (epoll < 0 || conns == NULL || in == NULL) {
        echo_die("set-up: %s", strerror(errno));
    }
    for (unsigned i = 0; i < WHEEL_SLOTS; i++) {
        wheel.slots[i] = NONE;
    }
}

int echo_client(int argc, char **argv)
{
    if (inet_pton(AF_INET, argv[0], &host.sin_addr) != 1) {
        echo_die("HOST: %s is not an IPv4 address", argv[0]);
    }
    host.sin_port = htons((uint16_t)echo_number("PORT", argv[1], 1, 65535));
    total = (uint32_t)echo_number("N", argv[2], 1, CONNECTIONS_MAX);
    double seconds = echo_number("SECONDS", argv[3], 0, 1e6);
    double rate = echo_number("RATE", argv[4], 0.001, 1e9);
    size = (uint32_t)echo_number("SIZE", argv[5], 1, MESSAGE_MAX);
    min_gap_us = (uint64_t)(echo_number("MINGAP", argv[6], 0, 1e6) * 1e6);
    max_gap_us = (uint64_t)(echo_number("MAXGAP", argv[7], 0, 1e6) * 1e6);
    double idle_s = argc > 8 ? echo_number("IDLE_S", argv[8], 0, 1e6) : 0;
    if (max_gap_us > 0 && max_gap_us < min_gap_us) {
        echo_die("MAXGAP is less than MINGAP");
    }
    set_up();

    uint64_t begun = now_us();
    open_all(rate);
    double opening_s = (double)(now_us() - begun) / 1e6;
    say("idle", begun);
    idle(idle_s);
    say("hold", begun);
    hold(seconds);
    say("end", begun);
    print_result(opening_s);

    bool all_held = seen.established == total && seen.closed_by_peer == 0;
    bool all_right = seen.mismatches == 0 && seen.busy == 0;
    return all_held && all_right ? 0 : 1;
}
