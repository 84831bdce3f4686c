#include "base/log.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
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
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_S 60 /* then SIGALRM ends a write that blocks */

#define THREADS 4
#define LINES   500 /* of each thread */

static int ends[2]; /* of the test's pipe or socket pair: read, write */

/* However long the writer takes on a slow machine. */
static void stop(void)
{
    while (!log_stop()) {
    }
}

/* Has the lines that earlier tests have lost told of where nobody looks. */
static void forget_lost(void)
{
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

    log_set_level(LOG_INFO);
    log_open(fd, false);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "x");
    stop();
    log_open(STDERR_FILENO, false);
    close(fd);
}

static int setup_pipe(void **state)
{
    (void)state;
    forget_lost();
    return pipe2(ends, O_CLOEXEC);
}

static int setup_socket(void **state)
{
    int bytes = 65536;

    (void)state;
    forget_lost();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
        return -1;
    }
    return setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int teardown_ends(void **state)
{
    (void)state;
    close(ends[0]);
    stop();
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

/* The writer has all signals blocked, so only here a line may see EINTR. Must
 * be the first test, since log_open cannot be undone. */
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

static void errno_is_left_alone(void **state)
{
    (void)state;
    close(ends[0]);
    ends[0] = -1;
    log_open(ends[1], false);
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

/* Checks that each thread's lines are whole and in order, up to so many lines
 * or the end; answers their number. */
static unsigned check_lines(FILE *stream, unsigned most)
{
    int last[THREADS] = {-1, -1, -1, -1};
    char line[LOG_LINE_MAX + 1];
    unsigned count = 0;

    for (; count < most && fgets(line, sizeof(line), stream) != NULL; count++) {
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
    assert_int_equal(check_lines(stream, UINT_MAX), THREADS * LINES);
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

/* ---- with the thread that writes ---- */

static FILE *stream_of(int fd)
{
    FILE *stream = fdopen(dup(fd), "r");

    assert_non_null(stream);
    return stream;
}

static void the_writer_keeps_each_thread_s_order(void **state)
{
    pthread_t threads[THREADS];
    uint64_t before = log_lost();
    FILE *stream = stream_of(ends[0]);

    (void)state;
    log_open(ends[1], false);
    assert_int_equal(log_start(), 0);
    start_writers(threads);
    assert_int_equal(check_lines(stream, THREADS * LINES), THREADS * LINES);
    join_writers(threads);
    stop();
    assert_false(has_bytes());
    assert_int_equal(log_lost(), before);
    fclose(stream);
}

static void what_the_process_before_lost_is_counted_and_not_told(void **state)
{
    uint64_t before = log_lost();
    FILE *stream = stream_of(ends[0]);
    char line[64];

    (void)state;
    log_open(ends[1], false);
    log_go_on(7);
    assert_int_equal(log_lost(), before + 7);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "x");
    stop();
    assert_non_null(fgets(line, sizeof(line), stream));
    assert_string_equal(line, "x\n");
    assert_false(has_bytes());
    fclose(stream);
}

static void a_full_pipe_that_does_not_block_is_waited_for(void **state)
{
    uint64_t before = log_lost();
    int flags = fcntl(ends[1], F_GETFL);
    char bytes[LOG_LINE_MAX];
    ssize_t count;

    (void)state;
    log_open(ends[1], false);
    fill();
    assert_int_equal(fcntl(ends[1], F_SETFL, flags | O_NONBLOCK), 0);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "patience");
    usleep(10000);
    do {
        count = read(ends[0], bytes, sizeof(bytes));
        assert_in_range(count, 1, sizeof(bytes));
    } while (bytes[count - 1] != '\n');
    assert_int_equal(fcntl(ends[1], F_GETFL), flags | O_NONBLOCK);
    stop();
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
    FILE *stream = stream_of(ends[0]);
    unsigned written;

    (void)state;
    log_open(ends[1], false);
    assert_int_equal(log_start(), 0);
    written = write_until_lost(LOG_ERROR, 1000);
    assert_int_equal(count_until(stream, "log lost=1000\n", "line 7\n"),
                     written - 1000);
    log_write(LOG_INFO, "found");
    assert_int_equal(count_until(stream, "found\n", ""), 0);
    stop();
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
    forget_lost();
    file = open_file();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    file_lines = fopen(path, "re");
    log_open(file, false);
    return file_lines != NULL ? 0 : -1;
}

static int teardown_file(void **state)
{
    (void)state;
    frozen = false;
    stop();
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
    stop();
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
    stop();
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
    FILE *stream = stream_of(ends[0]);

    (void)state;
    log_open(ends[1], false);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "before");
    add_lines(&burst, 10000);
    log_burst_end(&burst);
    log_write(LOG_INFO, "after");
    assert_int_equal(count_until(stream, "before\n", ""), 0);
    expect_burst(stream, 10000);
    assert_int_equal(count_until(stream, "after\n", ""), 0);
    stop();
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
    stop();
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
    rlim_t unlimited = limit_files(4);

    (void)state;
    (void)signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "torn here");
    stop();
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "lost");
    stop();
    (void)limit_files(unlimited);
    assert_int_equal(log_lost() - before, 2);
    assert_int_equal(log_start(), 0);
    log_write(LOG_INFO, "whole");
    stop();
    (void)signal(SIGXFSZ, SIG_IGN);
    check_file(file, "torn\nwhole\nlog lost=2\n");
}

