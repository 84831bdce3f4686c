/*
 * kernel: a small simulated Linux for one thread: time, descriptors, epoll and
 * eventfd; the sockets are in stream.h.
 *
 * The system calls of the code under test are turned here at link time (wrap.c)
 * while the simulation runs. Everything that happens, happens because of the
 * seed: the order of events, their delays, the faults. Time stands still but
 * for a little that each call takes and for what epoll_wait sleeps, so an hour
 * of timeouts passes in a moment, and a run can be taken again by its seed.
 *
 * Epoll is that of Linux: a wake-up of a descriptor puts it on the ready list
 * if one of its events is wanted; epoll_wait takes it off, asks for its state
 * as it is by then, and reports all of it. Edge-triggered ones stay off until
 * the next wake-up.
 */
#ifndef EVPROXY_FAULT_KERNEL_H
#define EVPROXY_FAULT_KERNEL_H

#include "base/base.h"
#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define KERNEL_FD_FIRST 10000 /* simulated descriptors are from here */
#define KERNEL_FILES    256

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
    uint32_t aborted;     /* ECONNABORTED on accept */
    uint64_t latency_ns;  /* most that a segment takes */
};

/* What has gone wrong so far in this run and may be held against it. */
struct kernel_record {
    uint32_t descriptors; /* refused */
    uint32_t watches;
    uint32_t locals;
    uint32_t dropped; /* connections in the queue of a listener that closed */
    uint32_t aborted; /* connections that died in an accept queue */
};

enum file_kind { FILE_FREE, FILE_STREAM, FILE_EPOLL, FILE_EVENT, FILE_TUBE };

struct stream;
struct tube;

/* What stands behind a descriptor. */
struct file {
    enum file_kind kind;
    int fd;
    struct stream *stream; /* FILE_STREAM */
    struct tube *tube;     /* FILE_TUBE: an end of it */
    uint64_t counter;      /* FILE_EVENT */
    struct list ready;     /* FILE_EPOLL: of watches, first come first served */
    struct watch {
        struct file *epoll; /* who watches this file; NULL: nobody */
        uint32_t events;
        epoll_data_t data;
        struct list link; /* in epoll->ready */
    } watch;
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

/* Descriptors. file_open: NULL with errno when there are none left. */
struct file *file_open(enum file_kind kind);
struct file *file_at(int fd); /* NULL if fd is not open */
void file_close(struct file *file);
unsigned kernel_open_files(void);
/* From now on at most so many are open at once. */
void kernel_limit_files(unsigned limit);

/* Something new happened to it: the events that Linux gives as the key of the
 * wake-up; 0 wakes whatever is wanted. */
void file_wake(struct file *file, uint32_t key);

/* The calls, as in their manual pages. */
int kernel_epoll_create(void);
int kernel_epoll_ctl(int epoll_fd, int operation, int fd,
                     const struct epoll_event *event);
int kernel_epoll_wait(int epoll_fd, struct epoll_event *events, int size,
                      int timeout_ms);
int kernel_eventfd(unsigned count);
ssize_t kernel_eventfd_read(struct file *file, uint64_t *value);
ssize_t kernel_eventfd_write(struct file *file, uint64_t value);

/* Tells what happens on standard error, if kernel_set_trace was told so. */
void kernel_set_trace(bool on);
void kernel_trace(const char *format, ...) PRINTF(1, 2);

#endif
