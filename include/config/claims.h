/*
 * claims: what may stand only once in a draft: names of services, listen
 * addresses, or the server names at one of them, upstreams of a service. Pure.
 *
 * Each claim is a text that is equal for equal things, sorted, so that
 * thousands are compared in no time.
 */
#ifndef EVPROXY_CONFIG_CLAIMS_H
#define EVPROXY_CONFIG_CLAIMS_H

#include "config/draft.h"

/* Complains of each service whose name stands already. */
void claims_check_names(struct draft *draft);

/*
 * Complains of what the services of that mode (TCP and UDP have ports of their
 * own) claim twice: a listen address unless they share it by server name, an
 * upstream within one service; and of an upstream that is where its own service
 * listens.
 */
void claims_check_addresses(struct draft *draft, enum config_mode mode);

#endif
