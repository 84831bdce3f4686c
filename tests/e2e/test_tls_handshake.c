/*
 * Before the first byte: handshakes in pieces, handshakes that fail or never
 * end, which certificate is shown to whom, and what is agreed on.
 */
#include "secure.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HELLO_MAX = 4096 };

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* ---- in pieces ---- */

static void a_handshake_may_come_byte_by_byte(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        how.drops = true;
        struct pair pair = secure_pair(&scene, &how);
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

/* No edge tells of the bytes behind the handshake when they were read with
 * it. */
static void first_bytes_may_come_with_the_end_of_the_handshake(void **state)
{
    struct scene scene;
    struct secure how = secure_client(TLS1_3_VERSION);
    (void)state;
    how.together = true;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client = secure_dial(&scene.front, &how)};
        send_text(pair.client, "first");
        pair.upstream = take(scene.listener);
        expect_text(pair.upstream, "first");
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

static void all_of_a_stream_may_come_with_the_end_of_the_handshake(void **state)
{
    struct scene scene;
    struct secure how = secure_client(TLS1_3_VERSION);
    (void)state;
    how.together = true;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client = secure_dial(&scene.front, &how)};
        send_last(pair.client, "all of it", 9);
        pair.upstream = take(scene.listener);
        expect_text(pair.upstream, "all of it");
        expect_eof(pair.upstream);
        send_last(pair.upstream, "answer", 6);
        expect_text(pair.client, "answer");
        expect_eof(pair.client);
        pair_hang_up(&pair);
    }
    await_cause(scene.proxy, "client_fin", 20);
    scene_close(&scene);
}

/* An upstream that is slow to take it changes nothing. */
static void bytes_wait_while_the_upstream_is_connected(void **state)
{
    struct place front = place_new();
    struct place silent = silent_place();
    struct place back = place_new();
    struct secure how = secure_client(TLS1_3_VERSION);
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n"
        "upstream = %s backup\nconnect_timeout = 300ms\n%s",
        front.text, silent.text, back.text, secure_keys(secure_server()));
    struct pair pair = {.client = secure_dial(&front, &how)};
    struct flow out = {.fd = pair.client, .seed = 1, .bytes = 1 << 20};
    struct flow in = {.seed = 1, .bytes = out.bytes, .finish = true};
    out.finish = true;
    flow_send(&out);
    pair.upstream = in.fd = take(listener);
    flow_receive(&in);
    flow_join(&out);
    flow_join(&in);
    proxy_stop(proxy);
}

/* ---- none, or not whole ---- */

static void a_handshake_that_never_ends_runs_into_the_timeout(void **state)
{
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    size_t whole = secure_hello(&how, hello, sizeof hello);
    const size_t parts[] = {0, 1, 5, whole / 2, whole - 1, whole};
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = 300ms");
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        int64_t begin = time_ms();
        int fd = dial(&scene.front);
        send_bytes(fd, hello, parts[i]);
        await_cause(scene.proxy, "header_timeout", i + 1);
        assert_true(time_ms() - begin >= 295);
        hang_up(fd);
    }
    expect_silence(scene.listener, 0);
    stat_await(scene.proxy, NULL, NULL, "active", 0);
    scene_close(&scene);
}

static void drops_do_not_extend_the_timeout(void **state)
{
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    size_t whole = secure_hello(&how, hello, sizeof hello);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = 300ms");
    int64_t begin = time_ms();
    int fd = dial(&scene.front);
    for (size_t i = 0; i + 1 < whole && time_ms() - begin < 250; i++) {
        send_bytes(fd, hello + i, 1);
        time_tick();
    }
    await_cause(scene.proxy, "header_timeout", 1);
    assert_true(test_slow() || time_ms() - begin < 1500);
    scene_close(&scene);
}

static void the_timeout_ends_with_the_handshake(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = 500ms");
    struct pair pair = secure_pair(&scene, &how);
    expect_silence(pair.upstream, 700);
    pair_ping(&pair);
    scene_close(&scene);
}

static void one_in_a_handshake_ends_with_the_process(void **state)
{
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "drain_timeout = 300ms", "header_timeout = off");
    int fd = dial(&scene.front);
    send_bytes(fd, hello, secure_hello(&how, hello, sizeof hello));
    stat_await(scene.proxy, "web", NULL, "active", 1);
    proxy_signal(scene.proxy, SIGTERM);
    assert_int_equal(proxy_wait(scene.proxy), 0);
}

