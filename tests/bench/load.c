#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct load load = {.connections = 64,
                    .sources = 1,
                    .bytes = 64,
                    .burst = 1,
                    .window = 1,
                    .timeout_ms = 200};

const char LOAD_REQUEST_CLOSE[] =
    "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
const char LOAD_REQUEST_KEEP[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

static struct {
    uint32_t *ns;
    long count;
    long room;
} latency;

noreturn void load_die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what,
            strerror(errno));
    exit(1);
}

bool load_set_target(const char *text)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || colon - text >= (long)sizeof(host)) {
        return false;
    }
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    load.target.sin_family = AF_INET;
    load.target.sin_port = htons((uint16_t)atoi(colon + 1));
    return inet_pton(AF_INET, host, &load.target.sin_addr) == 1;
}

bool load_set_option(int option)
{
    switch (option) {
    case 'c':
        load.connections = atoi(optarg);
        break;
    case 'n':
        load.total = atol(optarg);
        break;
    case 'd':
        load.seconds = atof(optarg);
        break;
    case 'b':
        load.bytes = atol(optarg);
        break;
    case 's':
        load.sources = atoi(optarg);
        break;
    default:
        return false;
    }
    return true;
}

void load_prepare(void)
{
    struct rlimit limit;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    memset(load.buffer, 'x', sizeof(load.buffer));
}

int64_t load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Uses the source addresses in turn: one address has too few ports. */
static int bind_source(int fd)
{
    static int turn;
    const int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};

    source.sin_addr.s_addr = htonl(0x7f000201u + turn++ % load.sources);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, (struct sockaddr *)&source, sizeof(source));
}

int load_dial(bool nonblocking)
{
    const int on = 1;
    int flags = SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (load.sources > 1 && bind_source(fd) != 0) {
        goto fail;
    }
    if (connect(fd, (struct sockaddr *)&load.target, sizeof(load.target)) !=
            0 &&
        errno != EINPROGRESS) {
        goto fail;
    }
    return fd;
fail:
    close(fd);
    return -1;
}

int load_epoll(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        load_die("epoll_create1");
    }
    return epoll;
}

void load_watch(int epoll, int op, int fd, uint32_t events, uint32_t tag)
{
    struct epoll_event event = {.events = events, .data.u32 = tag};
    if (epoll_ctl(epoll, op, fd, &event) != 0) {
        load_die("epoll_ctl");
    }
}

void *load_allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        load_die("calloc");
    }
    return memory;
}

void load_wait_line(void)
{
    char c;
    while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
    }
}

void load_ready(void)
{
    puts("READY");
    fflush(stdout);
    load_wait_line();
}

void load_latency_add(int64_t ns)
{
    if (latency.count == latency.room) {
        latency.room = latency.room > 0 ? latency.room * 2 : 65536;
        latency.ns =
            realloc(latency.ns, (size_t)latency.room * sizeof(latency.ns[0]));
        if (latency.ns == NULL) {
            load_die("realloc");
        }
    }
    latency.ns[latency.count++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

void load_latency_sort(void)
{
    if (latency.count > 0) {
        qsort(latency.ns, (size_t)latency.count, sizeof(latency.ns[0]),
              compare);
    }
}

double load_latency_us(double share)
{
    if (latency.count == 0) {
        return 0;
    }
    return latency.ns[(long)(share * (double)(latency.count - 1))] / 1e3;
}

long load_latency_count(void)
{
    return latency.count;
}
