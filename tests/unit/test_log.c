/* Lines of the log as they are written: whole, cut, and by many threads. */
#include "base/log.h"

#include "log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

/* What can be read now, as a string. */
static const char *taken(void)
{
    static char text[2 * LOG_LINE_MAX];
    ssize_t count =
        target_has_bytes() ? read(target_ends[0], text, sizeof(text) - 1) : 0;

    assert_in_range(count, 0, sizeof(text) - 1);
    text[count] = '\0';
    return text;
}

static volatile sig_atomic_t ticks;

/* Empties the pipe when signals have interrupted the writer a few times. */
static void tick(int number)
{
    static char bytes[LOG_LINE_MAX];

    (void)number;
    if (++ticks == 3 && read(target_ends[0], bytes, sizeof(bytes)) <= 0) {
        abort();
    }
}

static void stop_ticking(void)
{
    static const struct itimerval never;

    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    (void)signal(SIGALRM, SIG_DFL);
    alarm(TARGET_DEADLINE_S);
}

static void start_ticking(void)
{
    static const struct itimerval often = {{0, 2000}, {0, 2000}};
    struct sigaction action = {.sa_handler = tick}; /* no SA_RESTART */

    ticks = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

/* The writer has all signals blocked, so only here a line may see EINTR. Must
 * be the first test, since log_open cannot be undone. */
static void before_opening_a_line_is_tried_again_after_a_signal(void **state)
{
    int saved = dup(STDERR_FILENO);

    (void)state;
    assert_int_not_equal(dup2(target_ends[1], STDERR_FILENO), -1);
    target_fill();
    start_ticking();
    log_write(LOG_INFO, "patience");
    stop_ticking();
    assert_int_not_equal(dup2(saved, STDERR_FILENO), -1);
    close(saved);
    assert_true(ticks >= 3);
    assert_int_equal(log_lost(), 0);
}

static void a_line_is_written_whole_and_ended(void **state)
{
    (void)state;
    log_open(target_ends[1], false);
    log_write(LOG_INFO, "ready workers=%d name=%s", 2, "x");
    assert_string_equal(taken(), "ready workers=2 name=x\n");
    log_write(LOG_INFO, "%s", "");
    assert_string_equal(taken(), "\n");
}

static void priorities_stand_in_front_when_asked_for(void **state)
{
    (void)state;
    log_open(target_ends[1], true);
    log_set_level(LOG_DEBUG);
    log_write(LOG_RECORD, "r");
    log_write(LOG_ERROR, "e");
    log_write(LOG_WARN, "w");
    log_write(LOG_INFO, "i");
    log_write(LOG_DEBUG, "d");
    assert_string_equal(taken(), "<6>r\n<3>e\n<4>w\n<6>i\n<7>d\n");
}

static void records_and_what_the_level_lets_through_are_written(void **state)
{
    static const struct {
        enum log_level level;
        const char *written;
    } levels[] = {
        {LOG_ERROR, "r\ne\n"},
        {LOG_WARN, "r\ne\nw\n"},
        {LOG_INFO, "r\ne\nw\ni\n"},
        {LOG_DEBUG, "r\ne\nw\ni\nd\n"},
    };

    (void)state;
    log_open(target_ends[1], false);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        log_set_level(levels[i].level);
        log_write(LOG_RECORD, "r");
        log_write(LOG_ERROR, "e");
        log_write(LOG_WARN, "w");
        log_write(LOG_INFO, "i");
        log_write(LOG_DEBUG, "d");
        assert_string_equal(taken(), levels[i].written);
    }
}

static void control_bytes_cannot_forge_a_line(void **state)
{
    (void)state;
    log_open(target_ends[1], false);
    log_write(LOG_INFO,
              "a\nstats active=0\r\t\x1b[0m\x1f\x7f\xc3\xa4 ~\n\xc2\x85\xff");
    assert_string_equal(taken(), "a?stats active=0???[0m??\xc3\xa4 ~????\n");
}

/* Writes a line with a text of so many bytes. */
static const char *written_of(int bytes)
{
    log_write(LOG_INFO, "%0*d", bytes, 7);
    return taken();
}

