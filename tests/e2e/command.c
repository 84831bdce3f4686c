#include "command.h"

#include "file.h"
#include "proxy.h"
#include "test.h"
#include "wait.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads what there is; false at the end of the stream. */
static bool gather(int fd, char *text, size_t size, size_t *count)
{
    ssize_t got = read(fd, text + *count, size - 1 - *count);

    if (got > 0) {
        *count += (size_t)got;
    }
    return got > 0;
}

/* Reads both streams to their ends. */
static void gather_both(struct command_result *result, int out, int err)
{
    struct pollfd looks[2] = {{.fd = out, .events = POLLIN},
                              {.fd = err, .events = POLLIN}};
    char *texts[2] = {result->out, result->err};
    size_t counts[2] = {0, 0};
    int64_t limit = wait_limit_ms();

    while (looks[0].fd >= 0 || looks[1].fd >= 0) {
        assert_true(poll(looks, 2, (int)(limit - wait_now_ms())) > 0);
        for (int i = 0; i < 2; i++) {
            if (looks[i].fd >= 0 && looks[i].revents != 0 &&
                !gather(looks[i].fd, texts[i], sizeof(result->out),
                        &counts[i])) {
                looks[i].fd = -1;
            }
        }
    }
    result->out[counts[0]] = '\0';
    result->err[counts[1]] = '\0';
}

void command_run_within(struct command_result *result, rlim_t descriptors,
                        const char *const *arguments)
{
    const struct rlimit limit = {descriptors, descriptors};
    int out[2], err[2];
    int status = 0;
    pid_t pid;

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        if (descriptors > 0) {
            setrlimit(RLIMIT_NOFILE, &limit);
        }
        execv(proxy_binary(), (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    assert_true(pid > 0);
    close(out[1]);
    close(err[1]);
    gather_both(result, out[0], err[0]);
    close(out[0]);
    close(err[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void command_run(struct command_result *result, const char *const *arguments)
{
    command_run_within(result, 0, arguments);
}

const char *command_check(struct command_result *result, const char *name,
                          const char *config)
{
    const char *path = file_write(name, config);
    const char *const arguments[] = {"evproxy", "-t", "-c", path, NULL};

    command_run(result, arguments);
    return path;
}

void command_expect_error(const char *service, const char *error)
{
    struct command_result result;
    char config[1024];

    snprintf(config, sizeof(config),
             "[service web]\nlisten = 127.0.0.1:81\n"
             "upstream = 127.0.0.1:80\n%s\n",
             service);
    command_check(&result, "wrong.ini", config);
    assert_int_equal(result.status, 1);
    if (strstr(result.err, error) == NULL) {
        fail_msg("'%s' expected, got: %s", error, result.err);
    }
}
