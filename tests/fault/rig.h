/*
 * rig: one run of the data plane against the simulated kernel: a plane without
 * a thread, a few services, and for each a client, its servers and a story of
 * what they do. All of it follows from the seed.
 *
 * Each story has a service of its own, so that its end is known by the
 * service's counters and a server's client by the address it was reached at.
 */
#ifndef EVPROXY_FAULT_RIG_H
#define EVPROXY_FAULT_RIG_H

#include <stdbool.h>
#include <stdint.h>

/* What a run is about. */
enum rig_theme {
    RIG_FLOW,     /* everybody sends, reads and ends in order */
    RIG_RESETS,   /* some reset, some are refused */
    RIG_STALLS,   /* some stop reading, or fall silent */
    RIG_DRAIN,    /* all of it, and the plane is drained and emptied */
    RIG_SHORTAGE, /* all of it, and descriptors and ports run out */
};

/* NULL, or what was not as it should be. */
const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace);

#endif
