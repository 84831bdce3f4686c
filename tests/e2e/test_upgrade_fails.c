/*
 * Upgrades that fail: whatever ends, stops or is wrong at any step, connections
 * go on in a process that is left, and no byte is lost.
 */
#include "delay.h"
#include "expect.h"
#include "next_binary.h"
#include "proc.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Messages that each process sends, in an upgrade as short as this one. */
#define NEW_SENDS 8
#define OLD_SENDS 8

/* The one that says that it has places for all connections. */
#define PLACES_SEND 5

/* ---- binaries that are none ---- */

static void a_text_file_is_refused(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_text("This is no program.\n");
    next_binary_expect_failure(
        &fixture, &pair, "^upgrade failed .*\"cannot start it: Exec format");
    next_binary_restore();
    proxy_await_old(proxy_upgrade(fixture.proxy));
    pair_ping(&pair);
    fixture_close(&fixture);
}

static void its_last_words_are_told(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_script("echo first >&2; echo no such library >&2; exit 127");
    next_binary_expect_failure(
        &fixture, &pair,
        "^upgrade failed version=- reason=\"it ended with status 127\" "
        "words=\"no such library\"$");
    next_binary_script("kill -9 $$");
    next_binary_expect_failure(&fixture, &pair,
                               "^upgrade failed .*\"it was ended by SIGKILL\"");
    fixture_close(&fixture);
}

static void a_bad_configuration_is_told(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    proxy_configure(fixture.proxy, "[service web]\nno_such_key = 1\n");
    next_binary_expect_failure(&fixture, &pair,
                               "^upgrade failed .*words=\".*no_such_key");
    fixture_close(&fixture);
}

static void an_address_in_use_is_told(void **state)
{
    struct fixture fixture;
    struct loopback taken = loopback_new();
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    socket_listen(&taken);
    pair = pair_establish(&fixture);
    proxy_configure(fixture.proxy,
                    "[global]\nworkers = 2\n[service web]\nlisten = %s\n"
                    "listen = %s\nupstream = %s\n",
                    fixture.front.text, taken.text, fixture.back.text);
    next_binary_expect_failure(
        &fixture, &pair,
        "^upgrade failed version=[^-]+ reason=\"cannot listen on ");
    fixture_close(&fixture);
}

static void too_few_descriptors_are_refused(void **state)
{
    struct fixture fixture;
    struct pair pairs[150];

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    for (unsigned i = 0; i < 150; i++) {
        pairs[i] = pair_establish(&fixture);
    }
    next_binary_script("ulimit -n 300");
    next_binary_expect_failure(&fixture, &pairs[0],
                               "^upgrade failed .*RLIMIT_NOFILE");
    for (unsigned i = 0; i < 150; i++) {
        pair_ping(&pairs[i]);
    }
    fixture_close(&fixture);
}

/* It does not know of the channel, as an old version would not. */
static void a_program_that_does_not_answer_is_killed(void **state)
{
    struct fixture fixture;
    struct pair pair;

    (void)state;
    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    next_binary_text("#!/bin/sh\nexec sleep 1000\n");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGUSR2);
    wait_sleep(8000);
    pair_ping(&pair);
    proxy_line(fixture.proxy, "^upgrade failed .*\"it was silent for 10 s\"");
    pair_ping(&pair);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), 0);
    fixture_close(&fixture);
}

/* ---- ends at each step ---- */

struct steps {
    struct fixture fixture;
    struct pair pair;
    char preload[PATH_MAX];
    char step[64];
    const char *environment[3];
};

static void begin_step(struct steps *steps, const char *role, unsigned n,
                       const char *when, const char *how)
{
    next_binary_preload("steps", steps->preload, sizeof(steps->preload));
    snprintf(steps->step, sizeof(steps->step), "UPGRADE_STEP=%s %u %s %s", role,
             n, when, how);
    steps->environment[0] = steps->preload;
    steps->environment[1] = steps->step;
    steps->environment[2] = NULL;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    next_binary_fixture(&steps->fixture, steps->environment,
                        "idle_timeout = 1h");
    steps->pair = pair_establish(&steps->fixture);
    /* Both directions have bytes under way. */
    socket_send_text(steps->pair.client, "up");
    socket_send_text(steps->pair.upstream, "down");
}

static void expect_bytes_of_both(const struct steps *steps)
{
    expect_text(steps->pair.upstream, "up");
    expect_text(steps->pair.client, "down");
    pair_ping(&steps->pair);
}

static void end_new_at(unsigned n, const char *when)
{
    struct steps steps;

    begin_step(&steps, "new", n, when, "kill");
    proxy_mark(steps.fixture.proxy);
    proxy_signal(steps.fixture.proxy, SIGUSR2);
    proxy_line(steps.fixture.proxy,
               "^upgrade failed .*\"it was ended by SIGKILL\"");
    expect_bytes_of_both(&steps);
    pair_close(&steps.pair);
    stats_await_cause(steps.fixture.proxy, "client_fin", 1);
    fixture_close(&steps.fixture);
}

