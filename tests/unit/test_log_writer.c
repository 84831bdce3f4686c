/* The thread that writes the log: no other thread waits for a pipe, a socket or
 * a file, and bursts of lines stay whole. */
#include "base/log.h"

#include "log_target.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- with the thread that writes ---- */

static FILE *stream_of(int fd)
{
    FILE *stream = fdopen(dup(fd), "r");

    assert_non_null(stream);
    return stream;
}

static void the_writer_keeps_each_thread_s_order(void **state)
{
    pthread_t threads[TARGET_THREADS];
    uint64_t before = log_lost();
    FILE *stream = stream_of(target_ends[0]);

    (void)state;
    log_open(target_ends[1], false);
    assert_int_equal(log_start(), 0);
    target_start_writers(threads);
    assert_int_equal(target_check_lines(stream, TARGET_THREADS * TARGET_LINES),
                     TARGET_THREADS * TARGET_LINES);
    target_join_writers(threads);
    target_stop();
    assert_false(target_has_bytes());
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

static void what_the_process_before_lost_is_counted_and_not_told(void **state)
{
    uint64_t before = log_lost();
    FILE *stream = stream_of(target_ends[0]);
    char line[64];

    (void)state;
    log_open(target_ends[1], false);
    log_go_on(7);
    assert_int_equal(log_lost(), before + 7);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "x");
    target_stop();
    assert_non_null(fgets(line, sizeof(line), stream));
    assert_string_equal(line, "x\n");
    assert_false(target_has_bytes());
    fclose(stream);
}

static void a_full_pipe_that_does_not_block_is_waited_for(void **state)
{
    uint64_t before = log_lost();
    int flags = fcntl(target_ends[1], F_GETFL);
    char bytes[LOG_LINE_MAX];
    ssize_t count;

    (void)state;
    log_open(target_ends[1], false);
    target_fill();
    assert_int_equal(fcntl(target_ends[1], F_SETFL, flags | O_NONBLOCK), 0);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "patience");
    usleep(10000);
    do {
        count = read(target_ends[0], bytes, sizeof(bytes));
        assert_in_range(count, 1, sizeof(bytes));
    } while (bytes[count - 1] != '\n');
    assert_int_equal(fcntl(target_ends[1], F_GETFL), flags | O_NONBLOCK);
    target_stop();
    assert_int_equal(log_lost(), before);
}

/* Until as many lines more have been lost. */
static unsigned write_until_lost(enum log_level level, uint64_t lines)
{
    uint64_t before = log_lost();
    unsigned written = 0;

    while (log_lost() - before < lines) {
        log_write(level, "line %d", 7);
        written++;
    }
    return written;
}

/* Reads lines until one of them is that one; answers how many came before it.
 * Lines of other forms are not counted. */
static unsigned count_until(FILE *stream, const char *last, const char *counted)
{
    char line[LOG_LINE_MAX + 1];
    unsigned count = 0;

    for (;;) {
        assert_non_null(fgets(line, sizeof(line), stream));
        if (strcmp(line, last) == 0) {
            return count;
        }
        count += strncmp(line, counted, strlen(counted)) == 0;
    }
}

static void a_full_pipe_or_socket_holds_up_no_thread(void **state)
{
    uint64_t before = log_lost();
    FILE *stream = stream_of(target_ends[0]);
    unsigned written;

    (void)state;
    log_open(target_ends[1], false);
    assert_int_equal(log_start(), 0);
    written = write_until_lost(LOG_ERROR, 1000);
    assert_int_equal(count_until(stream, "log lost=1000\n", "line 7\n"),
                     written - 1000);
    log_write(LOG_INFO, "found");
    assert_int_equal(count_until(stream, "found\n", ""), 0);
    target_stop();
    assert_int_equal(log_lost() - before, 1000);
    fclose(stream);
}

/* ---- a file that may stand still ---- */

static int file = -1;
static FILE *file_lines; /* another offset of the same file */
static _Atomic bool frozen;

static _Atomic unsigned writes_of_test; /* to the file */
static _Thread_local bool is_test;