static void those_in_a_handshake_hold_no_block(void **state)
{
    enum { COUNT = 100 };
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    size_t whole = secure_hello(&how, hello, sizeof hello);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < COUNT; i++) {
        send_bytes(dial(&scene.front), hello, i % 2 ? whole : whole / 2);
    }
    stat_await(scene.proxy, "web", NULL, "active", COUNT);
    assert_int_equal(stat_get(scene.proxy, NULL, NULL, "buffers_lent"), 0);
    scene_close(&scene);
}

/* ---- what is no handshake ---- */

struct bytes {
    const char *text;
    size_t count;
};

#define BYTES(text)                                                            \
    {                                                                          \
        text, sizeof(text) - 1                                                 \
    }

static const struct bytes WRONG[] = {
    BYTES("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"),
    BYTES("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n"),
    BYTES("SSH-2.0-OpenSSH_9.2\r\n"),
    BYTES("\0\0\0\0\0\0\0\0\0\0\0\0"),
    BYTES("\xff\xff\xff\xff\xff\xff\xff\xff"),
    BYTES("\x80\x0c\x01\0\2\0\3\0\0\0\0\1\2\3"), /* SSL 2.0 */
    BYTES("\x15\3\1\0\2\2\x28"),                 /* an alert */
    BYTES("\x17\3\3\0\1\0"),                     /* data */
    BYTES("\x16\3\1\xff\xff\1"),                 /* too large */
    BYTES("\x16\3\1\0\4\1\0\0\0"),               /* empty */
    BYTES("\x16\3\1\0\4\2\0\0\0"),               /* of a server */
};

static void what_is_no_handshake_is_a_tls_error(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof WRONG / sizeof *WRONG; i++) {
        int fd = dial(&scene.front);
        send_bytes(fd, WRONG[i].text, WRONG[i].count);
        await_cause(scene.proxy, "tls_error", i + 1);
        hang_up(fd);
    }
    expect_silence(scene.listener, 0);
    stat_await(scene.proxy, "web", NULL, "active", 0);
    scene_close(&scene);
}

/* One line for all of a second, whoever sends them. */
static void failed_handshakes_fill_no_log(void **state)
{
    enum { BAD = 60 };
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "workers = 2", "");
    int64_t begin = time_ms();
    for (unsigned i = 0; i < BAD; i++) {
        int fd = dial(&scene.front);
        send_text(fd, "nonsense, all of it\r\n");
        expect_gone(fd);
        hang_up(fd);
    }
    await_cause(scene.proxy, "tls_error", BAD);
    unsigned seconds = (unsigned)((time_ms() - begin) / 1000);
    unsigned lines = proxy_count(scene.proxy, "tls.* service=web .*count=");
    assert_in_range(lines, 1, 1 + seconds);
    scene_close(&scene);
}

static void a_stream_that_ends_in_a_handshake_is_let_go(void **state)
{
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    size_t whole = secure_hello(&how, hello, sizeof hello);
    const size_t parts[] = {0, 1, whole / 2, whole};
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        int fd = dial(&scene.front);
        send_bytes(fd, hello, parts[i]);
        finish(fd);
        await_cause(scene.proxy, "tls_error", i + 1);
        hang_up(fd);
    }
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

static void a_reset_in_a_handshake_is_the_clients(void **state)
{
    unsigned char hello[HELLO_MAX];
    struct secure how = secure_client(0);
    size_t whole = secure_hello(&how, hello, sizeof hello);
    const size_t parts[] = {0, 1, whole / 2, whole};
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "header_timeout = off");
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        int fd = dial(&scene.front);
        send_bytes(fd, hello, parts[i]);
        stat_await(scene.proxy, "web", NULL, "active", 1);
        reset(fd);
        await_cause(scene.proxy, "client_reset", i + 1);
    }
    scene_close(&scene);
}

/* ---- versions and ciphers ---- */

