#include "control/systemd.h"

#include "base/utf8.h"
#include "base/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEMD_MESSAGE_MAX 512
#define STATUS_MAX          256

static bool manager_parse(const char *path, struct endpoint *manager)
{
    struct sockaddr_un *un = &manager->u.un;
    size_t length = path == NULL ? 0 : strlen(path);

    memset(manager, 0, sizeof(*manager));
    if (length < 2 || length >= sizeof(un->sun_path) ||
        (path[0] != '/' && path[0] != '@')) {
        return false;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length);
    if (path[0] == '@') {
        un->sun_path[0] = '\0';
    }
    manager->length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

static uint64_t watchdog_parse(const char *period_us, const char *pid)
{
    uint64_t us, number;

    if (period_us == NULL ||
        value_number(period_us, 1, UINT64_MAX / 1000, &us) != NULL) {
        return 0;
    }
    if (pid != NULL && (value_number(pid, 1, INT32_MAX, &number) != NULL ||
                        number != (uint64_t)getpid())) {
        return 0;
    }
    return us * 1000;
}

/* Without WATCHDOG_PID, which names this process. */
static void keep_variables(struct systemd *systemd)
{
    systemd->notify_variable[0] = systemd->watchdog_variable[0] = '\0';
    if (systemd->fd >= 0) {
        snprintf(systemd->notify_variable, SYSTEMD_VARIABLE_MAX,
                 "NOTIFY_SOCKET=%s", getenv("NOTIFY_SOCKET"));
    }
    if (systemd->watchdog_ns > 0) {
        snprintf(systemd->watchdog_variable, SYSTEMD_VARIABLE_MAX,
                 "WATCHDOG_USEC=%llu",
                 (unsigned long long)(systemd->watchdog_ns / 1000));
    }
}

void systemd_open(struct systemd *systemd)
{
    systemd->fd = -1;
    if (manager_parse(getenv("NOTIFY_SOCKET"), &systemd->manager)) {
        systemd->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
    systemd->watchdog_ns =
        watchdog_parse(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    if (systemd->fd < 0) {
        systemd->watchdog_ns = 0;
    }
    keep_variables(systemd);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void systemd_close(struct systemd *systemd)
{
    if (systemd->fd >= 0) {
        close(systemd->fd);
        systemd->fd = -1;
    }
}

static PRINTF(2, 3) void notify(const struct systemd *systemd,
                                const char *format, ...)
{
    char message[SYSTEMD_MESSAGE_MAX];
    va_list args;

    if (systemd->fd < 0) {
        return;
    }
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    /* An error is ignored: evproxy does not depend on the manager. */
    (void)!sendto(systemd->fd, message, strlen(message),
                  MSG_DONTWAIT | MSG_NOSIGNAL, &systemd->manager.u.any,
                  systemd->manager.length);
}

/* A newline would begin another assignment, and the manager takes UTF-8 only,
 * of which the cut may have left a part. */
static void clean(char line[STATUS_MAX], const char *status, const char *reason)
{
    snprintf(line, STATUS_MAX, "%s%s%s", status, reason == NULL ? "" : ": ",
             reason == NULL ? "" : reason);
    utf8_clean(line, strlen(line));
}

void systemd_ready(const struct systemd *systemd, const char *status)
{
    char line[STATUS_MAX];

    clean(line, status, NULL);
    notify(systemd, "READY=1\nSTATUS=%s\n", line);
}

void systemd_status(const struct systemd *systemd, const char *status,
                    const char *reason)
{
    char line[STATUS_MAX];

    clean(line, status, reason);
    notify(systemd, "STATUS=%s\n", line);
}

void systemd_reloading(const struct systemd *systemd, uint64_t now_ns)
{
    notify(systemd, "RELOADING=1\nMONOTONIC_USEC=%llu\n",
           (unsigned long long)(now_ns / 1000));
}

void systemd_stopping(const struct systemd *systemd)
{
    notify(systemd, "STOPPING=1\nSTATUS=stopping\n");
}

void systemd_extend(const struct systemd *systemd, uint64_t extend_ns,
                    uint32_t connections)
{
    notify(systemd,
           "EXTEND_TIMEOUT_USEC=%llu\nSTATUS=stopping, connections: %lu\n",
           (unsigned long long)(extend_ns / 1000), (unsigned long)connections);
}

void systemd_watchdog(const struct systemd *systemd)
{
    notify(systemd, "WATCHDOG=1\n");
}

void systemd_main_process(const struct systemd *systemd, pid_t pid)
{
    notify(systemd, "MAINPID=%ld\n", (long)pid);
}

bool systemd_journal_is(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    char rest;

    return stream != NULL &&
           sscanf(stream, "%llu:%llu%c", &device, &inode, &rest) == 2 &&
           fstat(fd, &status) == 0 && status.st_dev == device &&
           status.st_ino == inode;
}
