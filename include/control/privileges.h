/*
 * privileges: from root to the configured user and group, for good. The control
 * thread, before there is another.
 */
#ifndef EVPROXY_CONTROL_PRIVILEGES_H
#define EVPROXY_CONTROL_PRIVILEGES_H

#include "base/base.h"

/*
 * user and group are names or numbers; user NULL: nothing changes, group NULL:
 * the user's own. NULL, or a sentence without a final stop that says what
 * failed: a literal, or in a buffer that lives until the next call.
 */
const char *privileges_drop(const char *user, const char *group) WARN_UNUSED;

#endif