static void old_versions_are_refused(void **state)
{
    struct scene scene;
    struct secure how = secure_client(TLS1_1_VERSION);
    (void)state;
    how.ca = NULL;
    secure_scene_open(&scene, "", "");
    secure_expect_no_entry(&scene.front, &how, "protocol version");
    await_cause(scene.proxy, "tls_error", 1);
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

static void the_least_version_may_be_1_3(void **state)
{
    struct scene scene;
    struct secure old = secure_client(TLS1_2_VERSION);
    struct secure both = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", "tls_min_version = 1.3");
    secure_expect_no_entry(&scene.front, &old, "protocol version");
    await_cause(scene.proxy, "tls_error", 1);
    struct pair pair = secure_pair(&scene, &both);
    assert_int_equal(SSL_version(secure_ssl(pair.client)), TLS1_3_VERSION);
    pair_ping(&pair);
    scene_close(&scene);
}

/* The certificate is for ECDSA. */
static void a_client_without_a_cipher_of_ours_is_refused(void **state)
{
    struct scene scene;
    struct secure how = secure_client(TLS1_2_VERSION);
    (void)state;
    how.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    secure_scene_open(&scene, "", "");
    secure_expect_no_entry(&scene.front, &how, "handshake failure");
    await_cause(scene.proxy, "tls_error", 1);
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

/* ---- whose certificate ---- */

/* One proxy for the tests of names. */
static void expect_shown(const struct scene *scene, const char *name,
                         const char *type)
{
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = {.name = name, .version = VERSIONS[i]};
        struct pair pair = secure_pair(scene, &how);
        assert_string_equal(secure_peer(pair.client), type);
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
}

static void the_name_picks_the_certificate(void **state)
{
    struct identity first = identity_for("first", "DNS:first.example");
    struct identity wild = identity_for("wild", "DNS:*.wild.example");
    struct identity exact =
        identity_for("exact", "DNS:exact.wild.example, DNS:other.example");
    struct identity last = identity_for("last", "DNS:first.example");
    struct scene scene;
    char keys[2048];
    (void)state;
    snprintf(keys, sizeof keys, "%s%s%s%s", secure_keys(&first),
             secure_keys(&wild), secure_keys(&exact), secure_keys(&last));
    scene_open(&scene, "", keys);
    expect_shown(&scene, "first.example", "first");
    expect_shown(&scene, "a.wild.example", "wild");
    expect_shown(&scene, "A.WILD.example", "wild");
    expect_shown(&scene, "exact.wild.example", "exact");
    expect_shown(&scene, "Other.Example", "exact");
    expect_shown(&scene, "a.b.wild.example", "first");
    expect_shown(&scene, "wild.example", "first");
    expect_shown(&scene, "unknown.example", "first");
    expect_shown(&scene, NULL, "first");
    scene_close(&scene);
}

static void a_name_may_have_certificates_of_two_kinds(void **state)
{
    static const struct secure rsa[] = {
        {.name = "a.example",
         .version = TLS1_2_VERSION,
         .ciphers = "ECDHE-RSA-AES128-GCM-SHA256"},
        {.name = "a.example",
         .version = TLS1_3_VERSION,
         .signatures = "RSA-PSS+SHA256"}};
    static const struct secure ecdsa[] = {
        {.name = "a.example",
         .version = TLS1_2_VERSION,
         .ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {.name = "a.example",
         .version = TLS1_3_VERSION,
         .signatures = "ECDSA+SHA256"}};
    struct identity with_rsa =
        identity_new("rsa", &(struct identity_wish){.names = "DNS:a.example",
                                                    .issuer = authority(),
                                                    .rsa = true});
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", secure_keys(&with_rsa));
    for (unsigned i = 0; i < 2; i++) {
        struct pair pair = secure_pair(&scene, &rsa[i]);
        assert_string_equal(secure_peer(pair.client), "rsa");
        pair_ping(&pair);
        pair = secure_pair(&scene, &ecdsa[i]);
        assert_string_equal(secure_peer(pair.client), "server");
        pair_ping(&pair);
    }
    scene_close(&scene);
}

/* The whole chain is sent, so that trusting the root is enough. */
static void the_chain_is_shown(void **state)
{
    struct identity middle =
        identity_new("middle", &(struct identity_wish){.issuer = authority(),
                                                       .authority = true});
    struct identity leaf =
        identity_new("leaf", &(struct identity_wish){.names = "DNS:a.example",
                                                     .issuer = &middle});
    struct secure how = secure_client(0);
    struct scene scene;
    (void)state;
    identity_append(&leaf, &middle);
    scene_open(&scene, "", secure_keys(&leaf));
    struct pair pair = secure_pair(&scene, &how);
    assert_string_equal(secure_peer(pair.client), "leaf");
    pair_ping(&pair);
    scene_close(&scene);
}

static void a_key_may_be_in_the_certificates_file(void **state)
{
    struct identity both = identity_for("joined", "DNS:a.example");
    struct secure how = secure_client(0);
    struct scene scene;
    char keys[512];
    (void)state;
    identity_join(&both);
    snprintf(keys, sizeof keys, "tls_certificate = %s\n", both.certificate);
    scene_open(&scene, "", keys);
    struct pair pair = secure_pair(&scene, &how);
    assert_string_equal(secure_peer(pair.client), "joined");
    pair_ping(&pair);
    scene_close(&scene);
}

/* ---- services that share an address ---- */

/* TLS of a and of b ends here, c's and that of all others does not. */
struct names {
    struct place front;
    struct place back[4];
    int listeners[4];
    struct proxy *proxy;
};

static void names_open(struct names *names)
{
    struct identity a = identity_for("cert-a", "DNS:a.example");
    struct identity b = identity_for("cert-b", "DNS:b.example");
    names->front = place_new();
    for (unsigned i = 0; i < 4; i++) {
        names->back[i] = place_new();
        names->listeners[i] = listen_on(&names->back[i]);
    }
    names->proxy = proxy_start(
        "[service a]\nlisten = %s\nupstream = %s\nsni = a.example\n%s"
        "[service b]\nlisten = %s\nupstream = %s\nsni = *.example\n%s"
        "[service c]\nlisten = %s\nupstream = %s\nsni = c.example\n"
        "[service web]\nlisten = %s\nupstream = %s\n",
        names->front.text, names->back[0].text, secure_keys(&a),
        names->front.text, names->back[1].text, secure_keys(&b),
        names->front.text, names->back[2].text, names->front.text,
        names->back[3].text);
}

static void expect_ended_here(const struct names *names, unsigned service,
                              const struct secure *how, const char *type)
{
    struct pair pair = {.client = secure_dial(&names->front, how)};
    assert_string_equal(secure_peer(pair.client), type);
    pair.upstream = take(names->listeners[service]);
    pair_ping(&pair);
    pair_hang_up(&pair);
}

/* The upstream's own TLS, which cannot be in one thread's hand at both ends:
 * it serves by itself. */
static void expect_passed_through(const struct place *front,
                                  const struct secure *how)
{
    int fd = secure_dial(front, how);
    assert_string_equal(secure_peer(fd), "cert-c");
    send_text(fd, "echo");
    expect_text(fd, "echo");
    hang_up(fd);
}

static void services_of_one_address_have_certificates_of_their_own(void **state)
{
    struct names names;
    (void)state;
    names_open(&names);
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        expect_ended_here(&names, 0, &how, "cert-a");
        how.name = "b.example";
        expect_ended_here(&names, 1, &how, "cert-b");
        how.drops = true;
        expect_ended_here(&names, 1, &how, "cert-b");
    }
    int plain = dial(&names.front);
    send_text(plain, "GET / HTTP/1.0\r\n\r\n");
    struct pair pair = {.client = plain, .upstream = take(names.listeners[3])};
    expect_text(pair.upstream, "GET / HTTP/1.0\r\n\r\n");
    pair_ping(&pair);
    proxy_stop(names.proxy);
}

static void another_service_of_the_address_may_pass_tls_through(void **state)
{
    struct names names;
    struct identity c = identity_for("cert-c", "DNS:c.example, DNS:other");
    struct secure_service echo = {.how = {.identity = &c}, .fn = serve_echo};
    struct secure how = secure_client(0);
    (void)state;
    names_open(&names);
    hang_up(names.listeners[2]);
    hang_up(names.listeners[3]);
    struct server *known = server_start(&names.back[2], serve_secure, &echo);
    struct server *rest = server_start(&names.back[3], serve_secure, &echo);
    how.name = "c.example";
    expect_passed_through(&names.front, &how);
    how.drops = true;
    expect_passed_through(&names.front, &how);
    how.name = "other";
    expect_passed_through(&names.front, &how);
    assert_int_equal(server_accepted(known), 2);
    assert_int_equal(server_accepted(rest), 1);
    proxy_stop(names.proxy);
    server_stop(known);
    server_stop(rest);
}

/* ---- behind and before PROXY headers ---- */

#define TRUSTING "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n"

static const char V1[] = "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n";
static const char V2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                         "\xc0\0\2\7\xc0\0\2\x63\x0f\xa0\1\xbb";

enum { V1_BYTES = sizeof V1 - 1, V2_BYTES = sizeof V2 - 1 };

/* The header alone, or in one segment with the ClientHello, or in drops. */
static void expect_behind(struct scene *scene, const char *header, size_t count,
                          unsigned manner)
{
    struct secure how = secure_client(0);
    struct pair pair = {.client = dial(&scene->front)};
    how.drops = manner == 2;
    for (size_t i = 0; manner == 2 && i < count; i++) {
        send_bytes(pair.client, header + i, 1);
    }
    if (manner != 2) {
        int flags = manner == 1 ? MSG_MORE : 0;
        assert_int_equal(send(pair.client, header, count, flags), count);
    }
    proxy_mark(scene->proxy);
    secure_connect(pair.client, &how);
    pair.upstream = take(scene->listener);
    pair_ping(&pair);
    pair_hang_up(&pair);
    proxy_line(scene->proxy, "^conn service=web client=192\\.0\\.2\\.7:4000 "
                             ".* bytes_up=1 bytes_down=1 ");
}

static void a_proxy_header_comes_before_the_handshake(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "access_log = yes", TRUSTING);
    for (unsigned manner = 0; manner < 3; manner++) {
        expect_behind(&scene, V1, V1_BYTES, manner);
        expect_behind(&scene, V2, V2_BYTES, manner);
    }
    scene_close(&scene);
}

/* All three before a byte of the client's: header, name, handshake. */
static void a_proxy_header_comes_before_the_name(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    struct identity b = identity_for("cert-b", "DNS:b.example");
    struct secure how = secure_client(0);
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n%s" TRUSTING
        "[service b]\nlisten = %s\nupstream = %s\nsni = b.example\n%s" TRUSTING,
        front.text, back.text, secure_keys(secure_server()), front.text,
        back.text, secure_keys(&b));
    for (unsigned i = 0; i < 4; i++) {
        struct pair pair = {.client = dial(&front)};
        how.name = i % 2 ? "b.example" : "a.example";
        how.drops = i / 2;
        assert_int_equal(send(pair.client, V2, V2_BYTES, MSG_MORE), V2_BYTES);
        secure_connect(pair.client, &how);
        assert_string_equal(secure_peer(pair.client),
                            i % 2 ? "cert-b" : "server");
        pair.upstream = take(listener);
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
    stat_await(proxy, "b", NULL, "accepted", 2);
    proxy_stop(proxy);
}

static void a_handshake_without_the_proxy_header_is_a_bad_one(void **state)
{
    struct scene scene;
    struct secure how = secure_client(0);
    (void)state;
    secure_scene_open(&scene, "", TRUSTING);
    secure_expect_no_entry(&scene.front, &how, NULL);
    await_cause(scene.proxy, "bad_header", 1);
    scene_close(&scene);
}

static void garbage_behind_a_proxy_header_is_a_tls_error(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", TRUSTING);
    int fd = dial(&scene.front);
    send_text(fd, V1);
    send_text(fd, "GET / HTTP/1.0\r\n\r\n");
    await_cause(scene.proxy, "tls_error", 1);
    scene_close(&scene);
}

static void an_upstream_may_be_told_of_a_client_with_tls(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    struct secure how = secure_client(0);
    struct pair pair = {.upstream = -1};
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\n"
                    "upstream = %s proxy_protocol=v1\n" TRUSTING "%s",
                    front.text, back.text, secure_keys(secure_server()));
    pair.client = dial(&front);
    send_text(pair.client, V1);
    secure_connect(pair.client, &how);
    pair.upstream = take(listener);
    expect_text(pair.upstream, V1);
    pair_ping(&pair);
    proxy_stop(proxy);
}

