/*
 * control: the control thread's part of a run: configurations become
 * generations, whose listening sockets are opened by the rooms that the daemon
 * has for that, and which the planes are given and give back.
 */
#ifndef EVPROXY_FAULT_CONTROL_H
#define EVPROXY_FAULT_CONTROL_H

#include "service/generation.h"

#include <stdbool.h>
#include <stddef.h>

/* Called after each step of a reload; NULL: nothing is. */
typedef void (*control_step_fn)(const char *step);

/* Whether the first plane takes a generation later than the control thread goes
 * on with listeners_commit: both orders happen. */
void control_set_late(bool late);

/* A snapshot of a text without errors; aborts otherwise. */
struct config *control_parse(const char *text, size_t length);

/*
 * The configuration, which is freed with its generation or at once, from now
 * on. connections: what the process can hold. False with errno: refused, and
 * nothing has changed. True: the first plane has it, and control_spread gives
 * it to the others.
 */
bool control_reload(struct config *config, uint32_t connections,
                    control_step_fn step) WARN_UNUSED;

/* Gives the current generation to the planes that lack it. False: one had no
 * memory to take it; to be called again, and no reload comes before. */
bool control_spread(control_step_fn step);

/* Frees what the planes have given back. Answers how many of them reported that
 * they are drained. */
unsigned control_take_reports(void);

/* NULL: none was accepted yet. */
struct generation *control_current(void);
/* What the plane was given last. */
struct generation *control_of_plane(unsigned which);
/* How many generations live, and which: oldest first. */
unsigned control_alive(void);
struct generation *control_alive_at(unsigned at);

/* Removes the socket files of the current generation. */
void control_unlink(void);

/* After planes_close: frees all. */
void control_close(void);

#endif