static void stopping_writes_what_is_queued(void **state)
{
    (void)state;
    assert_int_equal(log_start(), 0);
    for (unsigned i = 0; i < 5000; i++) {
        log_write(LOG_INFO, "line %u", i);
    }
    log_write(LOG_INFO, "stopped");
    stop();
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

static void assert_quoted(const char *value, const char *quoted)
{
    char buffer[64];

    assert_string_equal(log_quote(value, buffer, sizeof(buffer)), quoted);
}

static void values_are_quoted_only_where_they_must_be(void **state)
{
    static const char *const plain[] = {"10.0.0.1:80", "a,b;c'd", "-",
                                        "\xc3\xbc|\xe2\x82\xac", "<b>"};
    char buffer[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        assert_ptr_equal(log_quote(plain[i], buffer, sizeof(buffer)), plain[i]);
    }
    assert_quoted("", "\"\"");
    assert_quoted("a b", "\"a b\"");
    assert_quoted("=", "\"=\"");
    assert_quoted("\"", "\"\\\"\"");
    assert_quoted("a\\nb", "\"a\\\\nb\"");
    assert_quoted("a\nb", "\"a\\nb\"");
    assert_quoted("\r\t\x1b\x7f", "\"\\r\\t\\u001b\\u007f\"");
    assert_quoted("\xc2\x85\xe2\x80\xa8", "\"\\u0085\\u2028\"");
    assert_quoted("\xc3\xbc\xc2\xa0", "\"\xc3\xbc\xc2\xa0\"");
    assert_quoted("a\xff\xe2\x82", "\"a\\ufffd\\ufffd\\ufffd\"");
    assert_string_equal(log_escape("a \"b\"", buffer, sizeof(buffer)),
                        "a \\\"b\\\"");
}

/* For each size of buffer: quotes at both ends, and only whole escapes and
 * characters. */
static void a_quoted_value_is_cut_to_its_buffer(void **state)
{
    static const char *const cuts[] = {
        "\"\"",
        "\"a\"",
        "\"a\"",
        "\"a\\\"\"",
        "\"a\\\" \"",
        "\"a\\\" \"",
        "\"a\\\" \\\\\"",
        "\"a\\\" \\\\\"",
        "\"a\\\" \\\\\xc3\xbc\"",
        "\"a\\\" \\\\\xc3\xbc\"",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
        size_t size = 3 + i;
        char *buffer = malloc(size);

        assert_non_null(buffer);
        assert_string_equal(log_quote("a\" \\\xc3\xbc", buffer, size), cuts[i]);
        free(buffer);
    }
}

#define WITH(setup, test)                                                      \
    cmocka_unit_test_setup_teardown(test, setup, teardown_ends)
#define FILED(test)                                                            \
    cmocka_unit_test_setup_teardown(test, setup_file, teardown_file)

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
        WITH(setup_pipe, a_reader_that_went_away_loses_lines),
        WITH(setup_socket, a_reader_that_went_away_loses_lines),
        WITH(setup_pipe, errno_is_left_alone),
        cmocka_unit_test(lines_go_where_others_of_the_description_left_off),
        cmocka_unit_test(a_line_after_a_torn_one_stands_alone),
        cmocka_unit_test(a_full_disk_loses_lines),
        cmocka_unit_test(threads_do_not_mix_their_lines_in_a_file),
        WITH(setup_pipe, the_writer_keeps_each_thread_s_order),
        WITH(setup_socket, the_writer_keeps_each_thread_s_order),
        WITH(setup_pipe, what_the_process_before_lost_is_counted_and_not_told),
        WITH(setup_pipe, a_full_pipe_that_does_not_block_is_waited_for),
        WITH(setup_socket, a_full_pipe_that_does_not_block_is_waited_for),
        WITH(setup_pipe, a_full_pipe_or_socket_holds_up_no_thread),
        WITH(setup_socket, a_full_pipe_or_socket_holds_up_no_thread),
        FILED(no_thread_but_the_writer_writes),
        FILED(a_file_that_stands_still_holds_up_no_thread),
        FILED(connections_leave_room_to_other_lines),
        FILED(a_burst_is_whole_though_the_queue_is_full),
        WITH(setup_pipe, a_burst_goes_on_while_it_is_read),
        FILED(bursts_are_bounded_together),
        FILED(a_burst_before_the_writer_is_written),
        FILED(a_limit_of_the_file_loses_lines_and_kills_nobody),
        FILED(stopping_writes_what_is_queued),
        FILED(stopping_does_not_wait_for_ever),
        cmocka_unit_test(values_are_quoted_only_where_they_must_be),
        cmocka_unit_test(a_quoted_value_is_cut_to_its_buffer),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    alarm(DEADLINE_S);
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
