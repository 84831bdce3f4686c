/* Services that share an address and go by the name in the ClientHello. */
#include "harness.h"

#include <stdio.h>
#include <sys/socket.h>

enum { HELLO_MAX = 4096 };

struct hello {
    unsigned char bytes[HELLO_MAX];
    size_t count;
};

static void put(struct hello *hello, unsigned value, unsigned bytes)
{
    while (bytes-- > 0) {
        hello->bytes[hello->count++] = (unsigned char)(value >> (8 * bytes));
    }
}

/* The length of what stands behind the place, in so many bytes at it. */
static void close_length(struct hello *hello, size_t place, unsigned bytes)
{
    size_t end = hello->count;

    hello->count = place;
    put(hello, (unsigned)(end - place - bytes), bytes);
    hello->count = end;
}

static size_t open_length(struct hello *hello, unsigned bytes)
{
    size_t place = hello->count;

    put(hello, 0, bytes);
    return place;
}

static void put_name(struct hello *hello, const char *name)
{
    put(hello, 0, 2); /* server_name */
    size_t extension = open_length(hello, 2);
    size_t list = open_length(hello, 2);
    put(hello, 0, 1); /* host_name */
    size_t host = open_length(hello, 2);
    for (; *name != '\0'; name++) {
        put(hello, (unsigned char)*name, 1);
    }
    close_length(hello, host, 2);
    close_length(hello, list, 2);
    close_length(hello, extension, 2);
}

/* As long as one with a post-quantum key share; name NULL: without one. */
static struct hello make_hello(const char *name, unsigned share)
{
    struct hello hello = {.count = 0};

    put(&hello, 0x160301, 3);
    size_t record = open_length(&hello, 2);
    put(&hello, 1, 1);
    size_t message = open_length(&hello, 3);
    put(&hello, 0x0303, 2);
    hello.count += 32; /* random */
    put(&hello, 0, 1); /* no session id */
    put(&hello, 2, 2); /* one cipher suite */
    put(&hello, 0x1301, 2);
    put(&hello, 0x0100, 2); /* no compression */
    size_t extensions = open_length(&hello, 2);
    put(&hello, 51, 2); /* key_share */
    put(&hello, share, 2);
    hello.count += share;
    if (name != NULL) {
        put_name(&hello, name);
    }
    close_length(&hello, extensions, 2);
    close_length(&hello, message, 3);
    close_length(&hello, record, 2);
    return hello;
}

/* Three services at one address: a, some under x, and the rest. */
struct names {
    struct place front;
    struct place back[3]; /* a.example, *.x.example; b.example; the rest */
    int listeners[3];
    struct proxy *proxy;
};

static void names_open(struct names *names, const char *rest)
{
    names->front = place_new();
    for (unsigned i = 0; i < 3; i++) {
        names->back[i] = place_new();
        names->listeners[i] = listen_on(&names->back[i]);
    }
    names->proxy = proxy_start(
        "[service a]\nlisten = %s\nupstream = %s\n"
        "sni = a.example, *.x.example\nheader_timeout = 300ms\n"
        "[service b]\nlisten = %s\nupstream = %s\n"
        "sni = B.example, y.x.example\n"
        "[service web]\nlisten = %s\nupstream = %s\n%s\n",
        names->front.text, names->back[0].text, names->front.text,
        names->back[1].text, names->front.text, names->back[2].text, rest);
}

static void expect_hello(int fd, const struct hello *hello)
{
    unsigned char got[HELLO_MAX];
    size_t count = 0;

    while (count < hello->count) {
        ssize_t n;
        eventually((n = recv(fd, got + count, sizeof got - count, 0)) != -1);
        assert_true(n > 0);
        count += (size_t)n;
    }
    assert_int_equal(count, hello->count);
    assert_memory_equal(got, hello->bytes, count);
}

/* It comes to that upstream, unchanged, in pieces of so many bytes. */
static void expect_at(const struct names *names, unsigned upstream,
                      const struct hello *hello, size_t piece)
{
    int client = dial(&names->front);

    for (size_t i = 0; i < hello->count; i += piece) {
        size_t left = hello->count - i;
        send_bytes(client, hello->bytes + i, left < piece ? left : piece);
    }
    int server = take(names->listeners[upstream]);
    expect_hello(server, hello);
    send_text(server, "and back");
    expect_text(client, "and back");
    hang_up(client);
    hang_up(server);
}

static void a_name_finds_its_service(void **state)
{
    static const struct {
        const char *name;
        unsigned upstream;
    } rows[] = {
        {"a.example", 0},     {"A.Example", 0},     {"b.example", 1},
        {"z.x.example", 0},   {"y.x.example", 1},   {"x.example", 2},
        {"q.z.x.example", 2}, {"other.example", 2},
    };
    struct names names;
    (void)state;
    names_open(&names, "");
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hello hello = make_hello(rows[i].name, 32);
        expect_at(&names, rows[i].upstream, &hello, hello.count);
    }
    struct hello nameless = make_hello(NULL, 32);
    expect_at(&names, 2, &nameless, nameless.count);
    proxy_stop(names.proxy);
}

