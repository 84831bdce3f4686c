/* Messages with descriptors between two ends, both of them here. */
#include "net/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct channel_message sent, got;

static int open_ends(void **state)
{
    static int ends[2];

    assert_int_equal(channel_open(ends), 0);
    memset(&sent, 0, sizeof(sent));
    *state = ends;
    return 0;
}

static int close_ends(void **state)
{
    int *ends = *state;

    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0) {
            close(ends[i]);
        }
    }
    return 0;
}

static void messages_keep_their_bounds(void **state)
{
    int *ends = *state;

    for (unsigned i = 1; i <= 3; i++) {
        sent.count = i * 20000;
        memset(sent.bytes, (int)i, sent.count);
        assert_int_equal(channel_send(ends[0], &sent), 0);
        assert_int_equal(channel_receive(ends[1], &got, 1000), 1);
        assert_int_equal(got.count, sent.count);
        assert_memory_equal(got.bytes, sent.bytes, sent.count);
        assert_int_equal(got.fd_count, 0);
    }
}

static void descriptors_arrive_and_close_on_exec(void **state)
{
    int *ends = *state;
    char byte = 0;
    int pipe_fds[2];

    assert_int_equal(pipe(pipe_fds), 0);
    sent.count = 1;
    sent.fd_count = CHANNEL_FDS_MAX;
    for (unsigned i = 0; i < CHANNEL_FDS_MAX; i++) {
        sent.fds[i] = pipe_fds[1];
    }
    assert_int_equal(channel_send(ends[0], &sent), 0);
    close(pipe_fds[1]);
    assert_int_equal(channel_receive(ends[1], &got, 1000), 1);
    assert_int_equal(got.fd_count, CHANNEL_FDS_MAX);
    assert_true(fcntl(got.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(got.fds[CHANNEL_FDS_MAX - 1], "x", 1), 1);
    channel_close_fds(&got);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 0); /* none is left open */
    close(pipe_fds[0]);
}

static void an_end_that_is_closed_is_told(void **state)
{
    int *ends = *state;

    close(ends[0]);
    ends[0] = -1;
    assert_int_equal(channel_receive(ends[1], &got, 1000), 0);
    sent.count = 1;
    assert_int_equal(channel_send(ends[1], &sent), -1);
    assert_int_equal(errno, EPIPE);
}

static void silence_times_out(void **state)
{
    int *ends = *state;

    assert_int_equal(channel_receive(ends[1], &got, 10), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(channel_receive(ends[1], &got, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void too_few_descriptors_leave_none_behind(void **state)
{
    int *ends = *state;
    struct rlimit before, tight;
    int first;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    first = dup(STDIN_FILENO);
    close(first);
    sent.count = 1;
    sent.fd_count = 8;
    memset(sent.fds, 0, sizeof(sent.fds));
    assert_int_equal(channel_send(ends[0], &sent), 0);
    tight = (struct rlimit){(rlim_t)first + 4, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    assert_int_equal(channel_receive(ends[1], &got, 1000), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(dup(STDIN_FILENO), first);
    close(first);
}

int main(void)
{
#define WITH_ENDS(test)                                                        \
    cmocka_unit_test_setup_teardown(test, open_ends, close_ends)
    const struct CMUnitTest tests[] = {
        WITH_ENDS(messages_keep_their_bounds),
        WITH_ENDS(descriptors_arrive_and_close_on_exec),
        WITH_ENDS(an_end_that_is_closed_is_told),
        WITH_ENDS(silence_times_out),
        WITH_ENDS(too_few_descriptors_leave_none_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
