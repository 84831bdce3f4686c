/*
 * check: what a draft must fulfil as a whole: keys that need or exclude each
 * other, or a mode. Pure.
 *
 * Setters check single values; what only one service may have is checked by
 * config/conflicts.h.
 */
#ifndef EVPROXY_CONFIG_CHECK_H
#define EVPROXY_CONFIG_CHECK_H

#include "config/draft.h"

/* Adds an error for everything that is wrong. The draft has had all of its
 * text. */
void check_whole(struct draft *draft);

#endif
