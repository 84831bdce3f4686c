#include "control/privileges.h"

#include "base/value.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct identity {
    uid_t uid;
    gid_t gid;
    const char *name; /* for the supplementary groups; NULL: none */
};

static PRINTF(1, 2) const char *sentence(const char *format, ...)
{
    static char buffer[256];
    va_list args;

    va_start(args, format);
    vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    return buffer;
}

static const char *find_group(const char *group, gid_t *gid)
{
    const struct group *entry = getgrnam(group);
    uint64_t number;

    if (entry != NULL) {
        *gid = entry->gr_gid;
        return NULL;
    }
    if (value_number(group, 0, UINT32_MAX - 1, &number) != NULL) {
        return sentence("there is no group '%s'", group);
    }
    *gid = (gid_t)number;
    return NULL;
}

static const char *find_user(const char *user, bool group_given,
                             struct identity *identity)
{
    const struct passwd *entry = getpwnam(user);
    uint64_t number;

    if (entry == NULL &&
        value_number(user, 0, UINT32_MAX - 1, &number) == NULL) {
        entry = getpwuid((uid_t)number);
        if (entry == NULL && group_given) {
            identity->uid = (uid_t)number;
            return NULL;
        }
        if (entry == NULL) {
            return sentence("user %s has no entry, so 'group' is needed", user);
        }
    }
    if (entry == NULL) {
        return sentence("there is no user '%s'", user);
    }
    identity->uid = entry->pw_uid;
    identity->gid = entry->pw_gid;
    identity->name = entry->pw_name;
    return NULL;
}

static const char *become(const struct identity *identity)
{
    if ((identity->name != NULL ? initgroups(identity->name, identity->gid)
                                : setgroups(0, NULL)) < 0) {
        return sentence("cannot set the groups: %s", strerror(errno));
    }
    if (setresgid(identity->gid, identity->gid, identity->gid) < 0) {
        return sentence("cannot become group %u: %s", (unsigned)identity->gid,
                        strerror(errno));
    }
    if (setresuid(identity->uid, identity->uid, identity->uid) < 0) {
        return sentence("cannot become user %u: %s", (unsigned)identity->uid,
                        strerror(errno));
    }
    if (identity->uid != 0 && setuid(0) == 0) {
        return "root could be regained after dropping it";
    }
    return NULL;
}

const char *privileges_drop(const char *user, const char *group)
{
    struct identity identity = {0};
    const char *error;

    if (user == NULL) {
        return NULL;
    }
    error = find_user(user, group != NULL, &identity);
    if (error == NULL && group != NULL) {
        error = find_group(group, &identity.gid);
    }
    if (error != NULL) {
        return error;
    }
    /* A process that is this user already has nothing to drop, and may not
     * change its groups. */
    if (getuid() == identity.uid && geteuid() == identity.uid &&
        getgid() == identity.gid && getegid() == identity.gid) {
        return NULL;
    }
    return become(&identity);
}
