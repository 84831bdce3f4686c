/* allow and deny: clients without an address, and files of networks. */
#include "expect.h"
#include "file.h"
#include "fixture.h"
#include "header.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void a_unix_client_is_of_the_rest(void **state)
{
    struct loopback front = loopback_unix("front");
    struct loopback back = loopback_new();
    struct server *server = server_start(&back, serve_letter, "s");
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n"
                    "allow = 0.0.0.0/0, ::/0\n",
                    front.text, back.text);

    (void)state;
    expect_end(socket_connect(&front)); /* unix sockets know no reset */
    stats_await_cause(proxy, "denied", 1);
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n"
                    "allow = 10.0.0.0/8, unix\n",
                    front.text, back.text);
    proxy_reload(proxy);
    expect_text(socket_connect(&front), "s");
    proxy_configure(proxy,
                    "[service web]\nlisten = %s\nupstream = %s\ndeny = all\n",
                    front.text, back.text);
    proxy_reload(proxy);
    expect_end(socket_connect(&front)); /* unix sockets know no reset */
    proxy_stop(proxy);
    server_stop(server);
}

/* A sender that is trusted says of its client that it has no address. */
static void so_is_one_that_a_header_tells_of(void **state)
{
    struct fixture fixture;

    (void)state;
    fixture_open(&fixture, "", HEADER_TRUSTED "allow = 192.0.2.0/24");
    int client = socket_connect(&fixture.front);
    header_send(client, header_v2_unix());
    expect_reset(client);
    stats_await_cause(fixture.proxy, "denied", 1);
    client = socket_connect(&fixture.front);
    socket_send_text(client, HEADER_V1);
    socket_close(socket_accept(fixture.listener));
    fixture_close(&fixture);
}

static void a_file_of_networks_is_read_again_on_reload(void **state)
{
    struct fixture fixture;
    char keys[256];
    char allowed[32];

    (void)state;
    strcpy(allowed, loopback_source(1));
    snprintf(keys, sizeof(keys), "allow = file:%s",
             file_write("networks", "# none of ours\n192.0.2.0/24\n"));
    fixture_open(&fixture, "", keys);
    expect_connect_reset(allowed, &fixture.front, NULL);
    char text[64];
    snprintf(text, sizeof(text), "192.0.2.0/24\n%s # ours\n", allowed);
    file_write("networks", text);
    proxy_reload(fixture.proxy);
    socket_connect_from(allowed, &fixture.front);
    socket_close(socket_accept(fixture.listener));
    expect_connect_reset(loopback_source(2), &fixture.front, NULL);

    file_write("networks", "192.0.2.0/24\nours\n");
    proxy_mark(fixture.proxy);
    proxy_signal(fixture.proxy, SIGHUP);
    proxy_line(fixture.proxy,
               "reload refused: .*:[0-9]+: .*/networks:2: 'ours' "
               "is not an IP address");
    socket_connect_from(allowed, &fixture.front);
    socket_close(socket_accept(fixture.listener));
    fixture_close(&fixture);
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
