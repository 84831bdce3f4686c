#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LIMIT_MS = 10000,
    LIMIT_SLOW_MS = 50000,
    TICK_MS = 5,
    CHUNK_BYTES = 65536,
    DESCRIPTORS_MAX = 65536,
    PORT_FIRST = 10000, /* below the ephemeral ones: nobody takes them */
    PORT_LAST = 30000,
    SERVER_STACK_BYTES = 256 * 1024,
    LOG_TAIL = 25, /* lines shown after a failure */
};

extern char **environ;

/* ---- time ---- */

bool test_slow(void)
{
    const char *slow = getenv("EVPROXY_TEST_SLOW");
    return slow && strcmp(slow, "0") != 0 && *slow;
}

int64_t time_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t time_limit(void)
{
    return time_ms() + (test_slow() ? LIMIT_SLOW_MS : LIMIT_MS);
}

static void time_pause(int ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};
    nanosleep(&pause, NULL);
}

void time_tick(void)
{
    time_pause(TICK_MS);
}

/* ---- chance ---- */

/* splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

struct dice dice_new(void)
{
    const char *fixed = getenv("EVPROXY_TEST_SEED");
    uint64_t now = (uint64_t)time_ms() ^ (uint64_t)getpid() << 32;
    struct dice dice = {fixed ? strtoull(fixed, NULL, 0) : now};
    print_message("EVPROXY_TEST_SEED=%llu\n", (unsigned long long)dice.state);
    return dice;
}

uint64_t dice_roll(struct dice *dice, uint64_t sides)
{
    dice->state = mix(dice->state);
    return dice->state % sides;
}

/* ---- what moves a socket's bytes ---- */

static ssize_t plain_send(int fd, const void *bytes, size_t count)
{
    return send(fd, bytes, count, MSG_NOSIGNAL);
}

static ssize_t plain_recv(int fd, void *buffer, size_t size)
{
    return recv(fd, buffer, size, 0);
}

static int plain_finish(int fd)
{
    return shutdown(fd, SHUT_WR);
}

static void plain_drop(int fd)
{
    (void)fd;
}

static const struct carrier socket_itself = {plain_send, plain_recv,
                                             plain_finish, plain_drop};

/* Of each descriptor; NULL is the socket itself. Written by the thread that
 * holds it; the next holder of the same number may be another. */
static _Atomic(const struct carrier *) carriers[DESCRIPTORS_MAX];

void carrier_set(int fd, const struct carrier *carrier)
{
    carriers[fd] = carrier;
}

static const struct carrier *carrier_of(int fd)
{
    const struct carrier *carrier = carriers[fd];
    return carrier ? carrier : &socket_itself;
}

static void carrier_drop(int fd)
{
    carrier_of(fd)->drop(fd);
    carriers[fd] = NULL;
}

/* Closes, after a last word where one is usual. */
static void part(int fd)
{
    if (carriers[fd]) {
        carrier_of(fd)->finish(fd);
        carrier_drop(fd);
    }
    close(fd);
}

/* ---- what a failed test would leave behind ---- */

/* Descriptors of the main thread, which alone marks them. */
static bool held[DESCRIPTORS_MAX];

static int hold(int fd)
{
    assert_in_range(fd, 0, DESCRIPTORS_MAX - 1);
    held[fd] = true;
    return fd;
}

void hang_up(int fd)
{
    assert_true(held[fd]);
    held[fd] = false;
    part(fd);
}

void hang_up_all(void)
{
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (held[fd]) {
            hang_up(fd);
        }
    }
}

/* ---- places ---- */

struct destination {
    struct sockaddr_storage address;
    socklen_t length;
};

static int destination_unix(struct destination *to, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&to->address;
    if (strlen(path) >= sizeof un->sun_path) {
        return -1;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    to->length = sizeof *un;
    return 0;
}

static int destination_ip(struct destination *to, const char *host,
                          uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&to->address;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to->address;
    if (*host == '\0') {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        to->length = sizeof *in6;
        return 0;
    }
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        to->length = sizeof *in;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        to->length = sizeof *in6;
        return 0;
    }
    return -1;
}

static int destination_parse(struct destination *to, const char *text)
{
    char host[112];
    memset(to, 0, sizeof *to);
    if (strncmp(text, "unix:", 5) == 0) {
        return destination_unix(to, text + 5);
    }
    const char *colon = strrchr(text, ':');
    if (!colon) {
        return -1;
    }
    bool bracketed = *text == '[';
    size_t length = (size_t)(colon - text) - (bracketed ? 2 : 0);
    snprintf(host, sizeof host, "%.*s", (int)length, text + bracketed);
    return destination_ip(to, host, (uint16_t)atoi(colon + 1));
}

static struct destination destination_of(const struct place *place)
{
    struct destination to;
    if (destination_parse(&to, place->text) != 0) {
        fail_msg("no address: %s", place->text);
    }
    return to;
}

