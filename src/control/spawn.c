#include "control/spawn.h"

#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
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

/* What the child gets. */
struct gift {
    int channel;
    int log;   /* our standard error */
    int words; /* its own */
};

/* A descriptor that is duplicated to its own number loses FD_CLOEXEC. Returns
 * an error number, or 0. */
static int set_actions(posix_spawn_file_actions_t *actions,
                       const struct gift *gift)
{
    int error =
        posix_spawn_file_actions_adddup2(actions, gift->words, STDERR_FILENO);

    if (error == 0) {
        error = posix_spawn_file_actions_adddup2(actions, gift->channel,
                                                 gift->channel);
    }
    return error != 0 ? error
                      : posix_spawn_file_actions_adddup2(actions, gift->log,
                                                         gift->log);
}

/* Without a copy of our memory, which a million connections make large: the
 * child shares it until it has another program. Returns an error number, or 0.
 */
static int start(const struct spawn *spawn, const struct gift *gift, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    char variable[64];
    char **environment;
    int error;

    snprintf(variable, sizeof(variable), "%s=%d,%d", spawn->channel_variable,
             gift->channel, gift->log);
    environment = make_environment(spawn, variable);
    if (environment == NULL) {
        return ENOMEM;
    }
    error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        error = set_actions(&actions, gift);
        if (error == 0) {
            error = posix_spawn(pid, path, &actions, NULL, spawn->arguments,
                                environment);
        }
        posix_spawn_file_actions_destroy(&actions);
    }
    free(environment);
    return error;
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
    struct gift gift = {-1, -1, -1};
    int error;

    *spawned = (struct spawned){0, -1, -1, -1};
    if (open_gift(&gift, spawned) < 0) {
        error = errno;
    } else {
        error = start(spawn, &gift, &spawned->pid);
    }
    close_fd(&gift.channel);
    close_fd(&gift.log);
    close_fd(&gift.words);
    if (error == 0) {
        spawned->pid_fd = (int)syscall(SYS_pidfd_open, spawned->pid, 0);
        error = spawned->pid_fd < 0 ? errno : 0;
    } else {
        spawned->pid = 0;
    }
    if (error != 0) {
        spawn_kill(spawned);
        close_fd(&spawned->channel);
        close_fd(&spawned->words_fd);
        errno = error;
    }
    return error == 0 ? 0 : -1;
}

void spawn_kill(struct spawned *spawned)
{
    if (spawned->pid != 0) {
        kill(spawned->pid, SIGKILL);
        (void)waitpid(spawned->pid, NULL, 0);
        spawned->pid = 0;
    }
}

void spawn_reap(struct spawned *spawned, char reason[SPAWN_REASON_MAX])
{
    int status = 0;

    (void)waitpid(spawned->pid, &status, 0);
    spawned->pid = 0;
    if (WIFSIGNALED(status)) {
        snprintf(reason, SPAWN_REASON_MAX, "it was ended by SIG%s",
                 sigabbrev_np(WTERMSIG(status)));
    } else {
        snprintf(reason, SPAWN_REASON_MAX, "it ended with status %d",
                 WEXITSTATUS(status));
    }
}
