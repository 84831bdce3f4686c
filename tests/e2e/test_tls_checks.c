/* Connections that send nothing to a service whose TLS ends here. */
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"

static void a_connection_that_sent_nothing_is_not_told(void **state)
{
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    socket_close(socket_connect(&fixture.front));
    stats_await_cause(fixture.proxy, "tls_error", 1);
    assert_int_equal(proxy_count(fixture.proxy, "tls error"), 0);
    int client = socket_connect(&fixture.front);
    socket_send(client, "\x16\x03\x01", 3);
    socket_close(client);
    proxy_line(fixture.proxy, "tls error service=web .* count=1$");
    fixture_close(&fixture);
}

/* A 64th of the process, but at least 16, until the handshake is complete. */
static void one_source_has_so_many_unfinished_handshakes(void **state)
{
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    int silent[16];

    (void)state;
    tls_fixture_open(&fixture, "max_connections = 200", "");
    for (unsigned i = 0; i < 15; i++) {
        silent[i] = socket_connect(&fixture.front);
    }
    stats_await(fixture.proxy, "web", NULL, "active", 15);
    struct pair pair = tls_pair_connect(&fixture, &client);
    pair_ping(&pair);
    silent[15] = socket_connect(&fixture.front);
    stats_await(fixture.proxy, "web", NULL, "active", 17);
    expect_connect_reset(NULL, &fixture.front, NULL);
    stats_await_cause(fixture.proxy, "limit_source", 1);
    socket_close(silent[3]);
    stats_await_cause(fixture.proxy, "tls_error", 1);
    pair = tls_pair_connect(&fixture, &client);
    pair_ping(&pair);
    fixture_close(&fixture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_connection_that_sent_nothing_is_not_told),
        E2E(one_source_has_so_many_unfinished_handshakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
