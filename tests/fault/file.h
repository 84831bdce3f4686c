/*
 * file: simulated descriptors, epoll and eventfd.
 *
 * Epoll is that of Linux: a wake-up of a descriptor puts it on the ready list
 * if one of its events is wanted. epoll_wait takes it off, asks for its state
 * as it is by then, and reports all of it. Edge-triggered ones stay off until
 * the next wake-up.
 */
#ifndef EVPROXY_FAULT_FILE_H
#define EVPROXY_FAULT_FILE_H

#include "kernel.h"

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define FILE_FD_FIRST 10000 /* simulated descriptors are from here */
#define FILES_MAX     512

enum file_kind {
    FILE_FREE,
    FILE_STREAM,
    FILE_EPOLL,
    FILE_EVENT,
    FILE_TUBE,
    FILE_COURIER,
};

struct stream;
struct tube;
struct courier;

#define FILE_WATCHES 2

/* What stands behind a descriptor. */
struct file {
    enum file_kind kind;
    int fd;
    uint64_t number; /* tells it from others that had the descriptor */
    bool stranger;   /* not the code's under test: see file_open_stranger */
    bool guest;      /* it came by a message; the new process has not started */
    struct stream *stream;   /* FILE_STREAM; duplicates share it */
    struct tube *tube;       /* FILE_TUBE: an end of it */
    struct courier *courier; /* FILE_COURIER: an end of it */
    uint64_t counter;        /* FILE_EVENT */
    struct list ready; /* FILE_EPOLL: of watches, first come first served */
    struct watch {
        struct file *file;  /* this one, while it is watched */
        struct file *epoll; /* who watches it; NULL: nobody */
        uint32_t events;
        epoll_data_t data;
        struct list link;    /* in epoll->ready */
    } watches[FILE_WATCHES]; /* two pollers share it while a session moves */
};

void file_forget_all(void);

/* NULL with errno when there are none left. */
struct file *file_open(enum file_kind kind);
struct file *file_at(int fd); /* NULL if fd is not open */
/* Gives a fresh file its socket. */
void file_attach(struct file *file, struct stream *stream);
/* Another descriptor of a socket. */
struct file *file_duplicate(struct file *file);
void file_close(struct file *file);

/* An open file of the kinds that can be duplicated, without a descriptor. */
struct file_share {
    enum file_kind kind;
    struct stream *stream;
    struct tube *tube;
};
struct file_share file_share(const struct file *file);
/* Gives it a descriptor; NULL with errno. */
struct file *file_open_share(const struct file_share *share);
/* Nobody will. */
void file_share_drop(const struct file_share *share);
/* A socket that the code under test does not know of, and which no call of its
 * may name. */
struct file *file_open_stranger(void);
/* From now on a descriptor that is closed becomes a stranger's at once. */
void file_reuse_closed(bool on);
/* The first open file from place *at on; NULL: none. Sets *at to its place. */
struct file *file_next(unsigned *at);
unsigned file_count(void);
/* From now on at most so many are open at once. */
void file_limit(unsigned limit);

/* Something new happened to it: the events that Linux gives as the key of the
 * wake-up; 0 wakes whatever is wanted. */
void file_wake(struct file *file, uint32_t key);
/* The same for all descriptors of a socket. */
void file_wake_all(const struct stream *stream, uint32_t key);

/* epoll.c, for file.c: no epoll watches the file any more, nor it others. */
void epoll_forget(struct file *file);
void epoll_forget_all(void);

/* What it is ready for now, as events of epoll. */
uint32_t file_poll(struct file *file);

/* The calls, as in their manual pages. */
int file_epoll_create(void);
int file_epoll_ctl(int epoll_fd, int operation, int fd,
                   const struct epoll_event *event);
int file_epoll_wait(int epoll_fd, struct epoll_event *events, int size,
                    int timeout_ms);
int file_eventfd(unsigned count);
ssize_t file_eventfd_read(struct file *file, uint64_t *value);
ssize_t file_eventfd_write(struct file *file, uint64_t value);

#endif