/* ---- certificates of clients ---- */

static const char *client_ca(const struct identity *ca)
{
    static char key[256];
    snprintf(key, sizeof key, "tls_client_ca = %s\n", ca->certificate);
    return key;
}

static void a_client_with_a_good_certificate_comes_in(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", client_ca(authority()));
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        how.identity = &mine;
        struct pair pair = secure_pair(&scene, &how);
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

struct stranger {
    const struct identity *identity;
    const char *reasons[2]; /* by version */
};

static void a_client_without_a_good_certificate_does_not(void **state)
{
    struct identity other_ca =
        identity_new("other-ca", &(struct identity_wish){.authority = true});
    struct identity other = identity_new(
        "other-client", &(struct identity_wish){.issuer = &other_ca});
    struct identity expired = identity_new(
        "expired-client",
        &(struct identity_wish){.issuer = authority(), .expired = true});
    const struct stranger strangers[] = {
        {NULL, {"handshake failure", "certificate required"}},
        {&other, {"unknown ca", "unknown ca"}},
        {&expired, {"certificate expired", "certificate expired"}},
    };
    struct scene scene;
    uint64_t refused = 0;
    (void)state;
    secure_scene_open(&scene, "", client_ca(authority()));
    for (unsigned i = 0; i < 6; i++) {
        struct secure how = secure_client(VERSIONS[i % 2]);
        how.identity = strangers[i / 2].identity;
        secure_expect_no_entry(&scene.front, &how,
                               strangers[i / 2].reasons[i % 2]);
        await_cause(scene.proxy, "tls_error", ++refused);
    }
    expect_silence(scene.listener, 0);
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "bytes_up"), 0);
    scene_close(&scene);
}