/* A socket of that type bound there, or -1: the port is taken. */
static int bound(const struct place *place, int type)
{
    struct destination at = destination_of(place);
    int on = 1;
    int fd = socket(at.address.ss_family, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at.address, at.length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

struct place place_on(const char *host)
{
    static unsigned tried;
    struct place place;
    for (;;) {
        unsigned span = PORT_LAST - PORT_FIRST;
        unsigned start = (unsigned)getpid() * 97;
        snprintf(place.text, sizeof place.text, "%s:%u", host,
                 PORT_FIRST + (start + tried++) % span);
        int fd = bound(&place, SOCK_STREAM);
        if (fd >= 0) {
            close(fd);
            return place;
        }
        assert_true(tried < 10 * span);
    }
}

struct place place_new(void)
{
    unsigned pid = (unsigned)getpid();
    char host[32];
    snprintf(host, sizeof host, "127.%u.%u.%u", 64 + (pid >> 16) % 64,
             (pid >> 8) % 256, pid % 256);
    return place_on(host);
}

struct place place_unix(const char *name)
{
    struct place place;
    snprintf(place.text, sizeof place.text, "unix:%s", file_path(name));
    return place;
}

struct place place_at(const char *host, const struct place *port)
{
    struct place place;
    snprintf(place.text, sizeof place.text, "%s%s", host,
             strrchr(port->text, ':'));
    return place;
}

const char *source_new(unsigned n)
{
    static char text[32];
    assert_in_range(n, 1, 60000);
    snprintf(text, sizeof text, "127.%u.%u.%u", 128 + getpid() % 120, n / 256,
             n % 256);
    return text;
}

/* ---- files ---- */

static char directory[80];

static void directory_remove(void)
{
    DIR *list = opendir(directory);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        unlink(file_path(entry->d_name));
    }
    if (list) {
        closedir(list);
    }
    rmdir(directory);
}

static void directory_make(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%.50s/evproxy-e2e.XXXXXX",
             parent && *parent ? parent : "/tmp");
    assert_non_null(mkdtemp(directory));
    chmod(directory, 0755); /* the proxy may have dropped its rights */
    atexit(directory_remove);
}

const char *file_path(const char *name)
{
    static char path[160];
    if (!*directory) {
        directory_make();
    }
    snprintf(path, sizeof path, "%s/%.60s", directory, name);
    return path;
}