/* Stands in for the C library's, or a sanitizer's. */
ssize_t write(int fd, const void *bytes, size_t count)
{
    static ssize_t (*_Atomic real)(int, const void *, size_t);

    if (real == NULL) {
        real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    }
    if (fd == file && is_test) {
        writes_of_test++;
    }
    while (fd == file && frozen) {
        usleep(1000);
    }
    return real(fd, bytes, count);
}

static int setup_file(void **state)
{
    char path[64];

    (void)state;
    target_forget_lost();
    file = target_file();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    file_lines = fopen(path, "re");
    log_open(file, false);
    return file_lines != NULL ? 0 : -1;
}

static int teardown_file(void **state)
{
    (void)state;
    frozen = false;
    target_stop();
    fclose(file_lines);
    close(file);
    file = -1;
    return 0;
}

static void start_frozen(void)
{
    frozen = true;
    assert_int_equal(log_start(), 0);
}

static void thaw_and_stop(void)
{
    frozen = false;
    target_stop();
}

static void no_thread_but_the_writer_writes(void **state)
{
    struct log_burst burst = {0};

    (void)state;
    is_test = true;
    assert_int_equal(log_start(), 0);
    for (int i = 0; i < 1000; i++) {
        log_write(LOG_INFO, "line %d", i);
        log_burst_add(&burst, "burst %d", i);
    }
    log_burst_end(&burst);
    target_stop();
    is_test = false;
    assert_int_equal(writes_of_test, 0);
}

static void a_file_that_stands_still_holds_up_no_thread(void **state)
{
    uint64_t before = log_lost();
    unsigned written;

    (void)state;
    start_frozen();
    written = write_until_lost(LOG_INFO, 1000);
    thaw_and_stop();
    assert_int_equal(count_until(file_lines, "log lost=1000\n", "line 7\n"),
                     written - 1000);
    assert_int_equal(log_lost() - before, 1000);
}

static void connections_leave_room_to_other_lines(void **state)
{
    uint64_t lost;

    (void)state;
    start_frozen();
    (void)write_until_lost(LOG_RECORD, 10);
    lost = log_lost();
    for (unsigned i = 0; i < 1000; i++) {
        log_write(LOG_INFO, "kept %u", i);
    }
    assert_int_equal(log_lost(), lost);
    thaw_and_stop();
    assert_int_equal(count_until(file_lines, "log lost=10\n", "kept "), 1000);
}

/* Adds lines of 1,000 bytes. */
static void add_lines(struct log_burst *burst, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        log_burst_add(burst, "burst %0*u", 993, i);
    }
}

/* Checks that these lines come next, from the first on. */
static void expect_burst(FILE *stream, unsigned count)
{
    char line[LOG_LINE_MAX + 1];

    for (unsigned i = 0; i < count; i++) {
        assert_non_null(fgets(line, sizeof(line), stream));
        assert_int_equal(strlen(line), 1000);
        assert_memory_equal(line, "burst ", 6);
        assert_int_equal(strtoul(line + 6, NULL, 10), i);
    }
}

static void a_burst_is_whole_though_the_queue_is_full(void **state)
{
    struct log_burst burst = {0};
    uint64_t lost;

    (void)state;
    start_frozen();
    log_write(LOG_INFO, "first");
    (void)write_until_lost(LOG_INFO, 1);
    lost = log_lost();
    add_lines(&burst, 10000);
    log_burst_end(&burst);
    assert_null(burst.bytes);
    assert_int_equal(log_lost(), lost);
    thaw_and_stop();
    assert_int_equal(count_until(file_lines, "first\n", ""), 0);
    while (fgetc(file_lines) == 'l') { /* line 7 */
        assert_non_null(fgets((char[16]){0}, 16, file_lines));
    }
    assert_int_equal(fseek(file_lines, -1, SEEK_CUR), 0);
    expect_burst(file_lines, 10000);
}

