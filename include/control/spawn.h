/*
 * spawn: starts the binary that is on disk now, as this process was started.
 * Control thread.
 *
 * Standard error of the new process is a pipe at first, so that its last lines
 * are known if it fails. The new process then changes to the log's descriptor.
 */
#ifndef EVPROXY_CONTROL_SPAWN_H
#define EVPROXY_CONTROL_SPAWN_H

#include "base/base.h"

#include <stdbool.h>
#include <sys/types.h>

/* The path by which the process was started; to be called before anything can
 * have replaced the file. */
void spawn_remember_path(void);
const char *spawn_path(void);

struct spawn {
    char **arguments;
    bool sibling; /* its parent is ours, unless this is the first process of a
                     container */
    const char *channel_variable; /* in its environment: "CHANNEL,LOG", our
                       standard error among the descriptors that it gets */
    const char *variables[2];     /* "K=V", added too; "": none */
};

struct spawned {
    pid_t pid;    /* 0: it has ended */
    int pid_fd;   /* readable when it has ended */
    int words_fd; /* what it writes to its standard error, without waiting */
    int channel;  /* to it; see net/channel.h */
};

/* -1 with errno; then what is open is -1. */
int spawn(const struct spawn *spawn, struct spawned *spawned) WARN_UNUSED;

/* Kills the process, unless it has ended, and waits for its end. */
void spawn_kill(struct spawned *spawned);

/* It has ended: forgets it, and says how. */
#define SPAWN_REASON_MAX 64
void spawn_reap(struct spawned *spawned, char reason[SPAWN_REASON_MAX]);

#endif
