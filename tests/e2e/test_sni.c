/*
 * Services that share an address, routed by the server name in the ClientHello
 * (SNI). Nobody here speaks TLS beyond that.
 */
#include "command.h"
#include "expect.h"
#include "loopback.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"

#include <stdio.h>
#include <string.h>

/* ---- a ClientHello ---- */

#define HELLO_MAX 4096

struct hello {
    unsigned char bytes[HELLO_MAX];
    size_t count;
};

/* Appends the value in so many bytes. */
static void put(struct hello *hello, unsigned value, unsigned bytes)
{
    while (bytes-- > 0) {
        hello->bytes[hello->count++] = (unsigned char)(value >> (8 * bytes));
    }
}

/* Appends a length field of so many bytes, which end_length fills in with the
 * size of what was put behind it. */
static size_t begin_length(struct hello *hello, unsigned bytes)
{
    size_t position = hello->count;

    put(hello, 0, bytes);
    return position;
}

static void end_length(struct hello *hello, size_t position, unsigned bytes)
{
    size_t end = hello->count;

    hello->count = position;
    put(hello, (unsigned)(end - position - bytes), bytes);
    hello->count = end;
}

static void put_name(struct hello *hello, const char *name)
{
    size_t extension, list, host;

    put(hello, 0, 2); /* server_name */
    extension = begin_length(hello, 2);
    list = begin_length(hello, 2);
    put(hello, 0, 1); /* host_name */
    host = begin_length(hello, 2);
    for (; *name != '\0'; name++) {
        put(hello, (unsigned char)*name, 1);
    }
    end_length(hello, host, 2);
    end_length(hello, list, 2);
    end_length(hello, extension, 2);
}

static void put_protocols(struct hello *hello, const char *const *protocols)
{
    size_t extension, list;

    put(hello, 16, 2); /* application_layer_protocol_negotiation */
    extension = begin_length(hello, 2);
    list = begin_length(hello, 2);
    for (; *protocols != NULL; protocols++) {
        put(hello, (unsigned)strlen(*protocols), 1);
        for (const char *c = *protocols; *c != '\0'; c++) {
            put(hello, (unsigned char)*c, 1);
        }
    }
    end_length(hello, list, 2);
    end_length(hello, extension, 2);
}

/* With a key share of so many bytes: 1,800 is more than a post-quantum one. The
 * name may be NULL; protocols ends with NULL, or is NULL: none is offered. */
static struct hello make_offer(const char *name, unsigned share,
                               const char *const *protocols)
{
    struct hello hello = {.count = 0};
    size_t record, message, extensions;

    put(&hello, 0x160301, 3);
    record = begin_length(&hello, 2);
    put(&hello, 1, 1);
    message = begin_length(&hello, 3);
    put(&hello, 0x0303, 2);
    hello.count += 32; /* random */
    put(&hello, 0, 1); /* no session id */
    put(&hello, 2, 2); /* one cipher suite */
    put(&hello, 0x1301, 2);
    put(&hello, 0x0100, 2); /* no compression */
    extensions = begin_length(&hello, 2);
    put(&hello, 51, 2); /* key_share */
    put(&hello, share, 2);
    hello.count += share;
    if (protocols != NULL) {
        put_protocols(&hello, protocols);
    }
    if (name != NULL) {
        put_name(&hello, name);
    }
    end_length(&hello, extensions, 2);
    end_length(&hello, message, 3);
    end_length(&hello, record, 2);
    return hello;
}

static struct hello make_hello(const char *name, unsigned share)
{
    return make_offer(name, share, NULL);
}

/* ---- the proxy ---- */

/* Service a has a.example and most of x.example, b has b.example and
 * y.x.example, and web is the default. */
enum route { ROUTE_A, ROUTE_B, ROUTE_DEFAULT, ROUTES };

struct routes {
    struct loopback front;
    struct loopback back[ROUTES];
    int listeners[ROUTES];
    struct proxy *proxy;
};

/* Lines of the default service, whose name is web. */
static void routes_open(struct routes *routes, const char *service)
{
    routes->front = loopback_new();
    for (unsigned i = 0; i < ROUTES; i++) {
        routes->back[i] = loopback_new();
        routes->listeners[i] = socket_listen(&routes->back[i]);
    }
    routes->proxy = proxy_start(
        "[service a]\nlisten = %s\nupstream = %s\n"
        "sni = a.example, *.x.example\nheader_timeout = 300ms\n"
        "[service b]\nlisten = %s\nupstream = %s\n"
        "sni = B.example, y.x.example\n"
        "[service web]\nlisten = %s\nupstream = %s\n%s\n",
        routes->front.text, routes->back[ROUTE_A].text, routes->front.text,
        routes->back[ROUTE_B].text, routes->front.text,
        routes->back[ROUTE_DEFAULT].text, service);
}

