/*
 * generation_text: generations from texts, with known names.
 */
#ifndef EVPROXY_TESTS_GENERATION_TEXT_H
#define EVPROXY_TESTS_GENERATION_TEXT_H

#include "service/generation.h"

#define GENERATION_WORKERS 3

/* The records of every SRV name: "PRIORITY WEIGHT TARGET:PORT" each. */
extern const char *generation_records;

/*
 * "two.example" has 10.9.0.1 and 10.9.0.2, "many.example" has more addresses
 * than a service may have, and all other names have none.
 */
extern const struct resolution_names generation_names;

/* From a configuration without errors; previous may be NULL. */
struct generation *make_generation(const char *text,
                                   struct generation *previous);

#endif
