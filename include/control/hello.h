/*
 * hello: the greeting of each process of an upgrade, as a record
 * (control/upgrade_message.h): its version, and of the old process what the new
 * one must know before it prepares anything, and its counters. Pure, but for
 * hello_of.
 */
#ifndef EVPROXY_CONTROL_HELLO_H
#define EVPROXY_CONTROL_HELLO_H

#include "base/record.h"
#include "control/sample.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

#define HELLO_VERSION_MAX 64

/* A number that is 0 is not told. */
struct hello {
    char version[HELLO_VERSION_MAX]; /* "": not told */
    uint64_t least; /* the least format that its records can be read by */
    uint64_t workers;
    uint64_t buffer_size;
    uint64_t generation;
    uint64_t started_ns; /* the first of all processes */
    uint64_t reloaded;   /* how often, in all of them */
    uint64_t refused;    /* reloads */
    uint64_t announces;  /* of the new process: 1: connections may be announced
                            before the freeze */
    uint64_t accept_paused;
    uint64_t log_lost;
};

/* That of the old process, with its counters as they are. */
struct hello hello_of(const struct generation *generation,
                      const struct sample_facts *facts,
                      const struct shared *shared);

void hello_write(struct record_writer *writer, const struct hello *hello);

/* False: it is malformed, or has a critical part that is not known. */
bool hello_read(const struct record *record, struct hello *hello) WARN_UNUSED;

#endif
