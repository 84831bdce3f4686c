/*
 * seed: random numbers for a test, from a seed that can be given again.
 */
#ifndef EVPROXY_TESTS_E2E_SEED_H
#define EVPROXY_TESTS_E2E_SEED_H

#include "../unit/seeded.h"

/* Begins at EVPROXY_TEST_SEED, or anywhere, and prints where. */
struct seeded seed_new(void);

#endif
