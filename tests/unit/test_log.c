#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_S 20 /* then SIGALRM ends a write that blocks */

#define THREADS 4
#define LINES   500 /* of each thread */

static int ends[2]; /* of the test's pipe or socket pair: read, write */

static int setup_pipe(void **state)
{
    (void)state;
    log_set_level(LOG_INFO);
    return pipe2(ends, O_CLOEXEC);
}

static int setup_socket(void **state)
{
    int bytes = 65536;

    (void)state;
    log_set_level(LOG_INFO);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        return -1;
    }
    return setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int teardown_ends(void **state)
{
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static bool has_bytes(void)
{
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

/* What can be read now, as a string. */
static const char *taken(void)
{
    static char text[2 * LOG_LINE_MAX];
    ssize_t count = has_bytes() ? read(ends[0], text, sizeof(text) - 1) : 0;

    assert_in_range(count, 0, sizeof(text) - 1);
    text[count] = '\0';
    return text;
}

/* Writes bytes until the pipe or socket is full. */
static void fill(void)
{
    static const char bytes[LOG_LINE_MAX];
    int flags = fcntl(ends[1], F_GETFL);

    assert_int_not_equal(fcntl(ends[1], F_SETFL, flags | O_NONBLOCK), -1);
    while (write(ends[1], bytes, sizeof(bytes)) > 0) {
    }
    while (write(ends[1], bytes, 1) > 0) {
    }
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(fcntl(ends[1], F_SETFL, flags), 0);
}

static volatile sig_atomic_t ticks;

/* Empties the pipe when signals have interrupted the writer a few times. */
static void tick(int number)
{
    static char bytes[LOG_LINE_MAX];

    (void)number;
    if (++ticks == 3 && read(ends[0], bytes, sizeof(bytes)) <= 0) {
        abort();
    }
}

static void stop_ticking(void)
{
    static const struct itimerval never;

    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    (void)signal(SIGALRM, SIG_DFL);
    alarm(DEADLINE_S);
}

static void start_ticking(void)
{
    static const struct itimerval often = {{0, 2000}, {0, 2000}};
    struct sigaction action = {.sa_handler = tick}; /* no SA_RESTART */

    ticks = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

/* Only here may a line block and so see EINTR. Must be the first test, since
 * log_open cannot be undone. */
static void before_opening_a_line_is_tried_again_after_a_signal(void **state)
{
    int saved = dup(STDERR_FILENO);

    (void)state;
    assert_int_not_equal(dup2(ends[1], STDERR_FILENO), -1);
    fill();
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
    log_open(ends[1], false);
    log_write(LOG_INFO, "ready workers=%d name=%s", 2, "x");
    assert_string_equal(taken(), "ready workers=2 name=x\n");
    log_write(LOG_INFO, "%s", "");
    assert_string_equal(taken(), "\n");
}

static void priorities_stand_in_front_when_asked_for(void **state)
{
    (void)state;
    log_open(ends[1], true);
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
    log_open(ends[1], false);
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
    log_open(ends[1], false);
    log_write(LOG_INFO, "a\nstats active=0\r\t\x1b[0m\x1f\x7f\xc3\xa4 ~\n");
    assert_string_equal(taken(), "a?stats active=0???[0m??\xc3\xa4 ~?\n");
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

        log_open(ends[1], priorities);
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

static void a_full_pipe_or_socket_loses_lines_and_waits_for_none(void **state)
{
    uint64_t before = log_lost();

    (void)state;
    log_open(ends[1], false);
    fill();
    for (unsigned i = 0; i < 1000; i++) {
        log_write(LOG_ERROR, "lost");
    }
    assert_int_equal(log_lost() - before, 1000);
}

static void lines_go_on_when_a_full_pipe_or_socket_is_read(void **state)
{
    uint64_t before = log_lost();

    (void)state;
    log_open(ends[1], false);
    fill();
    log_write(LOG_INFO, "lost");
    while (has_bytes()) {
        (void)taken();
    }
    log_write(LOG_INFO, "found");
    assert_string_equal(taken(), "found\n");
    assert_int_equal(log_lost() - before, 1);
}

static void the_flags_of_what_was_inherited_stay(void **state)
{
    int flags = fcntl(ends[1], F_GETFL);

    (void)state;
    log_open(ends[1], false);
    log_write(LOG_INFO, "x");
    assert_int_equal(fcntl(ends[1], F_GETFL), flags);
    assert_int_equal(flags & O_NONBLOCK, 0);
}

static void a_reader_that_went_away_loses_lines(void **state)
{
    uint64_t before = log_lost();

    (void)state;
    log_open(ends[1], false);
    close(ends[0]);
    log_write(LOG_INFO, "x");
    ends[0] = -1;
    assert_int_equal(log_lost() - before, 1);
}

/* A pipe without a reader cannot be reopened. */
static void what_cannot_be_opened_anew_is_asked_first(void **state)
{
    uint64_t before = log_lost();

    (void)state;
    close(ends[0]);
    ends[0] = -1;
    log_open(ends[1], false);
    log_write(LOG_INFO, "x");
    assert_int_equal(log_lost() - before, 1);
}

/* An event counter cannot be reopened either, and a full one blocks. */
static void what_cannot_be_opened_anew_is_not_waited_for(void **state)
{
    uint64_t most = UINT64_MAX - 1;
    uint64_t before = log_lost();
    int fd = eventfd(0, EFD_CLOEXEC);

    (void)state;
    assert_int_not_equal(fd, -1);
    assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
    log_open(fd, false);
    log_write(LOG_INFO, "8 bytes");
    assert_int_equal(log_lost() - before, 1);
    log_open(ends[1], false);
    close(fd);
}

static void errno_is_left_alone(void **state)
{
    (void)state;
    log_open(ends[1], false);
    fill();
    errno = ERANGE;
    log_write(LOG_INFO, "lost");
    assert_int_equal(errno, ERANGE);
}

/* An unnamed file, opened without O_APPEND. */
static int open_file(void)
{
    char path[] = "/tmp/evproxy-test-log-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_int_not_equal(fd, -1);
    assert_int_equal(unlink(path), 0);
    return fd;
}

static void check_file(int fd, const char *wanted)
{
    char text[LOG_LINE_MAX];
    ssize_t count = pread(fd, text, sizeof(text) - 1, 0);

    assert_in_range(count, 0, sizeof(text) - 1);
    text[count] = '\0';
    assert_string_equal(text, wanted);
}

/* Another writer shares the file description: no line is overwritten. */
static void lines_go_where_others_of_the_description_left_off(void **state)
{
    int fd = open_file();

    (void)state;
    assert_int_equal(write(fd, "before\n", 7), 7);
    log_open(fd, false);
    log_write(LOG_INFO, "one");
    assert_int_equal(write(fd, "other\n", 6), 6);
    log_write(LOG_INFO, "two");
    check_file(fd, "before\none\nother\ntwo\n");
    close(fd);
}

/* Sets the size limit of files; answers the previous one. */
static rlim_t limit_files(rlim_t bytes)
{
    struct rlimit limit;
    rlim_t before;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    return before;
}

static void a_line_after_a_torn_one_stands_alone(void **state)
{
    uint64_t before = log_lost();
    int fd = open_file();
    rlim_t unlimited;

    (void)state;
    log_open(fd, false);
    unlimited = limit_files(4);
    log_write(LOG_INFO, "torn here");
    log_write(LOG_INFO, "lost");
    (void)limit_files(unlimited);
    assert_int_equal(log_lost() - before, 2);
    log_write(LOG_INFO, "whole");
    log_write(LOG_INFO, "and the next");
    check_file(fd, "torn\nwhole\nand the next\n");
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

static void *write_lines(void *arg)
{
    const char *name = arg;

    for (int i = 0; i < LINES; i++) {
        log_write(LOG_INFO, "%s %0*d", name, 100 + i % 100, i);
    }
    return NULL;
}

/* Checks that each thread's lines are whole and in order; answers their number.
 */
static unsigned check_lines(FILE *stream)
{
    int last[THREADS] = {-1, -1, -1, -1};
    char line[LOG_LINE_MAX + 1];
    unsigned count = 0;

    for (; fgets(line, sizeof(line), stream) != NULL; count++) {
        int thread = line[0] - 'a';
        int number = atoi(line + 2);

        assert_in_range(thread, 0, THREADS - 1);
        assert_true(number > last[thread] && number < LINES);
        last[thread] = number;
        assert_int_equal(strlen(line), 3 + 100 + number % 100);
    }
    return count;
}

static void start_writers(pthread_t threads[THREADS])
{
    static char names[THREADS][2] = {"a", "b", "c", "d"};

    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    }
}

static void join_writers(const pthread_t threads[THREADS])
{
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void threads_do_not_mix_their_lines_in_a_file(void **state)
{
    pthread_t threads[THREADS];
    uint64_t before = log_lost();
    int fd = open_file();
    FILE *stream = fdopen(fd, "r");

    (void)state;
    assert_non_null(stream);
    log_open(fd, false);
    start_writers(threads);
    join_writers(threads);
    rewind(stream);
    assert_int_equal(check_lines(stream), THREADS * LINES);
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

static void every_line_arrives_or_is_counted(void **state)
{
    pthread_t threads[THREADS];
    uint64_t before = log_lost();
    FILE *stream;
    unsigned count;

    (void)state;
    log_open(ends[1], false);
    start_writers(threads);
    join_writers(threads);
    assert_int_not_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), -1);
    stream = fdopen(dup(ends[0]), "r");
    assert_non_null(stream);
    count = check_lines(stream);
    assert_int_equal(count + (log_lost() - before), THREADS * LINES);
    assert_true(count > 0 && log_lost() > before);
    fclose(stream);
}

static void values_are_quoted_only_where_they_must_be(void **state)
{
    char buffer[64];
    const char *plain = "10.0.0.1:80\\";

    (void)state;
    assert_ptr_equal(log_quote(plain, buffer, sizeof(buffer)), plain);
    assert_string_equal(log_quote("", buffer, sizeof(buffer)), "\"\"");
    assert_string_equal(log_quote("a b", buffer, sizeof(buffer)), "\"a b\"");
    assert_string_equal(log_quote("a=b", buffer, sizeof(buffer)), "\"a=b\"");
    assert_string_equal(log_quote("\"", buffer, sizeof(buffer)), "\"\\\"\"");
    assert_string_equal(log_quote(" \\", buffer, sizeof(buffer)), "\" \\\\\"");
}

/* For each size of buffer: quotes at both ends, and only whole escapes. */
static void a_quoted_value_is_cut_to_its_buffer(void **state)
{
    static const char *const cuts[] = {
        "\"\"",           "\"a\"",           "\"a\"",
        "\"a\\\"\"",      "\"a\\\" \"",      "\"a\\\" \"",
        "\"a\\\" \\\\\"", "\"a\\\" \\\\b\"", "\"a\\\" \\\\b\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        size_t size = 3 + i;
        char *buffer = malloc(size);

        assert_non_null(buffer);
        assert_string_equal(log_quote("a\" \\b", buffer, size), cuts[i]);
        free(buffer);
    }
}

#define WITH(setup, test)                                                      \
    cmocka_unit_test_setup_teardown(test, setup, teardown_ends)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(setup_pipe, before_opening_a_line_is_tried_again_after_a_signal),
        WITH(setup_pipe, a_line_is_written_whole_and_ended),
        WITH(setup_socket, a_line_is_written_whole_and_ended),
        WITH(setup_pipe, priorities_stand_in_front_when_asked_for),
        WITH(setup_pipe, records_and_what_the_level_lets_through_are_written),
        WITH(setup_pipe, control_bytes_cannot_forge_a_line),
        WITH(setup_pipe, a_long_line_is_cut_and_keeps_its_end),
        WITH(setup_socket, a_long_line_is_cut_and_keeps_its_end),
        WITH(setup_pipe, a_full_pipe_or_socket_loses_lines_and_waits_for_none),
        WITH(setup_socket,
             a_full_pipe_or_socket_loses_lines_and_waits_for_none),
        WITH(setup_pipe, lines_go_on_when_a_full_pipe_or_socket_is_read),
        WITH(setup_socket, lines_go_on_when_a_full_pipe_or_socket_is_read),
        WITH(setup_pipe, the_flags_of_what_was_inherited_stay),
        WITH(setup_socket, the_flags_of_what_was_inherited_stay),
        WITH(setup_pipe, a_reader_that_went_away_loses_lines),
        WITH(setup_socket, a_reader_that_went_away_loses_lines),
        WITH(setup_pipe, what_cannot_be_opened_anew_is_asked_first),
        WITH(setup_pipe, what_cannot_be_opened_anew_is_not_waited_for),
        WITH(setup_pipe, errno_is_left_alone),
        cmocka_unit_test(lines_go_where_others_of_the_description_left_off),
        cmocka_unit_test(a_line_after_a_torn_one_stands_alone),
        cmocka_unit_test(a_full_disk_loses_lines),
        cmocka_unit_test(threads_do_not_mix_their_lines_in_a_file),
        WITH(setup_pipe, every_line_arrives_or_is_counted),
        WITH(setup_socket, every_line_arrives_or_is_counted),
        cmocka_unit_test(values_are_quoted_only_where_they_must_be),
        cmocka_unit_test(a_quoted_value_is_cut_to_its_buffer),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    alarm(DEADLINE_S);
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