/* ---- sessions that are resumed ---- */

/* A session that may be resumed, from one connection. */
static SSL_SESSION *session_from(const struct scene *scene,
                                 const struct secure *how)
{
    struct pair pair = secure_pair(scene, how);
    pair_ping(&pair);
    SSL_SESSION *session = secure_session(pair.client);
    assert_true(SSL_SESSION_is_resumable(session));
    pair_hang_up(&pair);
    return session;
}

static void expect_resumed(const struct scene *scene, struct secure how,
                           SSL_SESSION *session, bool resumed)
{
    how.session = session;
    struct pair pair = secure_pair(scene, &how);
    assert_int_equal(SSL_session_reused(secure_ssl(pair.client)), resumed);
    pair_ping(&pair);
    pair_hang_up(&pair);
}

static void sessions_are_resumed(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "workers = 2", "");
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        SSL_SESSION *session = session_from(&scene, &how);
        for (unsigned turn = 0; turn < 6; turn++) {
            how.drops = turn == 5;
            how.together = turn == 4;
            expect_resumed(&scene, how, session, true);
        }
        SSL_SESSION_free(session);
    }
    scene_close(&scene);
}

static void sessions_with_client_certificates_are_resumed(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", client_ca(authority()));
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        how.identity = &mine;
        SSL_SESSION *session = session_from(&scene, &how);
        expect_resumed(&scene, how, session, true);
        SSL_SESSION_free(session);
    }
    scene_close(&scene);
}

