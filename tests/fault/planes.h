/*
 * planes: the planes of a run, without threads, and what they share. The only
 * room of these tests that knows the functions of the data plane.
 *
 * Whatever cannot be made here aborts, except by planes_prepare.
 */
#ifndef EVPROXY_FAULT_PLANES_H
#define EVPROXY_FAULT_PLANES_H

#include "proxy/plane.h"
#include "service/generation.h"

#include <stdbool.h>
#include <stdint.h>

#define PLANES_MAX 2

/* blocks: of memory, for each direction. */
void planes_open(unsigned count, uint64_t blocks, uint32_t max_connections);
void planes_close(void);
unsigned planes_count(void);
struct plane *planes_at(unsigned which);

/* Connections that planes have handed to one another, in all runs that are
 * closed. */
uint64_t planes_handed(void);

/*
 * Gives the plane a generation: the control thread prepares it, and the worker
 * takes what was prepared. NULL with errno = ENOMEM: nothing has changed.
 */
struct planes_gift;
struct planes_gift *planes_prepare(unsigned which,
                                   struct generation *generation) WARN_UNUSED;
void planes_apply(unsigned which, struct planes_gift *gift);

/* The plane's loop comes round once; it sleeps at most so long (-1: as long as
 * it likes). */
void planes_turn(unsigned which, int limit_ms);

/* Moves the sessions of the plane that can move to another plane. */
void planes_move(unsigned from);

void planes_drain(void);
bool planes_draining(void);
void planes_reset_all(void);
void planes_sweep(void);

/* What the planes have told the control thread since the last call. done: of
 * the generation of which a plane has no session left. Answers how many planes
 * are drained. */
unsigned planes_take_reports(void (*done)(struct generation *generation));

/* Sessions whose records are not free yet. */
unsigned planes_sessions(void);

/* The plane's epoll descriptor. */
int planes_epoll(unsigned which);

/* NULL, or what is left over although no session is. */
const char *planes_left_over(void);

#endif
