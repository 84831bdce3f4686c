/*
 * resolver: names to addresses, by the system's resolver, when a configuration
 * is loaded. It blocks the control thread, never a worker.
 */
#ifndef EVPROXY_CONTROL_RESOLVER_H
#define EVPROXY_CONTROL_RESOLVER_H

#include "base/endpoint.h"

/*
 * Finds all TCP addresses of the host: with the port, sorted, each once, in an
 * array that the caller frees. Returns how many; 0 and *found = NULL if the
 * name does not resolve, with a debug line that says why.
 */
size_t resolver_lookup(const char *host, uint16_t port,
                       struct endpoint **found);

#endif
