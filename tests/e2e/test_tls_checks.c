/* Checks of others at a service whose TLS ends here. */
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_connection_that_sent_nothing_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
