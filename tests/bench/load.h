/*
 * load: what netload and tls_load share: options, sockets, time and latencies.
 * One thread, IPv4 only, on loopback. An error that would spoil the measurement
 * ends the program.
 */
#ifndef EVPROXY_BENCH_LOAD_H
#define EVPROXY_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/epoll.h>

enum {
    LOAD_BUFFER_BYTES = 65536,
    LOAD_EVENTS = 256, /* of one epoll_wait() */
    LOAD_STUCK_S = 5,  /* a connection without progress for so long is lost */
    LOAD_BACKLOG = 16384,
};

struct load {
    struct sockaddr_in target;
    int connections; /* -c */
    long total;      /* -n; 0: the mode's default, or no end */
    double seconds;  /* -d; 0: until total */
    long bytes;      /* -b */
    int sources;     /* -s: clients come from 127.0.2.1 .. 127.0.2.N */
    long burst;      /* -k: datagrams to a burst */
    long timeout_ms; /* -p: wait for an answer to a datagram */
    long window;     /* -w: bursts of a client without an answer */
    bool gso;        /* -g: a burst is one GSO batch (UDP_SEGMENT) */
    char buffer[LOAD_BUFFER_BYTES];
};

extern struct load load;

extern const char LOAD_REQUEST_CLOSE[];
extern const char LOAD_REQUEST_KEEP[];

noreturn void load_die(const char *what);

/* Sets load.target from "ADDRESS:PORT"; false: it is malformed. */
bool load_set_target(const char *text);

/* Sets the option from getopt(3): -c, -n, -d, -b or -s; false: another one. */
bool load_set_option(int option);

/* Allows many files, ignores SIGPIPE and fills the buffer. */
void load_prepare(void);

int64_t load_now_ns(void);

/* Starts a connection: its descriptor, or -1. */
int load_dial(bool nonblocking);

int load_epoll(void);
void load_watch(int epoll, int op, int fd, uint32_t events, uint32_t tag);

void *load_allocate(size_t count, size_t size);

/* Waits for a line on standard input, or its end. load_ready prints READY and
 * flushes standard output before. */
void load_ready(void);
void load_wait_line(void);

/* Collects durations in ns. After load_latency_sort, load_latency_us returns
 * the quantile of that share, in us. */
void load_latency_add(int64_t ns);
void load_latency_sort(void);
double load_latency_us(double share);
long load_latency_count(void);

/* The modes. Each returns the exit status; the servers end when killed. */
int load_serve_echo(void);
int load_serve_push(void);
int load_serve_udp(void);
int load_run_rate(void);
int load_run_requests(void);
int load_run_ping(void);
int load_run_hold(void);
int load_run_storm(void);
int load_run_udp(void);

#endif