static void scene_reload(struct scene *scene, const char *keys)
{
    proxy_configure(scene->proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s%s\n",
                    scene->front.text, scene->back.text,
                    secure_keys(secure_server()), keys);
    proxy_reload(scene->proxy);
}

static void sessions_outlast_a_reload(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        SSL_SESSION *session = session_from(&scene, &how);
        scene_reload(&scene, "");
        expect_resumed(&scene, how, session, true);
        SSL_SESSION_free(session);
    }
    scene_close(&scene);
}

/* Who came in without a certificate has none to show by a session either. */
static void a_session_does_not_stand_for_a_certificate(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct scene scene;
    struct place strict = place_new();
    (void)state;
    secure_scene_open(&scene, "", "");
    proxy_configure(scene.proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s"
                    "[service strict]\nlisten = %s\nupstream = %s\n%s%s",
                    scene.front.text, scene.back.text,
                    secure_keys(secure_server()), strict.text, scene.back.text,
                    secure_keys(secure_server()), client_ca(authority()));
    proxy_reload(scene.proxy);
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        SSL_SESSION *session = session_from(&scene, &how);
        struct scene other = scene;
        other.front = strict;
        how.session = session;
        secure_expect_no_entry(&strict, &how, NULL);
        stat_await(scene.proxy, "strict", NULL, "ended_tls_error", i + 1);
        how.identity = &mine;
        expect_resumed(&other, how, session, false);
        SSL_SESSION_free(session);
    }
    scene_close(&scene);
}

static void a_session_ends_when_certificates_are_asked_for(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        struct scene scene;
        secure_scene_open(&scene, "", "");
        how.session = session_from(&scene, &how);
        scene_reload(&scene, client_ca(authority()));
        secure_expect_no_entry(&scene.front, &how, NULL);
        await_cause(scene.proxy, "tls_error", 1);
        SSL_SESSION_free(how.session);
        scene_close(&scene);
    }
}

static void a_session_ends_when_another_authority_is_asked_for(void **state)
{
    struct identity mine = identity_for("client", NULL);
    struct identity other =
        identity_new("other-ca", &(struct identity_wish){.authority = true});
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        struct scene scene;
        how.identity = &mine;
        secure_scene_open(&scene, "", client_ca(authority()));
        how.session = session_from(&scene, &how);
        scene_reload(&scene, client_ca(&other));
        secure_expect_no_entry(&scene.front, &how, NULL);
        await_cause(scene.proxy, "tls_error", 1);
        SSL_SESSION_free(how.session);
        scene_close(&scene);
    }
}

