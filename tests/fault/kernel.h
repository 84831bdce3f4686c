/*
 * kernel: a small simulated Linux for one thread: its time, its random numbers,
 * what happens when, and its faults. Descriptors and epoll are in file.h,
 * sockets in stream.h.
 *
 * The linker turns the system calls of the code under test to it (wrap.h) while
 * a simulation runs. Everything that happens follows from the seed: the order
 * of events, their delays, the faults. Time stands still except for a little
 * that each call takes and for what epoll_wait sleeps, so an hour of timeouts
 * passes in a moment, and a run can be repeated by its seed.
 */
#ifndef EVPROXY_FAULT_KERNEL_H
#define EVPROXY_FAULT_KERNEL_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

/* What goes wrong, each once in so many times; 0: never. */
struct kernel_faults {
    uint32_t again;       /* EAGAIN although there is something; an edge
                             follows */
    uint32_t interrupted; /* EINTR */
    uint32_t short_io;    /* part of what could be moved; an edge follows */
    uint32_t busy;        /* ENOBUFS or ENOMEM on recv and send, no edge */
    uint32_t spurious;    /* wake-ups for nothing */
    uint32_t descriptor;  /* EMFILE, ENFILE, ENOBUFS, ENOMEM on new ones */
    uint32_t watch;       /* ENOMEM on epoll_ctl */
    uint32_t local;       /* EADDRNOTAVAIL on connect */
    uint32_t memory;      /* no memory, for the code under test */
    uint32_t aborted;     /* ECONNABORTED on accept */
    uint64_t latency_ns;  /* most that a segment takes */
    bool first_whole;     /* but a connection's first write never fails for
                             `again`, nor is it cut short */
};

/* What has happened so far in this run: what went wrong by faults, which
 * excuses some ends of connections, and what the code under test did wrong. */
struct kernel_record {
    uint32_t descriptors; /* new ones that were refused */
    uint32_t watches;     /* epoll_ctl that failed */
    uint32_t locals;      /* connects without a local port */
    uint32_t memory;      /* allocations that failed */
    uint32_t busy;        /* recv and send without memory */
    uint32_t dropped; /* connections in the queue of a listener that closed */
    uint32_t aborted; /* connections that died in an accept queue */
    uint32_t tokens_used_twice; /* epoll data of one file given to another */
    uint32_t watches_left; /* files closed while epoll watched a duplicate */
    uint32_t trespasses;   /* calls on strangers' files */
    char trespass[64];     /* the first of them */
};

typedef void (*kernel_fn)(void *arg, uint64_t tag);

/* A fresh machine, without descriptors or events. */
void kernel_start(uint64_t seed, const struct kernel_faults *faults);
/* From now on this goes wrong. */
void kernel_set_faults(const struct kernel_faults *faults);
/* From now on calls go to the real kernel. */
void kernel_stop(void);
bool kernel_running(void);
struct kernel_record *kernel_record(void);
const struct kernel_faults *kernel_faults(void);

uint64_t kernel_now_ns(void);
uint64_t kernel_random(void);
/* A random number less than n; 0 if n is 0. */
uint64_t kernel_below(uint64_t n);
/* True once in n times; never if n is 0. */
bool kernel_chance(uint32_t n);

/* Calls fn(arg, tag) when that time has passed. */
void kernel_after(uint64_t delay_ns, kernel_fn fn, void *arg, uint64_t tag);
/* A time that a segment takes. */
uint64_t kernel_latency_ns(void);
/* Lets time pass to the next event and runs it; false if there is none. */
bool kernel_step(void);
/* The beginning of a system call: it takes a moment, and the world goes on. */
void kernel_enter(void);
/* Runs what is due now. */
void kernel_run_due(void);
/* Lets time pass to the next event, or to that time if none comes before. */
void kernel_sleep(uint64_t until_ns);

/* Writes what happens to standard error, while tracing is on. */
void kernel_set_trace(bool on);
void kernel_trace(const char *format, ...) PRINTF(1, 2);

#endif
