/*
 * Upgrades to another version, and back: the records of both are read by both,
 * and what a version cannot understand is refused while nothing has moved.
 *
 *      EVPROXY_OTHER=file      another binary to upgrade to, such as that of
 * the release before; default: the same
 */
#include "busy.h"
#include "expect.h"
#include "next_binary.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define BUSY 2

static void upgrade(struct fixture *fixture, const struct pair *pair)
{
    pid_t old;

    socket_send_text(pair->client, "up");
    socket_send_text(pair->upstream, "down");
    old = proxy_upgrade(fixture->proxy);
    expect_text(pair->upstream, "up");
    expect_text(pair->client, "down");
    pair_ping(pair);
    proxy_await_old(old);
}

/* The lines make the next binary another one. It takes over, follows itself,
 * and gives back. */
static void there_and_back(const char *lines)
{
    const size_t bytes = test_slow() ? 4u << 20 : 64u << 20;
    struct fixture fixture;
    struct busy busy;
    struct pair pair;

    next_binary_fixture(&fixture, NULL, "");
    pair = pair_establish(&fixture);
    busy_start(&busy, &fixture, BUSY, bytes, 100);
    for (unsigned round = 0; round < 2; round++) {
        next_binary_script(lines);
        upgrade(&fixture, &pair);
        upgrade(&fixture, &pair);
        next_binary_script("unset LD_PRELOAD UPGRADE_VERSION");
        upgrade(&fixture, &pair);
    }
    busy_finish(&busy);
    pair_close(&pair);
    wait_until(stats_get(fixture.proxy, "web", NULL, "active") == 0);
    stats_await(fixture.proxy, "web", NULL, "accepted", 1 + BUSY);
    stats_await(fixture.proxy, NULL, NULL, "generation", 7);
    fixture_close(&fixture);
}

static void there_and_back_by(const char *version)
{
    char preload[PATH_MAX], lines[PATH_MAX + 100];

    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    next_binary_preload("versions", preload, sizeof(preload));
    snprintf(lines, sizeof(lines), "export UPGRADE_VERSION=%s %s", version,
             preload);
    there_and_back(lines);
}

static void a_newer_version_takes_over_and_gives_back(void **state)
{
    (void)state;
    there_and_back_by("newer");
}

static void an_older_version_takes_over_and_gives_back(void **state)
{
    (void)state;
    there_and_back_by("older");
}

static void another_binary_takes_over_and_gives_back(void **state)
{
    const char *other = getenv("EVPROXY_OTHER");
    char lines[PATH_MAX + 20] = "";

    (void)state;
    if (other != NULL) {
        snprintf(lines, sizeof(lines), "exec %s \"$@\"", other);
    }
    there_and_back(lines);
}

/* The running process is that version, and the next one is this. */
static void expect_refusal(const char *version, const char *regex)
{
    char preload[PATH_MAX], variable[64];
    const char *environment[] = {preload, variable, NULL};
    struct fixture fixture;
    struct pair pair;

    if (test_slow()) {
        skip_because("a slow run preloads nothing");
    }
    next_binary_preload("versions", preload, sizeof(preload));
    snprintf(variable, sizeof(variable), "UPGRADE_VERSION=%s", version);
    next_binary_fixture(&fixture, environment, "");
    pair = pair_establish(&fixture);
    socket_send_text(pair.client, "up");
    socket_send_text(pair.upstream, "down");
    expect_text(pair.upstream, "up");
    expect_text(pair.client, "down");
    next_binary_expect_failure(&fixture, &pair, regex);
    fixture_close(&fixture);
}

static void a_state_that_is_not_known_is_refused(void **state)
{
    (void)state;
    expect_refusal("demanding",
                   "^upgrade failed .*\"the old process has a state that this "
                   "version does not know\"");
    expect_refusal("distant",
                   "^upgrade failed .*\"the old process has a newer format\"");
    expect_refusal("strange",
                   "^upgrade failed .*\"a connection is described in a way "
                   "that this version does not know\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(a_newer_version_takes_over_and_gives_back),
        TEST(an_older_version_takes_over_and_gives_back),
        TEST(another_binary_takes_over_and_gives_back),
        TEST(a_state_that_is_not_known_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