/* ---- protocols ---- */

static void expect_alpn(const struct scene *scene, const char *offer,
                        const char *chosen)
{
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        how.alpn = offer;
        struct pair pair = secure_pair(scene, &how);
        assert_string_equal(secure_alpn(pair.client), chosen);
        pair_ping(&pair);
        pair_hang_up(&pair);
    }
}

static void the_first_of_our_protocols_that_is_offered_is_chosen(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "tls_alpn = h2, http/1.1");
    expect_alpn(&scene, "http/1.1,h2", "h2");
    expect_alpn(&scene, "h2", "h2");
    expect_alpn(&scene, "spdy/3,http/1.1", "http/1.1");
    expect_alpn(&scene, NULL, "");
    scene_close(&scene);
}

static void without_protocols_of_ours_none_is_chosen(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "");
    expect_alpn(&scene, "http/1.1,h2", "");
    expect_alpn(&scene, NULL, "");
    scene_close(&scene);
}

static void a_client_with_no_protocol_of_ours_is_refused(void **state)
{
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "tls_alpn = h2, http/1.1");
    for (unsigned i = 0; i < 2; i++) {
        struct secure how = secure_client(VERSIONS[i]);
        how.alpn = "spdy/3,http/1,h2c";
        secure_expect_no_entry(&scene.front, &how, "no application protocol");
        await_cause(scene.proxy, "tls_error", i + 1);
    }
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

/* ---- memory ---- */

static void the_memory_of_a_crowd_goes_back(void **state)
{
    enum { COUNT = 300, EACH = 10 * 1024, ROOM = 1536 * 1024 };
    static struct pair pairs[COUNT];
    struct secure how = secure_client(0);
    struct scene scene;
    (void)state;
    secure_scene_open(&scene, "", "");
    for (unsigned i = 0; i < 2; i++) { /* what stays after the first ones */
        expect_resumed(&scene, how, NULL, false);
    }
    uint64_t before = proxy_resident(scene.proxy);
    for (unsigned i = 0; i < COUNT; i++) {
        pairs[i] = secure_pair(&scene, &how);
        pair_ping(&pairs[i]);
    }
    uint64_t full = proxy_resident(scene.proxy);
    assert_true(full > before + COUNT * EACH);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_hang_up(&pairs[i]);
    }
    stat_await(scene.proxy, NULL, NULL, "active", 0);
    int64_t limit = time_ms() + 5000;
    while (proxy_resident(scene.proxy) > before + ROOM && time_ms() < limit) {
        time_tick();
    }
    uint64_t after = proxy_resident(scene.proxy);
    print_message("%lu KiB before, %lu with %d connections, %lu after\n",
                  (unsigned long)before / 1024, (unsigned long)full / 1024,
                  COUNT, (unsigned long)after / 1024);
    assert_true(test_slow() || after <= before + ROOM);
    scene_close(&scene);
}

/* ---- nobody waits for the handshake of another ---- */

enum { STORM = 200, STORM_MS = 20000 };

/* Clients that do nothing but handshakes, all at once. */
static struct storm {
    struct place front;
    SSL_CTX *context;
    struct {
        int fd;
        SSL *ssl;
    } clients[STORM];
    atomic_bool stop; /* by the test; the thread looks */
    atomic_uint done; /* counted by the thread */
    pthread_t thread;
} storm;

static void storm_renew(unsigned i)
{
    if (storm.clients[i].ssl) {
        SSL_free(storm.clients[i].ssl);
        close(storm.clients[i].fd);
    }
    int fd = peer_dial(&storm.front);
    storm.clients[i].fd = fd;
    storm.clients[i].ssl = fd >= 0 ? SSL_new(storm.context) : NULL;
    if (storm.clients[i].ssl) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        SSL_set_fd(storm.clients[i].ssl, fd);
        SSL_set_connect_state(storm.clients[i].ssl);
    }
}

static void storm_step(unsigned i)
{
    SSL *ssl = storm.clients[i].ssl;
    ERR_clear_error();
    int result = ssl ? SSL_do_handshake(ssl) : -1;
    if (result == 1) {
        storm.done++;
    }
    if (!ssl || result == 1 ||
        SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) {
        storm_renew(i);
    }
}

