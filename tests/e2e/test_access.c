/* allow and deny: clients without an address, and files of networks. */
#include "harness.h"

#include <signal.h>
#include <stdio.h>

static void a_unix_client_is_of_the_rest(void **state)
{
    struct place front = place_unix("front");
    struct place back = place_new();
    struct server *server = server_start(&back, serve_name, "s");
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n"
                    "allow = 0.0.0.0/0, ::/0\n",
                    front.text, back.text);
    (void)state;
    expect_end(dial(&front)); /* unix sockets know no reset */
    await_cause(proxy, "denied", 1);
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "allow = 10.0.0.0/8, unix\n",
                    front.text, back.text);
    proxy_reload(proxy);
    expect_text(dial(&front), "s");
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nupstream = %s\ndeny = all\n",
                    front.text, back.text);
    proxy_reload(proxy);
    expect_end(dial(&front)); /* unix sockets know no reset */
    proxy_stop(proxy);
    server_stop(server);
}

/* A sender that is trusted says of its client that it has no address. */
static void so_is_one_that_a_header_tells_of(void **state)
{
    static const char keys[] = "proxy_protocol = on\n"
                               "proxy_protocol_from = 127.0.0.0/8\n";
    unsigned char header[16 + 216] = "\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8";
    struct scene scene;
    char text[128];
    (void)state;
    snprintf(text, sizeof text, "%sallow = 192.0.2.0/24", keys);
    scene_open(&scene, "", text);
    int client = dial(&scene.front);
    send_bytes(client, header, sizeof header);
    expect_reset(client);
    await_cause(scene.proxy, "denied", 1);
    client = dial(&scene.front);
    send_text(client, "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n");
    hang_up(take(scene.listener));
    scene_close(&scene);
}

static void a_file_of_networks_is_read_again_on_reload(void **state)
{
    struct scene scene;
    char keys[256];
    char allowed[32];
    (void)state;
    strcpy(allowed, source_new(1));
    snprintf(keys, sizeof keys, "allow = file:%s",
             file_write("networks", "# none of ours\n192.0.2.0/24\n"));
    scene_open(&scene, "", keys);
    expect_refused(allowed, &scene.front, NULL);
    char text[64];
    snprintf(text, sizeof text, "192.0.2.0/24\n%s # ours\n", allowed);
    file_write("networks", text);
    proxy_reload(scene.proxy);
    dial_from(allowed, &scene.front);
    hang_up(take(scene.listener));
    expect_refused(source_new(2), &scene.front, NULL);

    file_write("networks", "192.0.2.0/24\nours\n");
    proxy_mark(scene.proxy);
    proxy_signal(scene.proxy, SIGHUP);
    proxy_line(scene.proxy, "reload refused: .*:[0-9]+: .*/networks:2: 'ours' "
                            "is not an IP address");
    dial_from(allowed, &scene.front);
    hang_up(take(scene.listener));
    scene_close(&scene);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_unix_client_is_of_the_rest),
        E2E(so_is_one_that_a_header_tells_of),
        E2E(a_file_of_networks_is_read_again_on_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
