/*
 * upgrades: live upgrades in a run, by the rooms of both processes: the old
 * one's control thread (control/upgrade) and the new one's (control/takeover),
 * with a simulated channel between them.
 *
 * Both processes are in this one, so some of it is shared that is not so
 * otherwise: the sessions go from one plane to another one of the same
 * generation, and what the new process reads of counters goes to a generation
 * of its own, where it is compared.
 */
#ifndef EVPROXY_FAULT_UPGRADES_H
#define EVPROXY_FAULT_UPGRADES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The plane is the old process's, and another one is the new one's. Planes turn
 * and time passes meanwhile; it may fail at any step. The text is that of the
 * configuration. */
void upgrades_run(unsigned from, const char *text, size_t length);

/* How long those of this run have taken so far, in milliseconds: so much later
 * than else things happen. */
void upgrades_begin_run(void);
uint64_t upgrades_ms(void);
bool upgrades_under_way(void);

/* In all runs: how many were begun, how many succeeded, and the sessions that
 * have moved. */
struct upgrades_count {
    uint64_t begun;
    uint64_t good;
    uint64_t sessions;
};
struct upgrades_count upgrades_count(void);

#endif