static void *storm_main(void *arg)
{
    int64_t limit = time_ms() + STORM_MS;
    sigset_t broken;
    (void)arg;
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, NULL);
    while (!storm.stop && time_ms() < limit) {
        for (unsigned i = 0; i < STORM; i++) {
            storm_step(i);
        }
    }
    for (unsigned i = 0; i < STORM; i++) {
        if (storm.clients[i].ssl) {
            SSL_free(storm.clients[i].ssl);
            close(storm.clients[i].fd);
            storm.clients[i].ssl = NULL;
        }
    }
    return NULL;
}

static void storm_begin(const struct place *front)
{
    struct secure how = {.name = "a.example"};
    storm.front = *front;
    storm.context = secure_context(&how, false);
    assert_non_null(storm.context);
    storm.stop = false;
    storm.done = 0;
    int bad = pthread_create(&storm.thread, NULL, storm_main, NULL);
    assert_int_equal(bad, 0);
    eventually(storm.done > STORM);
}

static void storm_end(void)
{
    storm.stop = true;
    pthread_join(storm.thread, NULL);
    SSL_CTX_free(storm.context);
}

static void handshakes_delay_no_other_connection(void **state)
{
    struct place front = place_new();
    struct place stormed = place_new();
    struct place refusing = refusing_place();
    struct place back = place_new();
    struct secure how = secure_client(0);
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[global]\nworkers = 1\n"
                    "[service web]\nlisten = %s\nupstream = %s\n%s"
                    "[service stormed]\nlisten = %s\nupstream = %s\n%s"
                    "fail_threshold = off\n",
                    front.text, back.text, secure_keys(secure_server()),
                    stormed.text, refusing.text, secure_keys(secure_server()));
    struct pair pair = {.client = secure_dial(&front, &how)};
    pair.upstream = take(listener);
    storm_begin(&stormed);
    unsigned before = storm.done;
    int64_t begin = time_ms();
    while (storm.done - before < (test_slow() ? 200 : 1000)) {
        pair_expect_prompt(&pair);
    }
    print_message("%u handshakes meanwhile, in %d ms\n", storm.done - before,
                  (int)(time_ms() - begin));
    storm_end();
    proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(a_handshake_may_come_byte_by_byte),
        E2E(first_bytes_may_come_with_the_end_of_the_handshake),
        E2E(all_of_a_stream_may_come_with_the_end_of_the_handshake),
        E2E(bytes_wait_while_the_upstream_is_connected),
        E2E(a_handshake_that_never_ends_runs_into_the_timeout),
        E2E(drops_do_not_extend_the_timeout),
        E2E(the_timeout_ends_with_the_handshake),
        E2E(one_in_a_handshake_ends_with_the_process),
        E2E(those_in_a_handshake_hold_no_block),
        E2E(what_is_no_handshake_is_a_tls_error),
        E2E(failed_handshakes_fill_no_log),
        E2E(a_stream_that_ends_in_a_handshake_is_let_go),
        E2E(a_reset_in_a_handshake_is_the_clients),
        E2E(old_versions_are_refused),
        E2E(the_least_version_may_be_1_3),
        E2E(a_client_without_a_cipher_of_ours_is_refused),
        E2E(the_name_picks_the_certificate),
        E2E(a_name_may_have_certificates_of_two_kinds),
        E2E(the_chain_is_shown),
        E2E(a_key_may_be_in_the_certificates_file),
        E2E(services_of_one_address_have_certificates_of_their_own),
        E2E(another_service_of_the_address_may_pass_tls_through),
        E2E(a_proxy_header_comes_before_the_handshake),
        E2E(a_proxy_header_comes_before_the_name),
        E2E(a_handshake_without_the_proxy_header_is_a_bad_one),
        E2E(garbage_behind_a_proxy_header_is_a_tls_error),
        E2E(an_upstream_may_be_told_of_a_client_with_tls),
        E2E(a_client_with_a_good_certificate_comes_in),
        E2E(a_client_without_a_good_certificate_does_not),
        E2E(sessions_are_resumed),
        E2E(sessions_with_client_certificates_are_resumed),
        E2E(sessions_outlast_a_reload),
        E2E(a_session_does_not_stand_for_a_certificate),
        E2E(a_session_ends_when_certificates_are_asked_for),
        E2E(a_session_ends_when_another_authority_is_asked_for),
        E2E(the_first_of_our_protocols_that_is_offered_is_chosen),
        E2E(without_protocols_of_ours_none_is_chosen),
        E2E(a_client_with_no_protocol_of_ours_is_refused),
        E2E(the_memory_of_a_crowd_goes_back),
        E2E(handshakes_delay_no_other_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
