/*
 * privileges: from root to the configured user and group, irrevocably. The
 * control thread, before it starts any other, as capabilities belong to a
 * thread.
 */
#ifndef EVPROXY_CONTROL_PRIVILEGES_H
#define EVPROXY_CONTROL_PRIVILEGES_H

#include "base/base.h"
#include "config/config.h"

#include <stdbool.h>
#include <sys/types.h>

#define IDENTITY_NAME_MAX 257

/* The user and the group that the process changes to. */
struct identity {
    bool changes; /* a user or a group is configured */
    uid_t uid;
    gid_t gid;
    char name[IDENTITY_NAME_MAX]; /* of the user, for the supplementary groups;
                                     "": there are none */
};

/*
 * Looks up the configured user and group, which are names or numbers. Without a
 * user the process stays the user that it is; without a group the user's
 * counts. Returns NULL, or a sentence without a final stop, and sets *line to
 * that of its key; the sentence lives until the next call of either function.
 */
const char *privileges_find(const struct config *config,
                            struct identity *identity,
                            unsigned *line) WARN_UNUSED;

/*
 * From now on no program that is executed gains a privilege by its set-user-ID
 * bit or its capabilities. One that the process has itself it keeps over an
 * upgrade. Returns NULL, or a sentence that says what failed.
 */
const char *privileges_freeze(void) WARN_UNUSED;

/*
 * Becomes that identity. Of a user other than root no capability is left. A
 * process that may not be dumped stays so. Returns NULL, or a sentence that
 * says what failed.
 */
const char *privileges_drop(const struct identity *identity) WARN_UNUSED;

#endif
