#include "control/privileges.h"

#include "base/value.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    snprintf(identity->name, sizeof(identity->name), "%s", entry->pw_name);
    return NULL;
}

const char *privileges_find(const struct config *config,
                            struct identity *identity, unsigned *line)
{
    const char *error = NULL;

    *identity = (struct identity){
        .changes = config->user != NULL || config->group != NULL,
        .uid = geteuid(),
        .gid = getegid(),
    };
    *line = config->user_line;
    if (config->user != NULL) {
        error = find_user(config->user, config->group != NULL, identity);
    }
    if (error == NULL && config->group != NULL) {
        *line = config->group_line;
        error = find_group(config->group, &identity->gid);
    }
    return error;
}

/* Whether real, effective and saved identity are that one already. */
static bool is_already(const struct identity *identity)
{
    uid_t real_uid, uid, saved_uid;
    gid_t real_gid, gid, saved_gid;

    return getresuid(&real_uid, &uid, &saved_uid) == 0 &&
           getresgid(&real_gid, &gid, &saved_gid) == 0 &&
           real_uid == identity->uid && uid == identity->uid &&
           saved_uid == identity->uid && real_gid == identity->gid &&
           gid == identity->gid && saved_gid == identity->gid;
}

/* Done while the process may. One that may not (a container without
 * CAP_SETPCAP) relies on no_new_privs alone. */
static void drop_bounding_set(void)
{
    for (unsigned long i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) {
        (void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
    }
}

/* The change of user clears them too, unless a secure bit says otherwise; but
 * never the inheritable ones. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct header = {
        .version = _LINUX_CAPABILITY_VERSION_3,
    };
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

    return (int)syscall(SYS_capset, &header, none);
}

/* As under a unit with User=, or without CAP_SETUID. */
static const char *hint(void)
{
    return errno == EPERM
               ? "; leave out 'user' and 'group' where a service manager sets "
                 "them"
               : "";
}

static const char *become(const struct identity *identity)
{
    if (identity->uid != 0) {
        drop_bounding_set();
    }
    if ((identity->name[0] != '\0' ? initgroups(identity->name, identity->gid)
                                   : setgroups(0, NULL)) < 0) {
        return sentence("cannot set the groups: %s%s", strerror(errno), hint());
    }
    if (setresgid(identity->gid, identity->gid, identity->gid) < 0) {
        return sentence("cannot become group %u: %s%s", (unsigned)identity->gid,
                        strerror(errno), hint());
    }
    if (setresuid(identity->uid, identity->uid, identity->uid) < 0) {
        return sentence("cannot become user %u: %s%s", (unsigned)identity->uid,
                        strerror(errno), hint());
    }
    if (identity->uid == 0) {
        return NULL;
    }
    if (drop_capabilities() < 0) {
        return sentence("cannot drop the capabilities: %s", strerror(errno));
    }
    return setuid(0) == 0 ? "root could be regained after dropping it" : NULL;
}

const char *privileges_drop(const struct identity *identity)
{
    bool may_be_dumped = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) > 0;
    const char *error;

    /* A process that is this user already has nothing to drop, and may not
     * change its groups. */
    if (!identity->changes || is_already(identity)) {
        return NULL;
    }
    error = become(identity);
    if (!may_be_dumped) {
        /* The change of user has set it to fs.suid_dumpable, which may allow
         * core dumps. */
        (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    }
    return error;
}

const char *privileges_freeze(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return sentence("cannot set no_new_privs: %s", strerror(errno));
    }
    return NULL;
}