/* The ClientHello, sent in pieces of so many bytes, comes to that upstream
 * unchanged. */
static void expect_route(const struct routes *routes, enum route route,
                         const struct hello *hello, size_t piece)
{
    int client = socket_connect(&routes->front);

    for (size_t i = 0; i < hello->count; i += piece) {
        size_t left = hello->count - i;

        socket_send(client, hello->bytes + i, left < piece ? left : piece);
    }
    int upstream = socket_accept(routes->listeners[route]);
    expect_bytes(upstream, hello->bytes, hello->count);
    socket_send_text(upstream, "and back");
    expect_text(client, "and back");
    socket_close(client);
    socket_close(upstream);
}

/* ---- routing ---- */

static void a_name_finds_its_service(void **state)
{
    static const struct {
        const char *name;
        enum route route;

    } rows[] = {
        {"a.example", ROUTE_A},           {"A.Example", ROUTE_A},
        {"b.example", ROUTE_B},           {"z.x.example", ROUTE_A},
        {"y.x.example", ROUTE_B},         {"x.example", ROUTE_DEFAULT},
        {"q.z.x.example", ROUTE_DEFAULT}, {"other.example", ROUTE_DEFAULT},
    };
    struct routes routes;
    (void)state;
    routes_open(&routes, "");
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct hello hello = make_hello(rows[i].name, 32);

        expect_route(&routes, rows[i].route, &hello, hello.count);
    }
    struct hello nameless = make_hello(NULL, 32);
    expect_route(&routes, ROUTE_DEFAULT, &nameless, nameless.count);
    proxy_stop(routes.proxy);
}

static void a_hello_may_come_in_any_pieces(void **state)
{
    struct hello small = make_hello("a.example", 32);
    struct hello large = make_hello("b.example", 1800);
    struct routes routes;

    (void)state;
    routes_open(&routes, "");
    expect_route(&routes, ROUTE_A, &small, 1);
    expect_route(&routes, ROUTE_B, &large, 1);
    expect_route(&routes, ROUTE_B, &large, 1448);
    proxy_stop(routes.proxy);
}

static void what_is_not_tls_goes_to_the_default_service(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "");
    int client = socket_connect(&routes.front);
    socket_send_text(client, "GET / HTTP/1.0\r\n\r\n");
    int server = socket_accept(routes.listeners[ROUTE_DEFAULT]);
    expect_text(server, "GET / HTTP/1.0\r\n\r\n");
    socket_close(client);
    socket_close(server);
    proxy_stop(routes.proxy);
}

static void without_a_default_service_there_is_no_route(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "sni = c.example");
    struct hello hello = make_hello("d.example", 32);
    int client = socket_connect(&routes.front);
    socket_send(client, hello.bytes, hello.count);
    expect_reset_after_fin(client);
    expect_connect_reset(NULL, &routes.front, "plain");
    stats_await(routes.proxy, "a", NULL, "ended_no_route", 2);
    stats_await(routes.proxy, "a", NULL, "accepted", 2);
    proxy_stop(routes.proxy);
}

static void a_hello_that_does_not_come_is_header_timeout(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "header_timeout = 300ms");
    struct hello hello = make_hello("a.example", 32);
    int client = socket_connect(&routes.front);
    socket_send(client, hello.bytes, 20);
    expect_reset_after_fin(client);
    stats_await(routes.proxy, "web", NULL, "ended_header_timeout", 1);
    proxy_stop(routes.proxy);
}

static void a_fin_within_a_hello_is_bad_header(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "");
    struct hello hello = make_hello("a.example", 32);
    int client = socket_connect(&routes.front);
    socket_send_last(client, hello.bytes, 20);
    expect_reset_after_fin(client);
    stats_await(routes.proxy, "web", NULL, "ended_bad_header", 1);
    proxy_stop(routes.proxy);
}

static void the_limits_are_those_of_the_named_service(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "deny = 127.0.0.0/8");
    struct hello hello = make_hello("a.example", 32);
    expect_route(&routes, ROUTE_A, &hello, hello.count);
    expect_connect_reset(NULL, &routes.front, "plain");
    stats_await(routes.proxy, "web", NULL, "ended_denied", 1);
    stats_await(routes.proxy, "a", NULL, "accepted", 1);
    proxy_stop(routes.proxy);
}

