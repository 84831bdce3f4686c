/*
 * resolver: names to addresses, by the system's resolver, when a configuration
 * is loaded. Blocks the control thread, never a worker.
 */
#ifndef EVPROXY_CONTROL_RESOLVER_H
#define EVPROXY_CONTROL_RESOLVER_H

#include "base/endpoint.h"

/*
 * All TCP addresses of the host, each once, sorted, with the port, in a
 * malloc'ed array that the caller frees; 0 if it does not resolve (a debug line
 * says why).
 */
size_t resolver_lookup(const char *host, uint16_t port,
                       struct endpoint **found);

#endif