static void a_burst_goes_on_while_it_is_read(void **state)
{
    struct log_burst burst = {0};
    uint64_t before = log_lost();
    FILE *stream = stream_of(target_ends[0]);

    (void)state;
    log_open(target_ends[1], false);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "before");
    add_lines(&burst, 10000);
    log_burst_end(&burst);
    log_write(LOG_INFO, "after");
    assert_int_equal(count_until(stream, "before\n", ""), 0);
    expect_burst(stream, 10000);
    assert_int_equal(count_until(stream, "after\n", ""), 0);
    target_stop();
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

static void bursts_are_bounded_together(void **state)
{
    struct log_burst first = {0}, second = {0};
    uint64_t before = log_lost();
    uint64_t lost;

    (void)state;
    start_frozen();
    add_lines(&first, 40000);
    lost = log_lost() - before;
    assert_in_range(lost, 40000 - (32 << 20) / 1000, 40000 - 30000);
    log_burst_end(&first);
    add_lines(&second, 100);
    assert_int_equal(log_lost() - before, lost + 100);
    log_burst_end(&second);
    thaw_and_stop();
    expect_burst(file_lines, 40000 - (unsigned)lost);
    assert_int_equal(log_start(), 0);
    add_lines(&second, 100);
    log_burst_end(&second);
    target_stop();
    assert_int_equal(log_lost() - before, lost + 100);
}

static void a_burst_before_the_writer_is_written(void **state)
{
    struct log_burst burst = {0};

    (void)state;
    log_burst_end(&burst);
    add_lines(&burst, 100);
    log_burst_end(&burst);
    expect_burst(file_lines, 100);
    assert_int_equal(fgetc(file_lines), EOF);
}

static void a_limit_of_the_file_loses_lines_and_kills_nobody(void **state)
{
    uint64_t before = log_lost();
    rlim_t unlimited = target_limit_files(4);

    (void)state;
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "torn here");
    target_stop();
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "lost");
    target_stop();
    (void)target_limit_files(unlimited);
    assert_int_equal(log_lost() - before, 2);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "whole");
    target_stop();
    (void)signal(SIGXFSZ, SIG_IGN);
    target_check_file(file, "torn\nwhole\nlog lost=2\n");
}

static void stopping_writes_what_is_queued(void **state)
{
    (void)state;
    assert_int_equal(log_start(), 0);
    for (unsigned i = 0; i < 5000; i++) {
        log_write(LOG_INFO, "line %u", i);
    }
    log_write(LOG_INFO, "stopped");
    target_stop();
    assert_int_equal(count_until(file_lines, "stopped\n", "line "), 5000);
}

static void stopping_does_not_wait_for_ever(void **state)
{
    (void)state;
    start_frozen();
    log_write(LOG_INFO, "stopped");
    assert_false(log_stop());
    thaw_and_stop();
    assert_int_equal(count_until(file_lines, "stopped\n", ""), 0);
}

#define FILED(test)                                                            \
    cmocka_unit_test_setup_teardown(test, setup_file, teardown_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TARGET(target_pipe, the_writer_keeps_each_thread_s_order),
        TARGET(target_socket, the_writer_keeps_each_thread_s_order),
        TARGET(target_pipe,
               what_the_process_before_lost_is_counted_and_not_told),
        TARGET(target_pipe, a_full_pipe_that_does_not_block_is_waited_for),
        TARGET(target_socket, a_full_pipe_that_does_not_block_is_waited_for),
        TARGET(target_pipe, a_full_pipe_or_socket_holds_up_no_thread),
        TARGET(target_socket, a_full_pipe_or_socket_holds_up_no_thread),
        FILED(no_thread_but_the_writer_writes),
        FILED(a_file_that_stands_still_holds_up_no_thread),
        FILED(connections_leave_room_to_other_lines),
        FILED(a_burst_is_whole_though_the_queue_is_full),
        TARGET(target_pipe, a_burst_goes_on_while_it_is_read),
        FILED(bursts_are_bounded_together),
        FILED(a_burst_before_the_writer_is_written),
        FILED(a_limit_of_the_file_loses_lines_and_kills_nobody),
        FILED(stopping_writes_what_is_queued),
        FILED(stopping_does_not_wait_for_ever),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    alarm(TARGET_DEADLINE_S);
    return cmocka_run_group_tests_name("log_writer", tests, NULL, NULL);
}
