/*
 * privileges: from root to the configured user and group, irrevocably. The
 * control thread, before it starts any other.
 */
#ifndef EVPROXY_CONTROL_PRIVILEGES_H
#define EVPROXY_CONTROL_PRIVILEGES_H

#include "base/base.h"

/*
 * user and group are names or numbers. user NULL: nothing changes. group NULL:
 * the user's group. Returns NULL, or a sentence without a final stop that says
 * what failed; it lives until the next call.
 */
const char *privileges_drop(const char *user, const char *group) WARN_UNUSED;

#endif
