/*
 * When the kernel's memory for TCP is short, and that a change is told once, to
 * the workers and to the log.
 */
#include "control/tcp_memory.h"

#include "base/log.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the comparison ---- */

static void
shortness_begins_above_the_second_and_ends_below_the_first(void **state)
{
    static const struct {
        uint64_t used;
        bool is_short;
    } steps[] = {
        {0, false},   {99, false},  {100, false}, {150, false}, {200, false},
        {201, true},  {200, true},  {150, true},  {100, true},  {99, false},
        {100, false}, {200, false}, {300, true},  {1000, true}, {0, false},
    };
    struct machine_tcp tcp = {
        .low_bytes = 100, .pressure_bytes = 200, .memory_bytes = 300};
    bool is_short = false;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        tcp.used_bytes = steps[i].used;
        is_short = tcp_memory_is_short(&tcp, is_short);
        if (is_short != steps[i].is_short) {
            fail_msg("step %zu: %d", i, is_short);
        }
    }
}

static void what_is_not_known_changes_nothing(void **state)
{
    const struct machine_tcp no_use = {
        .used_bytes = MACHINE_UNKNOWN, .low_bytes = 100, .pressure_bytes = 200};
    const struct machine_tcp no_limits = {.used_bytes = 50};

    (void)state;
    assert_false(tcp_memory_is_short(&no_use, false));
    assert_true(tcp_memory_is_short(&no_use, true));
    assert_false(tcp_memory_is_short(&no_limits, false));
    assert_true(tcp_memory_is_short(&no_limits, true));
}

/* Else it would begin and end every second. */
static void a_first_number_above_the_second_counts_as_the_second(void **state)
{
    const struct machine_tcp tcp = {
        .used_bytes = 250, .low_bytes = 300, .pressure_bytes = 200};

    (void)state;
    assert_true(tcp_memory_is_short(&tcp, false));
    assert_true(tcp_memory_is_short(&tcp, true));
}

/* ---- the timer ---- */

enum { KIND = LOOP_KIND_MAILBOX + 1 };

static struct watch {
    struct loop loop;
    struct tcp_memory memory;
    _Atomic bool is_short;
    int log[2];
} watch;

static void on_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)loop, (void)timer;
    tcp_memory_timer(&watch.memory);
}

static const struct loop_owner owner = {.timer = {[KIND] = on_timer}};

static int open_watch(void **state)
{
    watch = (struct watch){.memory = {.loop = &watch.loop,
                                      .is_short = &watch.is_short,
                                      .proc = folder,
                                      .timer = {.kind = KIND}}};
    if (folder_make(state) < 0 || pipe(watch.log) < 0 ||
        loop_open(&watch.loop, &owner) < 0) {
        return -1;
    }
    log_open(watch.log[1], false);
    return 0;
}

static int close_watch(void **state)
{
    log_open(STDERR_FILENO, false);
    close(watch.log[0]);
    close(watch.log[1]);
    loop_close(&watch.loop);
    return folder_remove(state);
}

static void put_used(unsigned pages)
{
    char text[64];

    snprintf(text, sizeof(text), "TCP: inuse 1 mem %u\n", pages);
    folder_put("net/sockstat", text);
}

/* What the log got since the last call. The pipe is never empty for a reader:
 * a mark is written first. */
static void assert_logged(const char *format, unsigned pages, unsigned pressure)
{
    unsigned page = (unsigned)sysconf(_SC_PAGESIZE);
    char expected[256], got[256];
    ssize_t count;

    assert_int_equal(write(watch.log[1], "|", 1), 1);
    count = read(watch.log[0], got, sizeof(got) - 1);
    assert_true(count > 0);
    got[count] = '\0';
    snprintf(expected, sizeof(expected), format, pages * page, pressure * page);
    strcat(expected, "|");
    assert_string_equal(got, expected);
}

static void a_change_is_told_once(void **state)
{
    (void)state;
    folder_put("sys/net/ipv4/tcp_mem", "10\t20\t30\n");
    put_used(15);
    tcp_memory_start(&watch.memory);
    assert_true(wheel_armed(&watch.memory.timer));
    assert_false(watch.is_short);
    assert_logged("", 0, 0);
    put_used(21);
    for (unsigned i = 0; i < 3; i++) {
        tcp_memory_timer(&watch.memory);
        assert_true(watch.is_short);
    }
    assert_logged("tcp memory state=short kernel_tcp_bytes=%u "
                  "kernel_tcp_pressure_bytes=%u\n",
                  21, 20);
    put_used(10);
    tcp_memory_timer(&watch.memory);
    assert_true(watch.is_short);
    assert_logged("", 0, 0);
    put_used(9);
    for (unsigned i = 0; i < 3; i++) {
        tcp_memory_timer(&watch.memory);
        assert_false(watch.is_short);
    }
    assert_logged("tcp memory state=enough kernel_tcp_bytes=%u "
                  "kernel_tcp_pressure_bytes=%u\n",
                  9, 20);
}

static void numbers_that_change_count(void **state)
{
    (void)state;
    folder_put("sys/net/ipv4/tcp_mem", "10 20 30\n");
    put_used(25);
    tcp_memory_start(&watch.memory);
    assert_true(watch.is_short);
    folder_put("net/sockstat", ""); /* for a moment */
    tcp_memory_timer(&watch.memory);
    assert_true(watch.is_short);
    put_used(25);
    folder_put("sys/net/ipv4/tcp_mem", "30 60 90\n");
    tcp_memory_timer(&watch.memory);
    assert_false(watch.is_short);
}

static void it_looks_again_by_itself(void **state)
{
    (void)state;
    folder_put("sys/net/ipv4/tcp_mem", "10 20 30\n");
    put_used(0);
    tcp_memory_start(&watch.memory);
    put_used(25);
    /* One turn may end for a timer that cascades. */
    for (unsigned turns = 0; turns < 50 && !watch.is_short; turns++) {
        loop_turn(&watch.loop, -1);
    }
    assert_true(watch.is_short);
    assert_true(wheel_armed(&watch.memory.timer));
}

static void where_the_kernel_does_not_tell_there_is_no_timer(void **state)
{
    (void)state;
    put_used(25);
    tcp_memory_start(&watch.memory);
    assert_false(wheel_armed(&watch.memory.timer));
    folder_put("net/sockstat", "UDP: inuse 0 mem 75\n");
    folder_put("sys/net/ipv4/tcp_mem", "10 20 30\n");
    tcp_memory_start(&watch.memory);
    assert_false(wheel_armed(&watch.memory.timer));
    assert_false(watch.is_short);
    assert_logged("", 0, 0);
}

#define WATCH(test)                                                            \
    cmocka_unit_test_setup_teardown(test, open_watch, close_watch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            shortness_begins_above_the_second_and_ends_below_the_first),
        cmocka_unit_test(what_is_not_known_changes_nothing),
        cmocka_unit_test(a_first_number_above_the_second_counts_as_the_second),
        WATCH(a_change_is_told_once),
        WATCH(numbers_that_change_count),
        WATCH(it_looks_again_by_itself),
        WATCH(where_the_kernel_does_not_tell_there_is_no_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
