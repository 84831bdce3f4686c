#include "log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

int target_ends[2];

void target_stop(void)
{
    while (!log_stop()) {
    }
}

void target_forget_lost(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    log_set_level(LOG_INFO);
    log_open(fd, false);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "x");
    target_stop();
    log_open(STDERR_FILENO, false);
    close(fd);
}

int target_pipe(void **state)
{
    (void)state;
    target_forget_lost();
    return pipe2(target_ends, O_CLOEXEC);
}

int target_socket(void **state)
{
    int bytes = 65536;

    (void)state;
    target_forget_lost();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, target_ends) == -1) {
        return -1;
    }
    return setsockopt(target_ends[1], SOL_SOCKET, SO_SNDBUF, &bytes,
                      sizeof(bytes));
}

int target_close(void **state)
{
    (void)state;
    close(target_ends[0]);
    target_stop();
    close(target_ends[1]);
    return 0;
}

bool target_has_bytes(void)
{
    struct pollfd ready = {.fd = target_ends[0], .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

void target_fill(void)
{
    static const char bytes[LOG_LINE_MAX];
    int flags = fcntl(target_ends[1], F_GETFL);

    assert_int_not_equal(fcntl(target_ends[1], F_SETFL, flags | O_NONBLOCK),
                         -1);
    while (write(target_ends[1], bytes, sizeof(bytes)) > 0) {
    }
    while (write(target_ends[1], bytes, 1) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(target_ends[1], F_SETFL, flags), 0);
}

int target_file(void)
{
    char path[] = "/tmp/evproxy-test-log-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_int_not_equal(fd, -1);
    assert_int_equal(unlink(path), 0);
    return fd;
}

void target_check_file(int fd, const char *wanted)
{
    char text[LOG_LINE_MAX];
    ssize_t count = pread(fd, text, sizeof(text) - 1, 0);

    assert_in_range(count, 0, sizeof(text) - 1);
    text[count] = '\0';
    assert_string_equal(text, wanted);
}

rlim_t target_limit_files(rlim_t bytes)
{
    struct rlimit limit;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    return before;
}

static void *write_lines(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < TARGET_LINES; i++) {
        log_write(LOG_INFO, "%s %0*d", name, 100 + i % 100, i);
    }
    return NULL;
}

unsigned target_check_lines(FILE *stream, unsigned most)
{
    int last[TARGET_THREADS] = {-1, -1, -1, -1};
    char line[LOG_LINE_MAX + 1];
    unsigned count = 0;

    for (; count < most && fgets(line, sizeof(line), stream) != NULL; count++) {
        int thread = line[0] - 'a';
        int number = atoi(line + 2);

        assert_in_range(thread, 0, TARGET_THREADS - 1);
        assert_true(number > last[thread] && number < TARGET_LINES);
        last[thread] = number;
        assert_int_equal(strlen(line), 3 + 100 + number % 100);
    }
    return count;
}

void target_start_writers(pthread_t threads[TARGET_THREADS])
{
    static char names[TARGET_THREADS][2] = {"a", "b", "c", "d"};

    for (unsigned i = 0; i < TARGET_THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    }
}

void target_join_writers(const pthread_t threads[TARGET_THREADS])
{
    for (unsigned i = 0; i < TARGET_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}