static void a_long_line_is_cut_and_keeps_its_end(void **state)
{
    (void)state;
    for (int priorities = 0; priorities < 2; priorities++) {
        int room = LOG_LINE_MAX - 1 - 3 * priorities;
        const char *text;

        log_open(target_ends[1], priorities);
        assert_int_equal(strlen(written_of(room - 1)), LOG_LINE_MAX - 1);
        text = written_of(room);
        assert_int_equal(strlen(text), LOG_LINE_MAX);
        assert_string_equal(text + LOG_LINE_MAX - 2, "7\n");
        text = written_of(room + 1);
        assert_int_equal(strlen(text), LOG_LINE_MAX);
        assert_string_equal(text + LOG_LINE_MAX - 2, "0\n");
        assert_int_equal(strlen(written_of(100000)), LOG_LINE_MAX);
    }
}

static void a_reader_that_went_away_loses_lines(void **state)
{
    uint64_t before = log_lost();

    (void)state;
    log_open(target_ends[1], false);
    close(target_ends[0]);
    log_write(LOG_INFO, "x");
    target_ends[0] = -1;
    assert_int_equal(log_lost() - before, 1);
}

static void errno_is_left_alone(void **state)
{
    (void)state;
    close(target_ends[0]);
    target_ends[0] = -1;
    log_open(target_ends[1], false);
    errno = ERANGE;
    log_write(LOG_INFO, "lost");
    assert_int_equal(errno, ERANGE);
}

/* Another writer shares the file description: no line is overwritten. */
static void lines_go_where_others_of_the_description_left_off(void **state)
{
    int fd = target_file();

    (void)state;
    assert_int_equal(write(fd, "before\n", 7), 7);
    log_open(fd, false);
    log_write(LOG_INFO, "one");
    assert_int_equal(write(fd, "other\n", 6), 6);
    log_write(LOG_INFO, "two");
    target_check_file(fd, "before\none\nother\ntwo\n");
    close(fd);
}

static void a_line_after_a_torn_one_stands_alone(void **state)
{
    uint64_t before = log_lost();
    int fd = target_file();
    rlim_t unlimited;

    (void)state;
    log_open(fd, false);
    unlimited = target_limit_files(4);
    log_write(LOG_INFO, "torn here");
    log_write(LOG_INFO, "lost");
    (void)target_limit_files(unlimited);
    assert_int_equal(log_lost() - before, 2);
    log_write(LOG_INFO, "whole");
    log_write(LOG_INFO, "and the next");
    target_check_file(fd, "torn\nwhole\nand the next\n");
    assert_int_equal(log_lost() - before, 2);
    close(fd);
}

static void a_full_disk_loses_lines(void **state)
{
    uint64_t before = log_lost();
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_int_not_equal(fd, -1);
    log_open(fd, false);
    log_write(LOG_INFO, "x");
    assert_int_equal(log_lost() - before, 1);
    close(fd);
}

static void threads_do_not_mix_their_lines_in_a_file(void **state)
{
    pthread_t threads[TARGET_THREADS];
    uint64_t before = log_lost();
    int fd = target_file();
    FILE *stream = fdopen(fd, "r");

    (void)state;
    assert_non_null(stream);
    log_open(fd, false);
    target_start_writers(threads);
    target_join_writers(threads);
    rewind(stream);
    assert_int_equal(target_check_lines(stream, UINT_MAX),
                     TARGET_THREADS * TARGET_LINES);
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TARGET(target_pipe,
               before_opening_a_line_is_tried_again_after_a_signal),
        TARGET(target_pipe, a_line_is_written_whole_and_ended),
        TARGET(target_socket, a_line_is_written_whole_and_ended),
        TARGET(target_pipe, priorities_stand_in_front_when_asked_for),
        TARGET(target_pipe,
               records_and_what_the_level_lets_through_are_written),
        TARGET(target_pipe, control_bytes_cannot_forge_a_line),
        TARGET(target_pipe, a_long_line_is_cut_and_keeps_its_end),
        TARGET(target_socket, a_long_line_is_cut_and_keeps_its_end),
        TARGET(target_pipe, a_reader_that_went_away_loses_lines),
        TARGET(target_socket, a_reader_that_went_away_loses_lines),
        TARGET(target_pipe, errno_is_left_alone),
        cmocka_unit_test(lines_go_where_others_of_the_description_left_off),
        cmocka_unit_test(a_line_after_a_torn_one_stands_alone),
        cmocka_unit_test(a_full_disk_loses_lines),
        cmocka_unit_test(threads_do_not_mix_their_lines_in_a_file),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    alarm(TARGET_DEADLINE_S);
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
