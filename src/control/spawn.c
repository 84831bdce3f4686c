#include "control/spawn.h"

#include "control/signals.h"
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char path[PATH_MAX];

/* The name that was given, if it is absolute: it may be a link that leads to
 * another version later. Else what the kernel knows. */
void spawn_remember_path(void)
{
    const char *given = (const char *)(uintptr_t)getauxval(AT_EXECFN);
    ssize_t count;

    if (given != NULL && given[0] == '/' && strlen(given) < sizeof(path) &&
        strncmp(given, "/dev/", 5) != 0 && strncmp(given, "/proc/", 6) != 0) {
        strcpy(path, given);
        return;
    }
    count = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[count > 0 ? count : 0] = '\0';
}

const char *spawn_path(void)
{
    return path;
}

/* Our environment with the variables before it; to be freed. */
static char **make_environment(const struct spawn *spawn, char *channel)
{
    size_t count = 0, used = 0;
    char **all;

    while (environ[count] != NULL) {
        count++;
    }
    all = calloc(count + ARRAY_LEN(spawn->variables) + 2, sizeof(*all));
    if (all == NULL) {
        return NULL;
    }
    all[used++] = channel;
    for (size_t i = 0; i < ARRAY_LEN(spawn->variables); i++) {
        const char *variable = spawn->variables[i];

        if (variable[0] != '\0') {
            all[used++] = (char *)(uintptr_t)variable;
        }
    }
    memcpy(all + used, environ, count * sizeof(*all));
    return all;
}

/* What the child gets, and how it fails. */
struct gift {
    int channel;
    int log;   /* our standard error */
    int words; /* its own */
    char **arguments;
    char **environment;
    int error; /* 0: it has another program */
};

/* In the child, which shares our memory until it has another program: system
 * calls only. */
static int become(void *arg)
{
    struct gift *gift = arg;

    if (dup2(gift->words, STDERR_FILENO) >= 0 &&
        fcntl(gift->channel, F_SETFD, 0) == 0 &&
        fcntl(gift->log, F_SETFD, 0) == 0) {
        execve(path, gift->arguments, gift->environment);
    }
    gift->error = errno;
    _exit(127);
}

/* As posix_spawn does, without a copy of our memory, which a million
 * connections make large. A service manager that is not the parent of its main
 * process does not learn how that ends: so ours is the child's parent too.
 * Returns an error number, or 0. */
static int start(const struct spawn *spawn, struct gift *gift,
                 struct spawned *spawned)
{
    static _Alignas(16) unsigned char stack[65536];
    int flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD;
    char variable[64];

    snprintf(variable, sizeof(variable), "%s=%d,%d", spawn->channel_variable,
             gift->channel, gift->log);
    gift->arguments = spawn->arguments;
    gift->environment = make_environment(spawn, variable);
    if (gift->environment == NULL) {
        return ENOMEM;
    }
    if (spawn->sibling && getpid() != 1) {
        flags |= CLONE_PARENT;
    }
    spawned->pid =
        clone(become, stack + sizeof(stack), flags, gift, &spawned->pid_fd);
    if (spawned->pid < 0) {
        gift->error = errno;
        spawned->pid = 0;
    }
    free(gift->environment);
    return gift->error;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static int open_gift(struct gift *gift, struct spawned *spawned)
{
    int ends[2];

    gift->log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (gift->log < 0 || channel_open(ends) < 0) {
        return -1;
    }
    spawned->channel = ends[0];
    gift->channel = ends[1];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -1;
    }
    spawned->words_fd = ends[0];
    gift->words = ends[1];
    return fcntl(spawned->words_fd, F_SETFL, O_NONBLOCK);
}

int spawn(const struct spawn *spawn, struct spawned *spawned)
{
    struct gift gift = {.channel = -1, .log = -1, .words = -1};
    int error;

    *spawned = (struct spawned){0, -1, -1, -1};
    error =
        open_gift(&gift, spawned) < 0 ? errno : start(spawn, &gift, spawned);
    close_fd(&gift.channel);
    close_fd(&gift.log);
    close_fd(&gift.words);
    if (error != 0) {
        spawn_kill(spawned);
        close_fd(&spawned->pid_fd);
        close_fd(&spawned->channel);
        close_fd(&spawned->words_fd);
        errno = error;
    }
    return error == 0 ? 0 : -1;
}

void spawn_kill(struct spawned *spawned)
{
    char reason[SPAWN_REASON_MAX];
    struct pollfd end = {.fd = spawned->pid_fd, .events = POLLIN};

    if (spawned->pid != 0) {
        (void)syscall(SYS_pidfd_send_signal, spawned->pid_fd, SIGKILL, NULL, 0);
        while (poll(&end, 1, -1) < 0 && errno == EINTR) {
        }
        spawn_reap(spawned, reason);
    }
}

/* If it was no child of ours, its parent knows more. */
void spawn_reap(struct spawned *spawned, char reason[SPAWN_REASON_MAX])
{
    int status = 0;

    if (waitpid(spawned->pid, &status, 0) < 0) {
        snprintf(reason, SPAWN_REASON_MAX, "it has ended");
    } else if (WIFSIGNALED(status)) {
        snprintf(reason, SPAWN_REASON_MAX, "it was ended by %s",
                 signals_name(WTERMSIG(status)));
    } else {
        snprintf(reason, SPAWN_REASON_MAX, "it ended with status %d",
                 WEXITSTATUS(status));
    }
    spawned->pid = 0;
}
