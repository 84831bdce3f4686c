/* Signals, from the first instruction on. */
#include "control/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs it in a process of its own; answers its wait status, even if it is only
 * stopped. */
static int run(void (*body)(void))
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        /* Whatever this program was started with. */
        signal(SIGPIPE, SIG_DFL);
        signal(SIGXFSZ, SIG_DFL);
        signal(SIGTTOU, SIG_DFL);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGKILL);
    return status;
}

static void raise_while_held(void)
{
    int fd;

    signals_hold();
    raise(SIGHUP);
    raise(SIGTERM);
    fd = signals_open();
    if (fd < 0 || signals_next(fd) != SIGHUP || signals_next(fd) != SIGTERM ||
        signals_next(fd) != 0) {
        _exit(1);
    }
}

static void a_signal_before_the_descriptor_is_taken_from_it(void **state)
{
    (void)state;
    assert_int_equal(run(raise_while_held), 0);
}

static void raise_and_release(void)
{
    signals_hold();
    raise(SIGINT);
    signals_release();
}

static void a_released_signal_ends_the_process(void **state)
{
    int status = run(raise_and_release);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static void fill_a_file(void)
{
    const struct rlimit limit = {1, 1};
    char path[] = "/tmp/test_signals.XXXXXX";
    int fd = mkstemp(path);

    unlink(path);
    signals_hold();
    if (fd < 0 || setrlimit(RLIMIT_FSIZE, &limit) < 0 ||
        write(fd, "ab", 2) != 1 || write(fd, "b", 1) != -1 || errno != EFBIG) {
        _exit(1);
    }
}

static void write_to_nobody(void)
{
    int ends[2];

    signals_hold();
    if (pipe(ends) < 0 || close(ends[0]) < 0 || write(ends[1], "a", 1) != -1 ||
        errno != EPIPE) {
        _exit(1);
    }
}

/* A terminal that stops the jobs that write to it in the background; -1: none.
 * The process leads its session. */
static int open_terminal(void)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY), fd;
    struct termios mode;

    setsid();
    if (grantpt(master) < 0 || unlockpt(master) < 0) {
        return -1;
    }
    fd = open(ptsname(master), O_RDWR);
    if (fd < 0 || tcgetattr(fd, &mode) < 0) {
        return -1;
    }
    mode.c_lflag |= TOSTOP;
    return tcsetattr(fd, TCSANOW, &mode) < 0 ? -1 : fd;
}

static void write_to_the_terminal_of_another_job(void)
{
    int fd = open_terminal();
    pid_t other = fork();

    if (other == 0) {
        alarm(60);
        pause();
    }
    signals_hold();
    if (fd < 0 || setpgid(other, other) < 0 || tcsetpgrp(fd, other) < 0 ||
        write(fd, "a", 1) != 1) {
        kill(other, SIGKILL);
        _exit(1);
    }
    kill(other, SIGKILL);
}

static void a_log_that_takes_no_line_ends_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(fill_a_file), 0);
    assert_int_equal(run(write_to_nobody), 0);
    assert_int_equal(run(write_to_the_terminal_of_another_job), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_before_the_descriptor_is_taken_from_it),
        cmocka_unit_test(a_released_signal_ends_the_process),
        cmocka_unit_test(a_log_that_takes_no_line_ends_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