const char *file_write(const char *name, const char *text)
{
    const char *path = file_path(name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* ---- sockets ---- */

/* True when one of the events (or an error) is there; false past the limit. */
static bool await_events(int fd, short events, int64_t limit)
{
    for (;;) {
        struct pollfd look = {.fd = fd, .events = events};
        int64_t left = limit - time_ms();
        int found = poll(&look, 1, left > 0 ? (int)left : 0);
        if (found > 0) {
            return true;
        }
        if (found == 0 && left <= 0) {
            return false;
        }
    }
}

bool pending(int fd, int wait_ms)
{
    return await_events(fd, POLLIN, time_ms() + wait_ms);
}

int listen_backlog(const struct place *place, int backlog)
{
    int fd = bound(place, SOCK_STREAM);
    if (fd < 0) {
        fail_msg("cannot bind %s: %s", place->text, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(listen(fd, backlog), 0);
    return hold(fd);
}

int listen_on(const struct place *place)
{
    return listen_backlog(place, 4096);
}

int take(int listener)
{
    int64_t limit = time_limit();
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            return hold(fd);
        }
        assert_int_equal(errno, EAGAIN);
        if (!await_events(listener, POLLIN, limit)) {
            fail_msg("nobody connected to the upstream");
        }
    }
}

static void bind_source(int fd, const char *source)
{
    struct destination from;
    int on = 1;
    memset(&from, 0, sizeof from);
    assert_int_equal(destination_ip(&from, source, 0), 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    int bad = bind(fd, (struct sockaddr *)&from.address, from.length);
    assert_int_equal(bad, 0);
}

static int client_socket(const struct place *place)
{
    struct destination to = destination_of(place);
    int fd = socket(to.address.ss_family,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    return fd;
}

/* Holds the socket when it is connected; else closes it, and -1 with errno. */
static int client_connect(int fd, const struct place *place)
{
    struct destination to = destination_of(place);
    int error = 0;
    socklen_t length = sizeof error;
    if (connect(fd, (struct sockaddr *)&to.address, to.length) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            error = ETIMEDOUT;
            if (await_events(fd, POLLOUT, time_limit())) {
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
            }
        }
    }
    if (error != 0) {
        close(fd);
        errno = error;
        return -1;
    }
    return hold(fd);
}

int dial_try(const char *source, const struct place *place)
{
    int fd = client_socket(place);
    if (source) {
        bind_source(fd, source);
    }
    return client_connect(fd, place);
}

int dial_narrow(const struct place *place)
{
    int bytes = 2048;
    int fd = client_socket(place);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    fd = client_connect(fd, place);
    assert_true(fd >= 0);
    return fd;
}

int dial_from(const char *source, const struct place *place)
{
    int fd = dial_try(source, place);
    if (fd < 0) {
        fail_msg("cannot connect to %s: %s", place->text, strerror(errno));
    }
    return fd;
}

int dial(const struct place *place)
{
    return dial_from(NULL, place);
}

int datagram_on(const struct place *place)
{
    int fd = bound(place, SOCK_DGRAM);
    if (fd < 0) {
        fail_msg("cannot bind %s: %s", place->text, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return hold(fd);
}

int datagram_dial(const char *source, const struct place *place)
{
    struct destination to = destination_of(place);
    int fd = socket(to.address.ss_family,
                    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (source) {
        bind_source(fd, source);
    }
    int bad = connect(fd, (struct sockaddr *)&to.address, to.length);
    assert_int_equal(bad, 0);
    return hold(fd);
}

/* To be closed with a reset, without a last word. */
static void abandon(int fd)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    carrier_drop(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

void reset(int fd)
{
    abandon(fd);
    hang_up(fd);
}

void finish(int fd)
{
    assert_int_equal(carrier_of(fd)->finish(fd), 0);
}

/* Answers 0, or -1 with errno (ETIMEDOUT: the peer took nothing for long). */
static int push(int fd, const void *bytes, size_t count)
{
    const char *next = bytes;
    while (count > 0) {
        ssize_t sent = carrier_of(fd)->send(fd, next, count);
        if (sent > 0) {
            next += sent;
            count -= (size_t)sent;
        } else if (errno != EAGAIN && errno != EINTR) {
            return -1;
        } else if (!await_events(fd, POLLOUT, time_limit())) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
    return 0;
}

/* As recv, but waits for long. */
static ssize_t pull(int fd, void *buffer, size_t size)
{
    for (;;) {
        ssize_t count = carrier_of(fd)->recv(fd, buffer, size);
        if (count >= 0 || (errno != EAGAIN && errno != EINTR)) {
            return count;
        }
        if (!await_events(fd, POLLIN, time_limit())) {
            errno = ETIMEDOUT;
            return -1;
        }
    }
}

void send_bytes(int fd, const void *bytes, size_t count)
{
    if (push(fd, bytes, count) != 0) {
        fail_msg("cannot send: %s", strerror(errno));
    }
}

void send_text(int fd, const char *text)
{
    send_bytes(fd, text, strlen(text));
}

void send_urgent(int fd, char byte)
{
    assert_int_equal(send(fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL), 1);
}

void send_last(int fd, const void *bytes, size_t count)
{
    if (carriers[fd]) {
        send_bytes(fd, bytes, count);
    } else {
        ssize_t sent = send(fd, bytes, count, MSG_MORE | MSG_NOSIGNAL);
        assert_int_equal(sent, count);
    }
    finish(fd);
}

static bool acknowledged(int fd)
{
    int queued = 0;
    assert_int_equal(ioctl(fd, TIOCOUTQ, &queued), 0);
    return queued == 0;
}

void await_acknowledged(int fd)
{
    eventually(acknowledged(fd));
}

void expect_text(int fd, const char *text)
{
    char got[512];
    size_t have = 0;
    size_t want = strlen(text);
    assert_in_range(want, 1, sizeof got - 1);
    while (have < want) {
        ssize_t count = pull(fd, got + have, want - have);
        if (count <= 0) {
            fail_msg("'%s' expected, got '%.*s' and %s", text, (int)have, got,
                     count == 0 ? "the end" : strerror(errno));
        }
        have += (size_t)count;
    }
    got[have] = '\0';
    assert_string_equal(got, text);
}

void expect_eof(int fd)
{
    char byte;
    ssize_t count = pull(fd, &byte, 1);
    if (count != 0) {
        fail_msg("end of stream expected, got %s",
                 count > 0 ? "a byte" : strerror(errno));
    }
}

void expect_reset(int fd)
{
    char byte;
    ssize_t count = pull(fd, &byte, 1);
    if (count >= 0 || errno != ECONNRESET) {
        fail_msg("reset expected, got %s", count > 0    ? "a byte"
                                           : count == 0 ? "the end of stream"
                                                        : strerror(errno));
    }
}

void expect_end(int fd)
{
    char byte;
    ssize_t count = pull(fd, &byte, 1);
    if (count > 0 || (count < 0 && errno != ECONNRESET)) {
        fail_msg("the end expected, got %s",
                 count > 0 ? "a byte" : strerror(errno));
    }
}

void expect_broken(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;
    /* Behind a FIN recv goes on to answer 0. */
    if (!await_events(fd, 0, time_limit())) {
        fail_msg("a reset behind the end expected");
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    assert_true(error == EPIPE || error == ECONNRESET);
}

void expect_gone(int fd)
{
    char bytes[512];
    ssize_t count;
    do {
        count = pull(fd, bytes, sizeof bytes);
    } while (count > 0);
    if (count < 0 && errno != ECONNRESET) {
        fail_msg("the end expected, got %s", strerror(errno));
    }
}

void expect_silence(int fd, int ms)
{
    assert_false(await_events(fd, POLLIN, time_ms() + ms));
}

void expect_refused(const char *source, const struct place *place,
                    const char *text)
{
    int fd = dial_try(source, place);
    if (fd < 0) {
        assert_int_equal(errno, ECONNRESET);
        return;
    }
    if (!text || send(fd, text, strlen(text), MSG_NOSIGNAL) > 0) {
        expect_reset(fd);
    }
    hang_up(fd);
}

void expect_let_go(const struct place *place)
{
    int fd = dial_try(NULL, place);
    if (fd < 0) {
        assert_int_equal(errno, ECONNRESET);
        return;
    }
    expect_end(fd);
    hang_up(fd);
}

size_t stuff(int fd, int quiet_ms)
{
    static const char block[CHUNK_BYTES];
    size_t total = 0;
    for (;;) {
        ssize_t sent = carrier_of(fd)->send(fd, block, sizeof block);
        if (sent > 0) {
            total += (size_t)sent;
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        if (!await_events(fd, POLLOUT, time_ms() + quiet_ms)) {
            return total;
        }
    }
}

/* ---- streams ---- */

/* The bytes of the stream from offset on. */
static void stream_fill(unsigned char *buffer, size_t count, uint64_t seed,
                        size_t offset)
{
    uint64_t word = mix(seed + offset / 8);
    for (size_t i = 0; i < count; i++, offset++) {
        if (offset % 8 == 0) {
            word = mix(seed + offset / 8);
        }
        buffer[i] = (unsigned char)(word >> (offset % 8 * 8));
    }
}

/* How much to move next: not past the next pause. */
static size_t flow_step(const struct flow *flow)
{
    size_t step =
        flow->chunk && flow->chunk < CHUNK_BYTES ? flow->chunk : CHUNK_BYTES;
    size_t left = flow->bytes - flow->moved;
    if (flow->pause_every) {
        size_t pause = flow->pause_every - flow->moved % flow->pause_every;
        step = pause < step ? pause : step;
    }
    return left < step ? left : step;
}

static void flow_moved(struct flow *flow, size_t count)
{
    flow->moved += count;
    if (flow->pause_every && flow->moved % flow->pause_every == 0) {
        time_pause(flow->pause_ms);
    }
}

void flow_fill(const struct flow *flow, void *buffer)
{
    stream_fill(buffer, flow->bytes, flow->seed, 0);
}

void flow_run_send(struct flow *flow)
{
    unsigned char buffer[CHUNK_BYTES];
    flow->moved = 0;
    flow->ill = NULL;
    while (flow->moved < flow->bytes) {
        size_t step = flow_step(flow);
        stream_fill(buffer, step, flow->seed, flow->moved);
        if (push(flow->fd, buffer, step) != 0) {
            flow->ill = strerrordesc_np(errno);
            return;
        }
        flow_moved(flow, step);
    }
    if (flow->finish && carrier_of(flow->fd)->finish(flow->fd) != 0) {
        flow->ill = strerrordesc_np(errno);
    }
}

/* NULL if the stream ends here, cleanly. */
static const char *stream_end(int fd)
{
    char byte;
    ssize_t count = pull(fd, &byte, 1);
    if (count > 0) {
        return "more bytes than were sent";
    }
    return count == 0 ? NULL : strerrordesc_np(errno);
}

void flow_run_receive(struct flow *flow)
{
    unsigned char got[CHUNK_BYTES];
    unsigned char want[CHUNK_BYTES];
    flow->moved = 0;
    flow->ill = NULL;
    while (flow->moved < flow->bytes) {
        ssize_t count = pull(flow->fd, got, flow_step(flow));
        if (count <= 0) {
            bool open_end = count == 0 && flow->bytes == SIZE_MAX;
            flow->ill = open_end     ? NULL
                        : count == 0 ? "an early end of stream"
                                     : strerrordesc_np(errno);
            return;
        }
        stream_fill(want, (size_t)count, flow->seed, flow->moved);
        if (memcmp(got, want, (size_t)count) != 0) {
            flow->ill = "bytes that were not sent, or not there";
            return;
        }
        flow_moved(flow, (size_t)count);
    }
    if (flow->finish) {
        flow->ill = stream_end(flow->fd);
    }
}

/* A flow with a thread of its own. It has its own copy, since a failing test
 * leaves its stack at once. */
struct job {
    struct flow flow;
    void (*run)(struct flow *flow);
    pthread_t thread;
    struct job *next;
};

static struct job *jobs; /* main thread only */

static void *job_main(void *arg)
{
    struct job *job = arg;
    job->run(&job->flow);
    return NULL;
}

static void job_start(struct flow *flow, void (*run)(struct flow *))
{
    struct job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->flow = *flow;
    job->run = run;
    assert_int_equal(pthread_create(&job->thread, NULL, job_main, job), 0);
    job->next = jobs;
    jobs = job;
    flow->thread = job;
}

/* Off the list and freed, when its thread has been joined. */
static void job_forget(struct job *job)
{
    struct job **link = &jobs;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    free(job);
}

void flow_send(struct flow *flow)
{
    job_start(flow, flow_run_send);
}

void flow_receive(struct flow *flow)
{
    job_start(flow, flow_run_receive);
}

void flow_join(struct flow *flow)
{
    struct job *job = flow->thread;
    pthread_join(job->thread, NULL);
    bool sender = job->run == flow_run_send;
    *flow = job->flow;
    flow->thread = NULL;
    job_forget(job);
    if (flow->ill) {
        fail_msg("%s at byte %zu: %s", sender ? "sender" : "receiver",
                 flow->moved, flow->ill);
    }
}

/* ---- clients in threads ---- */

int peer_dial(const struct place *place)
{
    struct destination to;
    if (destination_parse(&to, place->text) != 0) {
        return -1;
    }
    int fd = socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&to.address, to.length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- upstreams in threads ---- */

struct visit {
    struct server *server;
    int fd;
    struct visit *next;
};

struct server {
    int listener;
    server_fn fn;
    const void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the four below */
    pthread_cond_t left;
    struct visit *visits;
    unsigned accepted;
    bool stopping;
    struct server *next; /* main thread only */
};

static struct server *servers;

static void visit_end(struct visit *visit)
{
    struct server *server = visit->server;
    pthread_mutex_lock(&server->lock);
    struct visit **link = &server->visits;
    while (*link != visit) {
        link = &(*link)->next;
    }
    *link = visit->next;
    part(visit->fd);
    pthread_cond_broadcast(&server->left);
    pthread_mutex_unlock(&server->lock);
    free(visit);
}

static void *visit_main(void *arg)
{
    struct visit *visit = arg;
    visit->server->fn(visit->fd, visit->server->arg);
    visit_end(visit);
    return NULL;
}

/* False if it could not be begun, and nothing is left of it. */
static bool visit_start(struct server *server, int fd)
{
    pthread_attr_t attributes;
    pthread_t thread;
    struct visit *visit = calloc(1, sizeof *visit);
    if (!visit) {
        return false;
    }
    visit->server = server;
    visit->fd = fd;
    pthread_mutex_lock(&server->lock);
    visit->next = server->visits;
    server->visits = visit;
    server->accepted++;
    if (server->stopping) {
        shutdown(fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, SERVER_STACK_BYTES);
    int bad = pthread_create(&thread, &attributes, visit_main, visit);
    pthread_attr_destroy(&attributes);
    if (bad != 0) {
        visit_end(visit);
    }
    return true;
}

static void *server_main(void *arg)
{
    struct server *server = arg;
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno == ECONNABORTED) {
            continue;
        }
        if (fd < 0) {
            return NULL; /* shut down by server_stop */
        }
        if (!visit_start(server, fd)) {
            close(fd);
        }
    }
}

struct server *server_start(const struct place *place, server_fn fn,
                            const void *arg)
{
    struct server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    server->listener = listen_on(place);
    held[server->listener] = false; /* server_stop closes it */
    fcntl(server->listener, F_SETFL, 0);
    server->fn = fn;
    server->arg = arg;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->left, NULL);
    int bad = pthread_create(&server->thread, NULL, server_main, server);
    assert_int_equal(bad, 0);
    server->next = servers;
    servers = server;
    return server;
}

unsigned server_accepted(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned accepted = server->accepted;
    pthread_mutex_unlock(&server->lock);
    return accepted;
}

void server_stop(struct server *server)
{
    struct server **link = &servers;
    while (*link != server) {
        link = &(*link)->next;
    }
    *link = server->next;
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listener);
    pthread_mutex_lock(&server->lock);
    for (struct visit *visit = server->visits; visit; visit = visit->next) {
        shutdown(visit->fd, SHUT_RDWR);
    }
    while (server->visits) {
        pthread_cond_wait(&server->left, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_cond_destroy(&server->left);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

void serve_echo(int fd, const void *arg)
{
    char buffer[16384];
    (void)arg;
    for (;;) {
        ssize_t count = carrier_of(fd)->recv(fd, buffer, sizeof buffer);
        if (count <= 0 || push(fd, buffer, (size_t)count) != 0) {
            return;
        }
    }
}

void serve_swallow(int fd, const void *arg)
{
    char buffer[16384];
    (void)arg;
    while (carrier_of(fd)->recv(fd, buffer, sizeof buffer) > 0) {
    }
}

void serve_name(int fd, const void *name)
{
    if (push(fd, name, 1) == 0) {
        serve_swallow(fd, NULL);
    }
}

void serve_sink(int fd, const void *arg)
{
    struct pollfd gone = {.fd = fd}; /* only a hang-up or an error */
    (void)arg;
    while (poll(&gone, 1, -1) < 0) {
    }
}

void serve_source(int fd, const void *flow)
{
    struct flow out = *(const struct flow *)flow;
    out.fd = fd;
    flow_run_send(&out);
    serve_swallow(fd, NULL);
}

void serve_close(int fd, const void *arg)
{
    (void)fd;
    (void)arg;
}

void serve_reset(int fd, const void *arg)
{
    (void)arg;
    abandon(fd);
}

void serve_after_fin(int fd, const void *flow)
{
    struct flow out = *(const struct flow *)flow;
    serve_swallow(fd, NULL);
    out.fd = fd;
    flow_run_send(&out);
}

struct place refusing_place(void)
{
    struct place place = place_new();
    int fd = bound(&place, SOCK_STREAM);
    assert_true(fd >= 0);
    hold(fd);
    return place;
}

struct place silent_place(void)
{
    struct place place = place_new();
    struct destination to;
    listen_backlog(&place, 0);
    to = destination_of(&place);
    for (int i = 0; i < 4; i++) { /* one fits, the others hang */
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        connect(hold(fd), (struct sockaddr *)&to.address, to.length);
    }
    return place;
}

/* ---- the proxy ---- */

struct proxy {
    pid_t pid; /* 0: has ended, and was waited for */
    int status;
    char config[160];
    int log_fd;
    bool deaf;
    pthread_t reader;
    pthread_mutex_t lock; /* guards the lines: the reader adds, others look */
    char **lines;
    size_t count;
    size_t size;
    size_t mark;
    struct proxy *next;
};

static struct proxy *proxies; /* main thread only */

static void proxy_add_line(struct proxy *proxy, const char *text, size_t count)
{
    char *line = strndup(text, count);
    pthread_mutex_lock(&proxy->lock);
    if (proxy->count == proxy->size) {
        proxy->size = proxy->size ? proxy->size * 2 : 64;
        proxy->lines =
            realloc(proxy->lines, proxy->size * sizeof *proxy->lines);
    }
    proxy->lines[proxy->count++] = line;
    pthread_mutex_unlock(&proxy->lock);
}

static void *proxy_read_log(void *arg)
{
    struct proxy *proxy = arg;
    FILE *log = fdopen(proxy->log_fd, "re");
    char *line = NULL;
    size_t size = 0;
    for (;;) {
        ssize_t count = getline(&line, &size, log);
        if (count <= 0) {
            break;
        }
        proxy_add_line(proxy, line, (size_t)count - (line[count - 1] == '\n'));
    }
    free(line);
    fclose(log);
    return NULL;
}

static const char *proxy_binary(void)
{
    const char *path = getenv("EVPROXY");
    return path && *path ? path : "build/evproxy";
}

/* What was asked for, which goes before ours, then JOURNAL_STREAM. */
static char **environment_join(const struct launch *launch, char *journal)
{
    size_t count = 0;
    while (environ[count]) {
        count++;
    }
    size_t more = 0;
    while (launch->environment && launch->environment[more]) {
        more++;
    }
    char **all = calloc(count + more + 2, sizeof *all);
    assert_non_null(all);
    for (size_t i = 0; i < more; i++) {
        all[i] = (char *)(uintptr_t)launch->environment[i];
    }
    memcpy(all + more, environ, count * sizeof *all);
    all[count + more] = launch->journal ? journal : NULL;
    return all;
}

/* In the child: its standard error is log_fd. Never returns. */
static void proxy_exec(const struct launch *launch, char *const *arguments,
                       char *const *environment, int log_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (launch->descriptors) {
        struct rlimit limit = {launch->descriptors, launch->descriptors};
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    dup2(log_fd, STDERR_FILENO);
    execve(proxy_binary(), arguments, environment);
    _exit(127);
}

static void proxy_fork(struct proxy *proxy, const struct launch *launch)
{
    static const char *own[] = {"evproxy", "-c", NULL, NULL};
    char journal[64];
    int ends[2];
    struct stat about;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fstat(ends[1], &about), 0);
    snprintf(journal, sizeof journal, "JOURNAL_STREAM=%lu:%lu",
             (unsigned long)about.st_dev, (unsigned long)about.st_ino);
    own[2] = proxy->config;
    const char *const *arguments = launch->arguments ? launch->arguments : own;
    char **environment = environment_join(launch, journal);
    proxy->pid = fork();
    if (proxy->pid == 0) {
        proxy_exec(launch, (char *const *)(uintptr_t)arguments, environment,
                   ends[1]);
    }
    free(environment);
    assert_true(proxy->pid > 0);
    close(ends[1]);
    proxy->log_fd = ends[0];
}

struct proxy *proxy_launch(const struct launch *launch, const char *config)
{
    static unsigned number;
    char name[32];
    struct proxy *proxy = calloc(1, sizeof *proxy);
    assert_non_null(proxy);
    snprintf(name, sizeof name, "proxy%u.ini", number++);
    snprintf(proxy->config, sizeof proxy->config, "%s",
             file_write(name, config ? config : ""));
    pthread_mutex_init(&proxy->lock, NULL);
    proxy->deaf = launch->deaf;
    proxy_fork(proxy, launch);
    proxy->next = proxies;
    proxies = proxy;
    if (!launch->deaf) {
        pthread_create(&proxy->reader, NULL, proxy_read_log, proxy);
        if (!launch->unready) {
            proxy_line(proxy, "^(<[0-7]>)?ready ");
        }
    }
    return proxy;
}

static char *text_format(const char *format, va_list arguments)
{
    char *text = NULL;
    assert_true(vasprintf(&text, format, arguments) >= 0);
    return text;
}

struct proxy *proxy_start(const char *config, ...)
{
    const struct launch plain = {0};
    va_list arguments;
    va_start(arguments, config);
    char *text = text_format(config, arguments);
    va_end(arguments);
    struct proxy *proxy = proxy_launch(&plain, text);
    free(text);
    return proxy;
}

void proxy_configure(struct proxy *proxy, const char *config, ...)
{
    va_list arguments;
    va_start(arguments, config);
    char *text = text_format(config, arguments);
    va_end(arguments);
    file_write(strrchr(proxy->config, '/') + 1, text);
    free(text);
}

void proxy_reload(struct proxy *proxy)
{
    proxy_mark(proxy);
    proxy_signal(proxy, SIGHUP);
    const char *line = proxy_line(proxy, "^(<[0-7]>)?reload(ed|  *refused)");
    if (strstr(line, "refused")) {
        fail_msg("%s", line);
    }
}

pid_t proxy_pid(const struct proxy *proxy)
{
    return proxy->pid;
}

void proxy_signal(struct proxy *proxy, int signal)
{
    assert_int_equal(kill(proxy->pid, signal), 0);
}

/* True if it has ended; its log is then complete. */
static bool proxy_ended(struct proxy *proxy)
{
    int status = 0;
    if (proxy->pid == 0) {
        return true;
    }
    if (waitpid(proxy->pid, &status, WNOHANG) != proxy->pid) {
        return false;
    }
    proxy->pid = 0;
    proxy->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (proxy->deaf) {
        close(proxy->log_fd);
    } else {
        pthread_join(proxy->reader, NULL);
    }
    return true;
}

static void proxy_check_sanitizers(struct proxy *proxy)
{
    const char *complaints = "ERROR: (Address|Leak)Sanitizer|runtime error:|"
                             "WARNING: (Thread|Memory)Sanitizer|"
                             "[Aa]ssertion .* failed";
    for (size_t i = 0; i < proxy->count; i++) {
        regex_t regex;
        assert_int_equal(regcomp(&regex, complaints, REG_EXTENDED | REG_NOSUB),
                         0);
        int found = regexec(&regex, proxy->lines[i], 0, NULL, 0);
        regfree(&regex);
        if (found != 0) {
            continue;
        }
        for (size_t j = i; j < proxy->count && j < i + 40; j++) {
            print_error("%s\n", proxy->lines[j]);
        }
        fail_msg("%s", proxy->lines[i]);
    }
}

int proxy_wait(struct proxy *proxy)
{
    eventually(proxy_ended(proxy));
    proxy_check_sanitizers(proxy);
    return proxy->status;
}

void proxy_stop(struct proxy *proxy)
{
    hang_up_all();
    proxy_signal(proxy, SIGTERM);
    assert_int_equal(proxy_wait(proxy), 0);
}

/* ---- its log ---- */

void proxy_mark(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->mark = proxy->count;
    pthread_mutex_unlock(&proxy->lock);
}

static const char *proxy_get_line(struct proxy *proxy, size_t number)
{
    const char *line = NULL;
    pthread_mutex_lock(&proxy->lock);
    if (number < proxy->count) {
        line = proxy->lines[number];
    }
    pthread_mutex_unlock(&proxy->lock);
    return line;
}

/* The next line from *number on that the test takes; *number is its number. */
static const char *proxy_find(struct proxy *proxy, size_t *number,
                              bool (*test)(const char *line, const void *arg),
                              const void *arg, int64_t limit)
{
    for (;;) {
        const char *line = proxy_get_line(proxy, *number);
        if (line && test(line, arg)) {
            return line;
        }
        if (line) {
            ++*number;
            continue;
        }
        if (time_ms() > limit) {
            return NULL;
        }
        if (proxy_ended(proxy)) {
            limit = 0; /* one more look: the log is complete */
        } else {
            time_tick();
        }
    }
}

static bool matches(const char *line, const void *regex)
{
    return regexec(regex, line, 0, NULL, 0) == 0;
}

const char *proxy_line(struct proxy *proxy, const char *pattern)
{
    regex_t regex;
    size_t number = proxy->mark;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    const char *line =
        proxy_find(proxy, &number, matches, &regex, time_limit());
    regfree(&regex);
    if (!line) {
        fail_msg("no line like '%s' in the log", pattern);
    }
    return line;
}

unsigned proxy_count(struct proxy *proxy, const char *pattern)
{
    regex_t regex;
    unsigned count = 0;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    size_t number = proxy->mark;
    while (proxy_find(proxy, &number, matches, &regex, 0)) {
        count++;
        number++;
    }
    regfree(&regex);
    return count;
}

uint64_t line_number(const char *line, const char *key)
{
    char wanted[80];
    snprintf(wanted, sizeof wanted, " %s=", key);
    const char *found = strstr(line, wanted);
    if (!found) {
        fail_msg("no %s in: %s", key, line);
        return 0;
    }
    char *end;
    uint64_t value = strtoull(found + strlen(wanted), &end, 10);
    if (end == found + strlen(wanted) || (*end != ' ' && *end != '\0')) {
        fail_msg("%s is no number in: %s", key, line);
    }
    return value;
}

/* ---- its stats lines: the process's comes first ---- */

static bool begins_with(const char *line, const void *start)
{
    if (line[0] == '<' && line[1] && line[2] == '>') {
        line += 3;
    }
    return strncmp(line, start, strlen(start)) == 0;
}

static const char *const STATS_FIRST = "stats uptime_s=";

/* Asks, and answers the first line of the answer, and its number. */
static const char *stats_ask(struct proxy *proxy, size_t *number)
{
    pthread_mutex_lock(&proxy->lock);
    *number = proxy->count;
    pthread_mutex_unlock(&proxy->lock);
    proxy_signal(proxy, SIGUSR1);
    const char *line =
        proxy_find(proxy, number, begins_with, STATS_FIRST, time_limit());
    if (!line) {
        fail_msg("no stats lines");
    }
    return line;
}

static void stats_start(char *start, size_t size, const char *service,
                        const char *upstream)
{
    if (upstream) {
        snprintf(start, size, "stats service=%s upstream=%s ", service,
                 upstream);
    } else {
        snprintf(start, size, "stats service=%s active=", service);
    }
}

const char *stat_line(struct proxy *proxy, const char *service,
                      const char *upstream)
{
    char start[256];
    size_t number;
    const char *line = stats_ask(proxy, &number);
    if (!service) {
        return line;
    }
    stats_start(start, sizeof start, service, upstream);
    line = proxy_find(proxy, &number, begins_with, start, time_limit());
    if (!line) {
        fail_msg("no line '%s...' in the stats", start);
    }
    return line;
}

bool stat_listed(struct proxy *proxy, const char *service, const char *upstream)
{
    char start[256];
    size_t number;
    size_t end;
    stats_ask(proxy, &number);
    stats_ask(proxy, &end); /* the first answer is complete */
    stats_start(start, sizeof start, service, upstream);
    const char *found = proxy_find(proxy, &number, begins_with, start, 0);
    return found && number < end;
}

uint64_t stat_get(struct proxy *proxy, const char *service,
                  const char *upstream, const char *key)
{
    return line_number(stat_line(proxy, service, upstream), key);
}

void stat_await(struct proxy *proxy, const char *service, const char *upstream,
                const char *key, uint64_t value)
{
    int64_t limit = time_limit();
    for (;;) {
        const char *line = stat_line(proxy, service, upstream);
        if (line_number(line, key) == value) {
            return;
        }
        if (time_ms() > limit) {
            fail_msg("%s never was %lu: %s", key, (unsigned long)value, line);
        }
        time_tick();
    }
}

void await_cause(struct proxy *proxy, const char *cause, uint64_t count)
{
    char key[64];
    snprintf(key, sizeof key, "ended_%s", cause);
    stat_await(proxy, "web", NULL, key, count);
}

/* ---- what the kernel knows of it ---- */

static FILE *proxy_open(const struct proxy *proxy, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)proxy->pid, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    return file;
}

uint64_t proxy_status(const struct proxy *proxy, const char *key)
{
    char line[256];
    uint64_t value = 0;
    bool found = false;
    FILE *file = proxy_open(proxy, "status");
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':') {
            value = strtoull(line + strlen(key) + 1, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    assert_true(found);
    return value;
}

uint64_t proxy_resident(const struct proxy *proxy)
{
    return proxy_status(proxy, "VmRSS") * 1024;
}

uint64_t proxy_cpu_ms(const struct proxy *proxy)
{
    unsigned long user = 0;
    unsigned long system = 0;
    FILE *file = proxy_open(proxy, "stat");
    int found = fscanf(file,
                       "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                       "%*u %lu %lu",
                       &user, &system);
    fclose(file);
    assert_int_equal(found, 2);
    return (user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

unsigned proxy_entries(const struct proxy *proxy, const char *name)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)proxy->pid, name);
    DIR *list = opendir(path);
    assert_non_null(list);
    while (readdir(list)) {
        count++;
    }
    closedir(list);
    return count - 2; /* . and .. */
}

/* True if the socket has that address on that side. */
static bool socket_is(int fd, const struct destination *wanted, bool peer)
{
    struct destination found;
    memset(&found, 0, sizeof found);
    found.length = sizeof found.address;
    struct sockaddr *address = (struct sockaddr *)&found.address;
    int bad = peer ? getpeername(fd, address, &found.length)
                   : getsockname(fd, address, &found.length);
    return bad == 0 && found.length == wanted->length &&
           memcmp(&found.address, &wanted->address, wanted->length) == 0;
}

int proxy_socket(const struct proxy *proxy, const struct place *place,
                 bool peer)
{
    struct destination wanted = destination_of(place);
    int pidfd = (int)syscall(SYS_pidfd_open, proxy->pid, 0);
    int found = -1;
    for (int number = 0; pidfd >= 0 && number < 256 && found < 0; number++) {
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (fd < 0) {
            continue;
        }
        if (socket_is(fd, &wanted, peer)) {
            found = hold(fd);
        } else {
            close(fd);
        }
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    return found;
}

/* ---- one run to its end ---- */

/* Reads what there is; false at the end of the stream. */
static bool gather(int fd, char *text, size_t size, size_t *count)
{
    ssize_t got = read(fd, text + *count, size - 1 - *count);
    if (got > 0) {
        *count += (size_t)got;
    }
    return got > 0;
}

static void gather_both(struct outcome *outcome, int out, int err)
{
    struct pollfd looks[2] = {{.fd = out, .events = POLLIN},
                              {.fd = err, .events = POLLIN}};
    char *texts[2] = {outcome->out, outcome->err};
    size_t counts[2] = {0, 0};
    int64_t limit = time_limit();
    while (looks[0].fd >= 0 || looks[1].fd >= 0) {
        assert_true(poll(looks, 2, (int)(limit - time_ms())) > 0);
        for (int i = 0; i < 2; i++) {
            if (looks[i].fd >= 0 && looks[i].revents &&
                !gather(looks[i].fd, texts[i], sizeof outcome->out,
                        &counts[i])) {
                looks[i].fd = -1;
            }
        }
    }
    outcome->out[counts[0]] = '\0';
    outcome->err[counts[1]] = '\0';
}

void run_once(struct outcome *outcome, const char *const *arguments)
{
    int out[2];
    int err[2];
    int status = 0;
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execv(proxy_binary(), (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    assert_true(pid > 0);
    close(out[1]);
    close(err[1]);
    gather_both(outcome, out[0], err[0]);
    close(out[0]);
    close(err[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    outcome->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- one service, its upstream in our hand ---- */

void scene_open(struct scene *scene, const char *global, const char *service)
{
    scene->front = place_new();
    scene->back = place_new();
    scene->listener = listen_on(&scene->back);
    scene->proxy =
        proxy_start("[global]\n%s\n"
                    "[service web]\n"
                    "listen = %s\n"
                    "upstream = %s\n"
                    "%s\n",
                    global, scene->front.text, scene->back.text, service);
}

void scene_close(struct scene *scene)
{
    proxy_stop(scene->proxy);
}

struct pair scene_pair(const struct scene *scene)
{
    struct pair pair;
    pair.client = dial(&scene->front);
    pair.upstream = take(scene->listener);
    return pair;
}

struct pair scene_pair_open(const struct scene *scene)
{
    struct pair pair = scene_pair(scene);
    send_text(pair.client, "?");
    expect_text(pair.upstream, "?");
    send_text(pair.upstream, "!");
    expect_text(pair.client, "!");
    return pair;
}

void pair_hang_up(const struct pair *pair)
{
    hang_up(pair->client);
    hang_up(pair->upstream);
}

/* ---- what goes through it ---- */

void carry(int from, int to, size_t n, uint64_t seed)
{
    struct flow flow = {.fd = to, .seed = seed, .bytes = n, .finish = true};
    char *bytes = malloc(n);
    assert_non_null(bytes);
    flow_fill(&flow, bytes);
    send_last(from, bytes, n);
    free(bytes);
    flow_run_receive(&flow);
    if (flow.ill) {
        fail_msg("%zu bytes: %s at %zu", n, flow.ill, flow.moved);
    }
}

void pair_exchange(const struct pair *pair, const struct flow *way)
{
    struct flow up_out = *way;
    struct flow up_in = *way;
    struct flow down_out = *way;
    struct flow down_in = *way;
    up_out.fd = down_in.fd = pair->client;
    up_in.fd = down_out.fd = pair->upstream;
    down_out.seed = down_in.seed = way->seed + 77;
    up_out.pause_every = down_out.pause_every = way->pause_every / 3 * 2;
    flow_send(&up_out);
    flow_send(&down_out);
    flow_receive(&up_in);
    flow_receive(&down_in);
    flow_join(&up_out);
    flow_join(&up_in);
    flow_join(&down_out);
    flow_join(&down_in);
}

void pair_ping(const struct pair *pair)
{
    send_text(pair->client, "p");
    expect_text(pair->upstream, "p");
    send_text(pair->upstream, "q");
    expect_text(pair->client, "q");
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The 99th percentile of so many exchanges of one byte, in milliseconds. */
static int64_t ping_p99(const struct pair *pair)
{
    enum { PINGS = 300 };
    int64_t times[PINGS];
    for (int i = 0; i < PINGS; i++) {
        int64_t begin = time_ms();
        pair_ping(pair);
        times[i] = time_ms() - begin;
    }
    qsort(times, PINGS, sizeof *times, compare_times);
    return times[PINGS * 99 / 100];
}

void pair_expect_prompt(const struct pair *pair)
{
    int64_t p99 = INT64_MAX;
    for (int attempt = 0; attempt < 3 && p99 >= 20; attempt++) {
        p99 = ping_p99(pair);
    }
    assert_true(test_slow() || p99 < 20);
}

/* ---- after a test ---- */

static void proxy_discard(struct proxy *proxy)
{
    if (proxy->pid != 0) {
        kill(proxy->pid, SIGKILL);
        while (!proxy_ended(proxy)) {
            time_tick();
        }
        size_t from = proxy->count > LOG_TAIL ? proxy->count - LOG_TAIL : 0;
        for (size_t i = from; i < proxy->count; i++) {
            print_error("    log: %s\n", proxy->lines[i]);
        }
    }
    for (size_t i = 0; i < proxy->count; i++) {
        free(proxy->lines[i]);
    }
    free(proxy->lines);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

int harness_teardown(void **state)
{
    (void)state;
    while (proxies) {
        struct proxy *proxy = proxies;
        proxies = proxy->next;
        proxy_discard(proxy);
    }
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (held[fd]) {
            shutdown(fd, SHUT_RDWR);
        }
    }
    while (jobs) {
        pthread_join(jobs->thread, NULL);
        job_forget(jobs);
    }
    while (servers) {
        server_stop(servers);
    }
    hang_up_all();
    return 0;
}
