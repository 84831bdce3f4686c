#include "control/signals.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int handled[] = {SIGHUP, SIGUSR1, SIGUSR2, SIGTERM, SIGINT};

/* Each of these ends or stops a process by default. */
static const int ignored[] = {
    SIGPIPE, /* the reader of a log is gone: write reports EPIPE too */
    SIGXFSZ, /* a log is as long as RLIMIT_FSIZE allows: EFBIG */
    SIGTTOU, /* a log on a terminal that another job has; the line is written */
};

static sigset_t handled_set(void)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(handled); i++) {
        sigaddset(&set, handled[i]);
    }
    return set;
}

void signals_hold(void)
{
    sigset_t set = handled_set();

    for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
        signal(ignored[i], SIG_IGN);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void signals_release(void)
{
    sigset_t set = handled_set();

    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int signals_open(void)
{
    sigset_t set = handled_set();

    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int signals_next(int fd)
{
    struct signalfd_siginfo info;

    if (read(fd, &info, sizeof(info)) != sizeof(info)) {
        return 0;
    }
    return (int)info.ssi_signo;
}

const char *signals_name(int signal)
{
    /* Only glibc has sigabbrev_np. */
    static const char *const names[] = {
        [SIGHUP] = "SIGHUP",   [SIGINT] = "SIGINT",   [SIGQUIT] = "SIGQUIT",
        [SIGILL] = "SIGILL",   [SIGTRAP] = "SIGTRAP", [SIGABRT] = "SIGABRT",
        [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",   [SIGKILL] = "SIGKILL",
        [SIGUSR1] = "SIGUSR1", [SIGSEGV] = "SIGSEGV", [SIGUSR2] = "SIGUSR2",
        [SIGPIPE] = "SIGPIPE", [SIGALRM] = "SIGALRM", [SIGTERM] = "SIGTERM",
        [SIGXCPU] = "SIGXCPU", [SIGSYS] = "SIGSYS",
    };
    bool known = signal > 0 && (size_t)signal < ARRAY_LEN(names) &&
                 names[signal] != NULL;

    return known ? names[signal] : "a signal";
}
