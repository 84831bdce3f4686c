/*
 * known_names: names with addresses, for what asks for resolution_names.
 */
#ifndef EVPROXY_TESTS_KNOWN_NAMES_H
#define EVPROXY_TESTS_KNOWN_NAMES_H

#include "service/resolution.h"

/* "two.example" has 10.0.9.1 and 10.0.9.2, "both.example" 10.0.9.1 and
 * [2001:db8::9]; "_a._tcp.example" has records of both, the second a backup.
 * Others have none. */
extern const struct resolution_names known_names;

#endif