static void a_hello_may_come_in_any_pieces(void **state)
{
    struct hello small = make_hello("a.example", 32);
    struct hello large = make_hello("b.example", 1800);
    struct names names;
    (void)state;
    names_open(&names, "");
    expect_at(&names, 0, &small, 1);
    expect_at(&names, 1, &large, 1);
    expect_at(&names, 1, &large, 1448);
    proxy_stop(names.proxy);
}

static void what_is_not_tls_goes_to_the_rest(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "");
    int client = dial(&names.front);
    send_text(client, "GET / HTTP/1.0\r\n\r\n");
    int server = take(names.listeners[2]);
    expect_text(server, "GET / HTTP/1.0\r\n\r\n");
    hang_up(client);
    hang_up(server);
    proxy_stop(names.proxy);
}

static void without_a_rest_it_has_no_route(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "sni = c.example");
    struct hello hello = make_hello("d.example", 32);
    int client = dial(&names.front);
    send_bytes(client, hello.bytes, hello.count);
    expect_broken(client);
    expect_refused(NULL, &names.front, "plain");
    stat_await(names.proxy, "a", NULL, "ended_no_route", 2);
    assert_int_equal(stat_get(names.proxy, "a", NULL, "accepted"), 2);
    proxy_stop(names.proxy);
}

static void a_hello_that_does_not_come_is_header_timeout(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "header_timeout = 300ms");
    struct hello hello = make_hello("a.example", 32);
    int client = dial(&names.front);
    send_bytes(client, hello.bytes, 20);
    expect_broken(client);
    stat_await(names.proxy, "web", NULL, "ended_header_timeout", 1);
    proxy_stop(names.proxy);
}

static void a_fin_within_a_hello_is_bad_header(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "");
    struct hello hello = make_hello("a.example", 32);
    int client = dial(&names.front);
    send_last(client, hello.bytes, 20);
    expect_broken(client);
    stat_await(names.proxy, "web", NULL, "ended_bad_header", 1);
    proxy_stop(names.proxy);
}

static void the_limits_are_those_of_the_named_service(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "deny = 127.0.0.0/8");
    struct hello hello = make_hello("a.example", 32);
    expect_at(&names, 0, &hello, hello.count);
    expect_refused(NULL, &names.front, "plain");
    stat_await(names.proxy, "web", NULL, "ended_denied", 1);
    stat_await(names.proxy, "a", NULL, "accepted", 1);
    proxy_stop(names.proxy);
}

static void names_come_and_go_by_reload(void **state)
{
    struct names names;
    (void)state;
    names_open(&names, "");
    struct hello hello = make_hello("a.example", 32);
    int client = dial(&names.front);
    send_bytes(client, hello.bytes, hello.count);
    int server = take(names.listeners[0]);
    expect_hello(server, &hello);
    proxy_configure(names.proxy,
                    "[service b]\nlisten = %s\nupstream = %s\n"
                    "sni = a.example\n"
                    "[service web]\nlisten = %s\nupstream = %s\n",
                    names.front.text, names.back[1].text, names.front.text,
                    names.back[2].text);
    proxy_reload(names.proxy);
    expect_at(&names, 1, &hello, hello.count);
    send_text(server, "still here");
    expect_text(client, "still here");
    hang_up(client);
    hang_up(server);
    proxy_stop(names.proxy);
}

static void two_services_may_not_claim_the_same(void **state)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"sni = a.example", "sni = b.example, A.example"},
        {"sni = a.example",
         "proxy_protocol = on\nproxy_protocol_from = 127.0.0.1"},
    };
    struct outcome outcome;
    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "[service a]\nlisten = 127.0.0.1:81\n"
                 "upstream = 127.0.0.1:80\n%s\n"
                 "[service b]\nlisten = 127.0.0.1:81\n"
                 "upstream = 127.0.0.1:80\n%s\n",
                 rows[i][0], rows[i][1]);
        const char *const arguments[] = {"evproxy", "-t", "-c",
                                         file_write("claims.ini", text), NULL};
        run_once(&outcome, arguments);
        assert_int_equal(outcome.status, 1);
        assert_non_null(strstr(outcome.err, "listen address 127.0.0.1:81"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_name_finds_its_service),
        E2E(a_hello_may_come_in_any_pieces),
        E2E(what_is_not_tls_goes_to_the_rest),
        E2E(without_a_rest_it_has_no_route),
        E2E(a_hello_that_does_not_come_is_header_timeout),
        E2E(a_fin_within_a_hello_is_bad_header),
        E2E(the_limits_are_those_of_the_named_service),
        E2E(names_come_and_go_by_reload),
        E2E(two_services_may_not_claim_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
