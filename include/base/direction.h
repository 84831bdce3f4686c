/*
 * direction: the two ways in which bytes move through a session, as indices of
 * arrays. Pure.
 */
#ifndef EVPROXY_BASE_DIRECTION_H
#define EVPROXY_BASE_DIRECTION_H

/* Up is from client to upstream. */
enum direction { UP, DOWN, DIRECTIONS };

/* The opposite one. */
static inline enum direction direction_other(enum direction direction)
{
    return direction == UP ? DOWN : UP;
}

#endif