static void the_old_process_goes_on_if_the_new_one_is_killed(void **state)
{
    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    for (unsigned n = 1; n <= NEW_SENDS; n++) {
        end_new_at(n, "before");
        if (n < NEW_SENDS) { /* after STARTED they are the new one's */
            end_new_at(n, "after");
        }
    }
}

/* Answers whether a process is left that goes on. */
static bool end_old_at(unsigned n, const char *when)
{
    struct steps steps;
    pid_t old;
    bool lives;

    begin_step(&steps, "old", n, when, "kill");
    old = proxy_pid(steps.fixture.proxy);
    proxy_signal(steps.fixture.proxy, SIGUSR2);
    wait_until(waitpid(old, NULL, WNOHANG) == old);
    proxy_lose(steps.fixture.proxy);
    /* The new one ends, or goes on as our child. */
    wait_until(waitpid(-1, NULL, WNOHANG) != 0 ||
               proxy_count(steps.fixture.proxy, "^upgraded ") > 0);
    lives = proxy_count(steps.fixture.proxy, "^upgraded ") > 0;
    if (lives) {
        expect_bytes_of_both(&steps);
        pair_close(&steps.pair);
        proxy_kill_children();
        wait_until(waitpid(-1, NULL, WNOHANG) != 0);
    }
    socket_close_all();
    proxy_discard_all();
    return lives;
}

static void the_new_process_goes_on_once_it_has_all(void **state)
{
    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    for (unsigned n = 1; n < OLD_SENDS; n++) {
        assert_false(end_old_at(n, "before"));
    }
    assert_true(end_old_at(OLD_SENDS, "before"));
    assert_true(end_old_at(OLD_SENDS, "after"));
}

static void a_new_process_that_hangs_frozen_is_killed(void **state)
{
    struct steps steps;

    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    /* It has all connections, and does not say so. */
    begin_step(&steps, "new", NEW_SENDS - 1, "before", "hang");
    proxy_mark(steps.fixture.proxy);
    proxy_signal(steps.fixture.proxy, SIGUSR2);
    wait_sleep(8000);
    proxy_line(steps.fixture.proxy,
               "^upgrade failed .*\"it was silent for 10 s\"");
    expect_bytes_of_both(&steps);
    fixture_close(&steps.fixture);
}

/* It has a place for the connection, and the open files with it. */
static void an_end_does_not_wait_for_a_new_process_that_hangs(void **state)
{
    struct stopwatch watch;
    struct steps steps;

    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    begin_step(&steps, "new", PLACES_SEND, "before", "hang");
    proxy_mark(steps.fixture.proxy);
    watch = stopwatch_start();
    proxy_signal(steps.fixture.proxy, SIGUSR2);
    expect_bytes_of_both(&steps);
    wait_sleep(500);
    socket_reset(steps.pair.upstream);
    expect_reset(steps.pair.client);
    stopwatch_expect(&watch, 500, 8000); /* it is killed after 10 s */
    proxy_line(steps.fixture.proxy,
               "^upgrade failed .*\"it was silent for 10 s\"");
    stats_await_cause(steps.fixture.proxy, "upstream_reset", 1);
    fixture_close(&steps.fixture);
}

static void spoil(const char *role, unsigned n, const char *how,
                  const char *regex)
{
    struct steps steps;

    begin_step(&steps, role, n, "before", how);
    proxy_mark(steps.fixture.proxy);
    proxy_signal(steps.fixture.proxy, SIGUSR2);
    proxy_line(steps.fixture.proxy, "^upgrade failed |^upgraded ");
    proxy_line(steps.fixture.proxy, regex);
    expect_bytes_of_both(&steps);
    fixture_close(&steps.fixture);
}

static void a_message_that_ends_too_early_is_refused(void **state)
{
    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    for (unsigned n = 1; n <= OLD_SENDS; n++) {
        spoil("old", n, "cut",
              "^upgrade failed .*\"the old process does not keep to the "
              "protocol\"");
    }
    for (unsigned n = 1; n < NEW_SENDS; n++) { /* the last one is STARTED */
        spoil("new", n, "cut",
              "^upgrade failed .*\"it does not keep to the protocol\"");
    }
}

/* Those whose first record has parts. */
static void a_record_that_ends_too_early_is_refused(void **state)
{
    (void)state;
    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    spoil("old", 1, "inner", "^upgrade failed .*\"the old process has a state");
    spoil("old", OLD_SENDS, "inner",
          "^upgrade failed .*\"the old process does not keep to the protocol");
    spoil("new", 1, "inner", "^upgrade failed .*\"it does not keep to the");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(a_text_file_is_refused),
        TEST(its_last_words_are_told),
        TEST(a_bad_configuration_is_told),
        TEST(an_address_in_use_is_told),
        TEST(too_few_descriptors_are_refused),
        TEST(the_old_process_goes_on_if_the_new_one_is_killed),
        TEST(the_new_process_goes_on_once_it_has_all),
        TEST(a_new_process_that_hangs_frozen_is_killed),
        TEST(an_end_does_not_wait_for_a_new_process_that_hangs),
        TEST(a_message_that_ends_too_early_is_refused),
        TEST(a_record_that_ends_too_early_is_refused),
        TEST(a_program_that_does_not_answer_is_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
