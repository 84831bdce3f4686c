/* Health checks that speak TLS. */
#include "answerer.h"
#include "expect.h"
#include "identity.h"
#include "loopback.h"
#include "proxy.h"
#include "serve.h"
#include "server.h"
#include "teardown.h"
#include "tls_socket.h"
#include "tls_upstream.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

#define QUICK                                                                  \
    "health_interval = 50ms\nhealth_timeout = 500ms\nhealth_rise = 1\n"        \
    "health_fall = 2\n"
#define HTTP "health_check = http\n" QUICK

/* An upstream on 127.0.0.1 with that identity, which answers by HTTP. */
struct scene {
    struct answerer answerer;
    struct tls_service secure;
    struct loopback front;
    struct loopback back;
    struct server *server;
};

static void open_scene(struct scene *scene, const struct identity *identity)
{
    scene->answerer = (struct answerer)ANSWERER_HTTP(ANSWERER_OK);
    scene->secure = (struct tls_service){
        .options = {.identity = identity, .alpn = "h2,http/1.1"},
        .serve = answerer_serve,
        .arg = &scene->answerer,
    };
    scene->front = loopback_new();
    scene->back = loopback_on("127.0.0.1");
    scene->server = server_start(&scene->back, serve_tls, &scene->secure);
}

static struct proxy *start(const struct scene *scene, const char *keys)
{
    return proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s",
                       scene->front.text, scene->back.text, keys);
}

static void checks_of_upstreams_with_tls_speak_it(void **state)
{
    struct scene scene;

    (void)state;
    open_scene(&scene, tls_upstream_identity());
    /* Clients' protocols are not those of a check. */
    struct proxy *proxy =
        start(&scene,
              tls_upstream_keys(identity_authority(), "tls_alpn = h2\n" HTTP));
    answerer_await(&scene.answerer, 5);
    assert_int_equal(proxy_count(proxy, "state=down"), 0);
    scene.answerer.answer = ANSWERER_DOWN;
    proxy_line(proxy, "state=down cause=status=503$");
    assert_int_equal(scene.answerer.reset, 0);
    proxy_stop(proxy);
}

static void a_certificate_that_nobody_trusts_fails(void **state)
{
    const struct identity_options options = {.names = "IP:127.0.0.1"};
    struct identity alone = identity_new("checked-alone", &options);
    struct scene scene;

    (void)state;
    open_scene(&scene, &alone);
    struct proxy *proxy =
        start(&scene, tls_upstream_keys(identity_authority(), HTTP));
    proxy_line(proxy,
               "state=down cause=tls reason=\"self-signed certificate\"");
    assert_int_equal(scene.answerer.asked, 0);
    proxy_stop(proxy);
    proxy = start(&scene, tls_upstream_keys(NULL, HTTP));
    answerer_await(&scene.answerer, 3);
    proxy_stop(proxy);
}

static void the_certificate_must_have_the_name(void **state)
{
    struct identity other = identity_for("checked-other", "DNS:other.example");
    struct scene scene;

    (void)state;
    open_scene(&scene, &other);
    struct proxy *proxy =
        start(&scene, tls_upstream_keys(identity_authority(), HTTP));
    proxy_line(proxy, "state=down cause=tls reason=\".*mismatch\"");
    proxy_stop(proxy);
    proxy = start(
        &scene, tls_upstream_keys(identity_authority(),
                                  "upstream_tls_name = other.example\n" HTTP));
    answerer_await(&scene.answerer, 3);
    proxy_stop(proxy);
}

/* TLS in checks alone: clients bring their own. */
static void checks_may_speak_it_where_clients_pass_it_through(void **state)
{
    struct scene scene;
    char keys[512];

    (void)state;
    open_scene(&scene, tls_upstream_identity());
    snprintf(keys, sizeof(keys), HTTP "health_tls = yes\nupstream_tls_ca = %s",
             identity_authority()->certificate);
    struct proxy *proxy = start(&scene, keys);
    answerer_await(&scene.answerer, 4);
    assert_int_equal(proxy_count(proxy, "state=down"), 0);
    proxy_stop(proxy);
}

static void checks_may_be_plain_where_upstreams_speak_it(void **state)
{
    struct loopback back = loopback_on("127.0.0.1");
    struct loopback front = loopback_new();
    struct server *server = server_start(&back, serve_close, NULL);
    const char *keys = tls_upstream_keys(
        identity_authority(), "health_check = tcp\n" QUICK "health_tls = no");

    (void)state;
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nupstream = %s\n%s", front.text,
                    back.text, keys);
    wait_until(server_accepted(server) >= 5);
    assert_int_equal(proxy_count(proxy, "state=down"), 0);
    /* With TLS a server that closes has failed. */
    proxy_configure(
        proxy, "[service web]\nlisten = %s\nupstream = %s\n%s", front.text,
        back.text,
        tls_upstream_keys(identity_authority(), "health_check = tcp\n" QUICK));
    proxy_reload(proxy);
    proxy_line(proxy, "state=down cause=tls reason=");
    proxy_stop(proxy);
}

static void a_silent_handshake_ends_at_the_timeout(void **state)
{
    struct loopback back = loopback_on("127.0.0.1");
    struct loopback front = loopback_new();

    (void)state;
    server_start(&back, serve_discard, NULL);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n%s", front.text, back.text,
        tls_upstream_keys(identity_authority(), "health_check = tcp\n" QUICK));
    proxy_line(proxy, "state=down cause=timeout$");
    proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(checks_of_upstreams_with_tls_speak_it),
        E2E(a_certificate_that_nobody_trusts_fails),
        E2E(the_certificate_must_have_the_name),
        E2E(checks_may_speak_it_where_clients_pass_it_through),
        E2E(checks_may_be_plain_where_upstreams_speak_it),
        E2E(a_silent_handshake_ends_at_the_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
