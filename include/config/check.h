/*
 * check: what concerns several keys of a draft, or all of it. Pure.
 *
 * What is wrong with one value its setter has said already; what may stand only
 * once is config/claims.h's.
 */
#ifndef EVPROXY_CONFIG_CHECK_H
#define EVPROXY_CONFIG_CHECK_H

#include "config/draft.h"

/* Complains of everything that is wrong, with its line. The draft has taken all
 * of its text. */
void check_whole(struct draft *draft);

#endif
