/*
 * TLS behind names: new addresses of an upstream touch no file and no session.
 */
#include "file.h"
#include "identity.h"
#include "nameserver.h"
#include "pair.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ADDED "^resolve name=up.example addresses=2 added=1"

/* A proxy whose upstream is a name with the address of back. */
static struct proxy *start(const struct loopback *front,
                           const struct loopback *back, const char *service)
{
    struct proxy *proxy;

    nameserver_answer("127.1.0.5");
    proxy =
        proxy_start("[global]\nworkers = 1\n[service web]\nlisten = %s\n"
                    "upstream = %s\nresolve_interval = 100ms\n%s",
                    front->text, loopback_at("up.example", back).text, service);
    proxy_line(proxy, "^resolve name=up.example addresses=1 ");
    return proxy;
}

static void new_answers_read_no_file(void **state)
{
    struct identity mine = identity_for("mine", "DNS:a.example");
    struct tls_options client = tls_fixture_client(0);
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.1.0.5");
    int listener = socket_listen(&back);
    struct proxy *proxy = start(&front, &back, tls_fixture_keys(&mine));

    (void)state;
    assert_int_equal(unlink(mine.certificate), 0);
    assert_int_equal(unlink(mine.key), 0);
    nameserver_answer("127.1.0.5 127.1.0.2");
    proxy_line(proxy, ADDED);
    struct pair pair = {.client = tls_socket_connect(&front, &client)};
    pair.upstream = socket_accept(listener);
    assert_string_equal(tls_socket_peer(pair.client), "mine");
    pair_ping(&pair);
    proxy_stop(proxy);
}

/* The new address, which nobody serves, sorts before the old one. */
static void an_upstream_that_stays_resumes_its_session(void **state)
{
    struct tls_options upstream = tls_upstream_options(0);
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.1.0.5");
    int listener = socket_listen(&back);
    struct proxy *proxy =
        start(&front, &back, tls_upstream_keys(identity_authority(), ""));

    (void)state;
    upstream.context = tls_options_context(&upstream, true);
    assert_non_null(upstream.context);
    for (unsigned round = 0; round < 2; round++) {
        struct pair pair = {.client = socket_connect(&front)};

        pair.upstream = tls_socket_accept(listener, &upstream);
        pair_ping(&pair);
        assert_int_equal(SSL_session_reused(tls_socket_ssl(pair.upstream)),
                         round);
        pair_close(&pair);
        nameserver_answer("127.1.0.5 127.1.0.2");
        proxy_line(proxy, ADDED);
    }
    proxy_stop(proxy);
    SSL_CTX_free(upstream.context);
}

/* An upstream in an SRV record with the target at-127-1-0-5.example. */
static struct pair connect_srv(struct proxy **proxy,
                               const struct tls_options *upstream,
                               const char *service)
{
    struct loopback front = loopback_new();
    struct loopback back = loopback_on("127.1.0.5");
    int listener = socket_listen(&back);
    char records[100];

    snprintf(records, sizeof(records), "1 1 at-127-1-0-5.example:%s",
             strrchr(back.text, ':') + 1);
    nameserver_answer_records(records, 60);
    *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = srv:_web._tcp.example\n%s",
        front.text, tls_upstream_keys(identity_authority(), service));
    wait_until(stats_listed(*proxy, "web", back.text));

    struct pair pair = {.client = socket_connect(&front)};
    pair.upstream = tls_socket_accept(listener, upstream);
    return pair;
}

static void an_srv_upstream_has_the_name_of_its_target(void **state)
{
    struct identity identity =
        identity_for("target", "DNS:at-127-1-0-5.example");
    struct tls_options upstream = {.identity = &identity};
    struct proxy *proxy;
    struct pair pair = connect_srv(&proxy, &upstream, "");

    (void)state;
    assert_string_equal(tls_socket_server_name(pair.upstream),
                        "at-127-1-0-5.example");
    pair_ping(&pair);
    proxy_stop(proxy);
}

static void or_the_name_that_is_set(void **state)
{
    struct tls_options upstream = tls_upstream_options(0);
    struct proxy *proxy;
    struct pair pair = connect_srv(&proxy, &upstream, TLS_UPSTREAM_NAMED);

    (void)state;
    assert_string_equal(tls_socket_server_name(pair.upstream), "up.example");
    pair_ping(&pair);
    proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NAMES(new_answers_read_no_file),
        NAMES(an_upstream_that_stays_resumes_its_session),
        NAMES(an_srv_upstream_has_the_name_of_its_target),
        NAMES(or_the_name_that_is_set),
    };

    nameserver_start();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
