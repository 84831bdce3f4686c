/* Connections that send nothing to a service whose TLS ends here. */
#include "secure.h"

static void a_connection_that_sent_nothing_is_not_told(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", secure_keys(secure_server()));
    hang_up(dial(&scene.front));
    await_cause(scene.proxy, "tls_error", 1);
    assert_int_equal(proxy_count(scene.proxy, "tls error"), 0);
    int client = dial(&scene.front);
    send_bytes(client, "\x16\x03\x01", 3);
    hang_up(client);
    proxy_line(scene.proxy, "tls error service=web .* count=1$");
    scene_close(&scene);
}

/* A 64th of the process, but at least 16, until the handshake is complete. */
static void one_source_has_so_many_unfinished_handshakes(void **state)
{
    struct secure how = secure_client(0);
    struct scene scene;
    int silent[16];
    (void)state;
    scene_open(&scene, "max_connections = 200", secure_keys(secure_server()));
    for (unsigned i = 0; i < 15; i++) {
        silent[i] = dial(&scene.front);
    }
    stat_await(scene.proxy, "web", NULL, "active", 15);
    struct pair pair = secure_pair(&scene, &how);
    pair_ping(&pair);
    silent[15] = dial(&scene.front);
    stat_await(scene.proxy, "web", NULL, "active", 17);
    expect_refused(NULL, &scene.front, NULL);
    await_cause(scene.proxy, "limit_source", 1);
    hang_up(silent[3]);
    await_cause(scene.proxy, "tls_error", 1);
    pair = secure_pair(&scene, &how);
    pair_ping(&pair);
    scene_close(&scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_connection_that_sent_nothing_is_not_told),
        E2E(one_source_has_so_many_unfinished_handshakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
