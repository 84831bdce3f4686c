/*
 * Live upgrades: connections go on in a new process, and no byte is lost.
 */
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "pair.h"
#include "proc.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void a_connection_goes_on_in_the_new_process(void **state)
{
    struct fixture fixture;
    struct pair pair;
    pid_t old;

    (void)state;
    fixture_open(&fixture, "", "");
    pair = pair_establish(&fixture);
    pair_ping(&pair);
    old = proxy_upgrade(fixture.proxy);
    pair_ping(&pair);
    proxy_await_old(old);
    pair_ping(&pair);
    pair_close(&pair);
    stats_await_cause(fixture.proxy, "client_fin", 1);
    stats_expect_only(fixture.proxy, "client_fin", 1);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_connection_goes_on_in_the_new_process,
                                  teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
