/* Which clients may send a PROXY header where services share an address, and
 * health checks of others, which connect and send nothing. */
#include "expect.h"
#include "header.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <string.h>

/* A ClientHello (RFC 8446, 4.1.2) that asks for a name of one letter under
 * .example. Its random bytes are zeros. */
static void send_hello(int fd, char letter)
{
    static const unsigned char name[] = {
        0, 0, 0, 14, 0, 12, 0, 0, 9, 0, '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e'};
    unsigned char hello[5 + 4 + 41 + 2 + sizeof(name)] = {22, 3, 1, 0};
    unsigned char *at = hello + 5;

    hello[4] = sizeof(hello) - 5;
    *at = 1;
    at[3] = sizeof(hello) - 9;
    at[4] = at[5] = 3;
    at[38] = 0;  /* no session id */
    at[40] = 2;  /* one cipher suite */
    at[41] = 19; /* TLS_AES_128_GCM_SHA256 */
    at[42] = 1;
    at[43] = 1; /* no compression */
    at[46] = sizeof(name);
    memcpy(at + 47, name, sizeof(name));
    at[47 + 9] = (unsigned char)letter;
    socket_send(fd, hello, sizeof(hello));
}

static void a_sender_is_trusted_by_the_service_that_is_asked_for(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_new();
    struct server *server = server_start(&back, serve_letter, "s");
    char senders[2][32];
    struct proxy *proxy;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        strcpy(senders[i], loopback_source(i + 1));
    }
    proxy = proxy_start("[service a]\nlisten = %s\nupstream = %s\n"
                        "sni = a.example\nproxy_protocol = on\n"
                        "proxy_protocol_from = %s\n"
                        "[service b]\nlisten = %s\nupstream = %s\n"
                        "sni = b.example\nproxy_protocol = on\n"
                        "proxy_protocol_from = %s\n",
                        front.text, back.text, senders[0], front.text,
                        back.text, senders[1]);
    for (unsigned i = 0; i < 4; i++) {
        unsigned sender = i % 2;
        unsigned service = i / 2;
        int client = socket_connect_from(senders[sender], &front);
        socket_send_text(client, HEADER_V1);
        send_hello(client, service == 0 ? 'a' : 'b');
        if (sender == service) {
            expect_text(client, "s");
        } else {
            expect_reset(client);
        }
    }
    expect_connect_reset(loopback_source(3), &front, "PROXY TCP4 ");
    stats_await(proxy, "b", NULL, "ended_denied", 1);
    stats_await(proxy, "a", NULL, "ended_denied", 2); /* the first of them */
    proxy_stop(proxy);
    server_stop(server);
}

/* Balancers in front check by a connection, with or without a header. */
static void a_connection_that_sent_nothing_is_not_told(void **state)
{
    struct loopback front = loopback_new();
    struct loopback named = loopback_new();
    struct loopback back = loopback_new();
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\nproxy_protocol = on\n"
        "proxy_protocol_from = 127.0.0.0/8\n"
        "[service named]\nlisten = %s\nupstream = %s\nproxy_protocol = on\n"
        "proxy_protocol_from = 127.0.0.0/8\nsni = a.example\n",
        front.text, back.text, named.text, back.text);

    (void)state;
    socket_close(socket_connect(&front));
    int check = socket_connect(&named);
    socket_send_text(check, "PROXY UNKNOWN\r\n");
    socket_close(check);
    stats_await(proxy, "web", NULL, "ended_bad_header", 1);
    stats_await(proxy, "named", NULL, "ended_bad_header", 1);
    assert_int_equal(proxy_count(proxy, "bad header"), 0);
    check = socket_connect(&front);
    socket_send_text(check, "PROXY ");
    socket_close(check);
    proxy_line(proxy, "bad header service=web .* count=1$");
    proxy_stop(proxy);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_sender_is_trusted_by_the_service_that_is_asked_for),
        E2E(a_connection_that_sent_nothing_is_not_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