static void names_come_and_go_by_reload(void **state)
{
    struct routes routes;

    (void)state;
    routes_open(&routes, "");
    struct hello hello = make_hello("a.example", 32);
    int client = socket_connect(&routes.front);
    socket_send(client, hello.bytes, hello.count);
    int server = socket_accept(routes.listeners[ROUTE_A]);
    expect_bytes(server, hello.bytes, hello.count);
    proxy_configure(routes.proxy,
                    "[service b]\nlisten = %s\nupstream = %s\n"
                    "sni = a.example\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    routes.front.text, routes.back[ROUTE_B].text,
                    routes.front.text, routes.back[ROUTE_DEFAULT].text);
    proxy_reload(routes.proxy);
    expect_route(&routes, ROUTE_B, &hello, hello.count);
    socket_send_text(server, "still here");
    expect_text(client, "still here");
    socket_close(client);
    socket_close(server);
    proxy_stop(routes.proxy);
}

/* The second service claims what the first one has. */
static void services_of_one_address_may_not_conflict(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"sni = a.example", "sni = b.example, A.example"},
        {"sni = a.example",
         "proxy_protocol = on\nproxy_protocol_from = 127.0.0.1"},
    };
    struct command_result result;

    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[512];

        snprintf(text, sizeof(text),
                 "[service a]\nlisten = 127.0.0.1:81\n"
                 "upstream = 127.0.0.1:80\n%s\n"
                 "[service b]\nlisten = 127.0.0.1:81\n"
                 "upstream = 127.0.0.1:80\n%s\n",
                 rows[i][0], rows[i][1]);
        command_check(&result, "conflict.ini", text);
        assert_int_equal(result.status, 1);
        assert_non_null(strstr(result.err, "listen address 127.0.0.1:81"));
    }
}

/* Services in the order of the file, each with an upstream; expected is the
 * number of the one that takes what the client asks for. */
static const char *const offer_keys[] = {
    "",
    "sni = a.example",
    "alpn = acme-tls/1",
    "sni = *.example\nalpn = h2, acme-tls/1",
    "sni = a.example\nalpn = h2",
    "sni = b.example",
};
enum { OFFER_SERVICES = sizeof(offer_keys) / sizeof(*offer_keys) };
static const struct {
    const char *name;
    const char *protocols[4];
    unsigned expected;
} offers[] = {
    {"a.example", {NULL}, 1},
    {"a.example", {"http/1.1", "h2", NULL}, 4},
    {"A.EXAMPLE", {"h3", NULL}, 1},
    {"a.example", {"acme-tls/1", NULL}, 3},
    {"b.example", {"h2", NULL}, 3},
    {"b.example", {"http/1.1", NULL}, 5},
    {"b.example", {"H2", "h", "h22", NULL}, 5},
    {"other", {"http/1.1", "acme-tls/1", NULL}, 2},
    {"c.example", {"http/1.1", NULL}, 0},
    {NULL, {"acme-tls/1", NULL}, 2},
    {NULL, {"h2", NULL}, 0},
};

static void a_protocol_finds_its_service(void **state)
{
    struct loopback front = loopback_new();
    struct loopback back[OFFER_SERVICES];
    struct routes routes = {.front = front};
    int listeners[OFFER_SERVICES];
    char text[2048];
    int used = 0;

    (void)state;
    for (unsigned i = 0; i < OFFER_SERVICES; i++) {
        back[i] = loopback_new();
        listeners[i] = socket_listen(&back[i]);
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "[service s%u]\nlisten = %s\nupstream = %s\n%s\n", i,
                         front.text, back[i].text, offer_keys[i]);
    }
    routes.proxy = proxy_start("%s", text);
    for (unsigned i = 0; i < sizeof(offers) / sizeof(*offers); i++) {
        const char *const *protocols = offers[i].protocols;
        struct hello hello = make_offer(offers[i].name, 32,
                                        *protocols == NULL ? NULL : protocols);

        routes.listeners[0] = listeners[offers[i].expected];
        expect_route(&routes, 0, &hello, hello.count / 2 + 1);
    }
    proxy_stop(routes.proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_name_finds_its_service),
        E2E(a_protocol_finds_its_service),
        E2E(a_hello_may_come_in_any_pieces),
        E2E(what_is_not_tls_goes_to_the_default_service),
        E2E(without_a_default_service_there_is_no_route),
        E2E(a_hello_that_does_not_come_is_header_timeout),
        E2E(a_fin_within_a_hello_is_bad_header),
        E2E(the_limits_are_those_of_the_named_service),
        E2E(names_come_and_go_by_reload),
        E2E(services_of_one_address_may_not_conflict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
