/*
 * name_check: whether the names of upstreams resolve, and to what, for `-t`.
 */
#ifndef EVPROXY_CONTROL_NAME_CHECK_H
#define EVPROXY_CONTROL_NAME_CHECK_H

#include "config/config.h"
#include "control/names.h"
#include "control/source.h"

/*
 * Looks all names up, which takes 5 seconds at most, into a table that the
 * caller has initialised and ends. Writes a warning to the
 * log for each upstream line whose name has no address by then, and adds an
 * error for each upstream that leads back to its service (control/loops.h). -1:
 * there are errors.
 */
int name_check(struct names *names, const struct source *source,
               const struct config *config,
               struct config_errors *errors) WARN_UNUSED;

#endif
