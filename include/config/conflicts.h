/*
 * conflicts: what a draft may have only once: the name of a service, a listen
 * address or a server name there, an upstream of a service. Pure.
 *
 * Each is reduced to a text that is equal for equal things. The texts are
 * sorted, so that thousands are compared in little time.
 */
#ifndef EVPROXY_CONFIG_CONFLICTS_H
#define EVPROXY_CONFIG_CONFLICTS_H

#include "config/draft.h"

/* Adds an error for each service whose name an earlier one has. */
void conflicts_check_names(struct draft *draft);

/*
 * Looks at the services of that mode; TCP and UDP ports are different. Adds an
 * error for a listen address that two services have, unless server names tell
 * them apart, and for an upstream that a service has twice.
 */
void conflicts_check_addresses(struct draft *draft, enum config_mode mode);

/* Adds an error if a TCP service listens at metrics_listen. */
void conflicts_check_metrics(struct draft *draft);

#endif
