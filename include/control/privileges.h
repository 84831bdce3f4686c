/*
 * privileges: from root to the configured user and group, irrevocably. The
 * control thread, before it starts any other, as capabilities belong to a
 * thread.
 */
#ifndef EVPROXY_CONTROL_PRIVILEGES_H
#define EVPROXY_CONTROL_PRIVILEGES_H

#include "base/base.h"

#include <stdbool.h>
#include <sys/types.h>

#define IDENTITY_NAME_MAX 257

/* Who the process is going to be. */
struct identity {
    bool changes; /* a user or a group is configured */
    uid_t uid;
    gid_t gid;
    char name[IDENTITY_NAME_MAX]; /* of the user, for the supplementary groups;
                                     "": there are none */
};

/*
 * Looks both up: names or numbers. user NULL: the process stays the user that
 * it is. group NULL: the user's group. Returns NULL, or a sentence without a
 * final stop; it lives until the next call of either function.
 */
const char *privileges_find(const char *user, const char *group,
                            struct identity *identity) WARN_UNUSED;

/*
 * Becomes that identity. Of a user other than root no capability is left, and
 * no program that is executed later gains any. Returns NULL, or a sentence that
 * says what failed.
 */
const char *privileges_drop(const struct identity *identity) WARN_UNUSED;

#endif
