/*
 * The PROXY protocol: headers that come, byte by byte or all at once, from
 * those who may send them, and headers that upstreams are sent.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

/* ---- headers ---- */

enum { HEADER_MAX = 16 + UINT16_MAX, V2_FIXED = 16 };

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_UNSPEC = 0x00, V2_TCP4 = 0x11, V2_TCP6 = 0x21, V2_UNIX = 0x31 };
enum { TLV_ALPN = 1, TLV_CRC32C = 3, TLV_NOOP = 4, TLV_UNIQUE_ID = 5 };

static const char SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Bytes that are built, sent and compared. */
struct header {
    size_t size;
    unsigned char bytes[HEADER_MAX + 1];
};

/* One is built at a time; each belongs to the main thread. */
static struct header *header_new(void)
{
    static struct header header;
    header.size = 0;
    return &header;
}

static void add(struct header *header, const void *bytes, size_t count)
{
    assert_in_range(header->size + count, 0, sizeof header->bytes);
    memcpy(header->bytes + header->size, bytes, count);
    header->size += count;
}

static void v2_set_length(struct header *header)
{
    header->bytes[14] = (unsigned char)((header->size - V2_FIXED) >> 8);
    header->bytes[15] = (unsigned char)(header->size - V2_FIXED);
}

static struct header *v2_bare(int command, int family)
{
    const unsigned char words[4] = {(unsigned char)command,
                                    (unsigned char)family};
    struct header *header = header_new();
    add(header, SIGNATURE, sizeof SIGNATURE);
    add(header, words, sizeof words);
    return header;
}

/* The family is what both texts are. */
static struct header *v2(const char *source, int source_port,
                         const char *destination, int destination_port)
{
    bool is_six = strchr(source, ':') != NULL;
    struct header *header = v2_bare(V2_PROXY, is_six ? V2_TCP6 : V2_TCP4);
    const char *const texts[] = {source, destination};
    const uint16_t ports[] = {htons((uint16_t)source_port),
                              htons((uint16_t)destination_port)};
    for (int i = 0; i < 2; i++) {
        unsigned char address[16];
        int family = is_six ? AF_INET6 : AF_INET;
        assert_int_equal(inet_pton(family, texts[i], address), 1);
        add(header, address, is_six ? 16 : 4);
    }
    add(header, ports, sizeof ports);
    v2_set_length(header);
    return header;
}

static struct header *v2_from(const char *source)
{
    return v2(source, 4000, strchr(source, ':') ? "2001:db8::99" : "192.0.2.99",
              443);
}

static void v2_add_tlv(struct header *header, int type, const void *bytes,
                       size_t count)
{
    const unsigned char head[3] = {
        (unsigned char)type, (unsigned char)(count >> 8), (unsigned char)count};
    add(header, head, sizeof head);
    add(header, bytes, count);
    v2_set_length(header);
}

/* Zeros, so that the header is that long. */
static void v2_pad(struct header *header, size_t size)
{
    static const unsigned char zeros[HEADER_MAX];
    v2_add_tlv(header, TLV_NOOP, zeros, size - header->size - 3);
}

/* Castagnoli's polynomial, bit by bit (RFC 3720, appendix B.4). */
static uint32_t crc32c(const unsigned char *bytes, size_t count)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

static void v2_add_crc(struct header *header)
{
    v2_add_tlv(header, TLV_CRC32C, "\0\0\0\0", 4);
    uint32_t crc = htonl(crc32c(header->bytes, header->size));
    memcpy(header->bytes + header->size - 4, &crc, sizeof crc);
}

static struct header *text(const char *bytes)
{
    struct header *header = header_new();
    add(header, bytes, strlen(bytes));
    return header;
}

/* As senders write them: TLVs of every kind. */
static struct header *v2_with_tlvs(void)
{
    static const unsigned char ssl[] = {0x07, 0,    0,   0,   0,   0x21, 0,
                                        7,    'T',  'L', 'S', 'v', '1',  '.',
                                        '3',  0x22, 0,   1,   'a'};
    struct header *header = v2_from("192.0.2.7");
    v2_add_tlv(header, TLV_ALPN, "h2", 2);
    v2_add_tlv(header, TLV_UNIQUE_ID, "7F000001:1F90", 13);
    v2_add_tlv(header, 0x20, ssl, sizeof ssl);
    v2_add_tlv(header, TLV_NOOP, "", 0);
    v2_add_tlv(header, 0xee, "mine", 4);
    v2_add_crc(header);
    return header;
}

static struct header *v2_unix(void)
{
    static const char paths[2][108] = {"/run/client", "/run/server"};
    struct header *header = v2_bare(V2_PROXY, V2_UNIX);
    add(header, paths, sizeof paths);
    v2_set_length(header);
    return header;
}

static void send_header(int fd, const struct header *header)
{
    send_bytes(fd, header->bytes, header->size);
}

static void expect_header(int fd, const struct header *header)
{
    static unsigned char got[HEADER_MAX];
    size_t have = 0;
    while (have < header->size) {
        ssize_t count;
        eventually(pending(fd, 0));
        count = recv(fd, got + have, header->size - have, 0);
        if (count <= 0) {
            fail_msg("%zu bytes of a header expected, got %zu", header->size,
                     have);
        }
        have += (size_t)count;
    }
    assert_memory_equal(got, header->bytes, header->size);
}

/* ---- headers that come ---- */

#define TRUSTING "proxy_protocol = on\nproxy_protocol_from = 127.0.0.0/8\n"

static void inlet_open(struct scene *scene, const char *keys)
{
    char service[1024];
    snprintf(service, sizeof service, TRUSTING "%s", keys);
    scene_open(scene, "access_log = yes", service);
}

/* A client behind that header, and the upstream that it got. */
static struct pair pair_behind(const struct scene *scene,
                               const struct header *header)
{
    struct pair pair = {.client = dial(&scene->front)};
    send_header(pair.client, header);
    pair.upstream = take(scene->listener);
    return pair;
}

static void refused_behind(const struct scene *scene,
                           const struct header *header)
{
    int fd = dial(&scene->front);
    send_header(fd, header);
    expect_reset(fd);
    hang_up(fd);
}

static void expect_served(const struct pair *pair)
{
    send_text(pair->client, "question");
    expect_text(pair->upstream, "question");
    send_text(pair->upstream, "answer");
    expect_text(pair->client, "answer");
}

/* Header and payload in one segment, and who that was by the log. */
static void expect_client(struct scene *scene, struct header *header,
                          const char *client)
{
    char line[256];
    add(header, "first", 5);
    proxy_mark(scene->proxy);
    struct pair pair = pair_behind(scene, header);
    expect_text(pair.upstream, "first");
    expect_served(&pair);
    hang_up(pair.client);
    expect_eof(pair.upstream);
    hang_up(pair.upstream);
    snprintf(line, sizeof line,
             "^conn service=web client=%s upstream=.* cause=client_fin "
             "bytes_up=13 bytes_down=6 ",
             client);
    proxy_line(scene->proxy, line);
}

static void the_source_of_version_1_is_the_client(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    expect_client(&scene, text("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n"),
                  "192\\.0\\.2\\.7:4000");
    expect_client(&scene,
                  text("PROXY TCP4 255.255.255.255 255.255.255.255 "
                       "65535 65535\r\n"),
                  "255\\.255\\.255\\.255:65535");
    expect_client(&scene,
                  text("PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n"),
                  "\\[2001:db8::7]:4000");
    expect_client(&scene,
                  text("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe "
                       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "65535 65535\r\n"),
                  "\\[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535");
    scene_close(&scene);
}

static void the_source_of_version_2_is_the_client(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    expect_client(&scene, v2_from("192.0.2.7"), "192\\.0\\.2\\.7:4000");
    expect_client(&scene, v2_from("2001:db8::7"), "\\[2001:db8::7]:4000");
    expect_client(&scene, v2_with_tlvs(), "192\\.0\\.2\\.7:4000");
    scene_close(&scene);
}

/* Then the connection's own address counts. */
static void a_header_without_addresses_names_nobody_else(void **state)
{
    static const char own[] = "127\\.0\\.0\\.1:[0-9]+";
    struct scene scene;
    struct header *header;
    (void)state;
    inlet_open(&scene, "");
    expect_client(&scene, text("PROXY UNKNOWN\r\n"), own);
    expect_client(&scene,
                  text("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
                       "65535 65535\r\n"),
                  own);
    expect_client(&scene, v2_bare(V2_LOCAL, V2_UNSPEC), own);
    expect_client(&scene, v2_bare(V2_PROXY, V2_UNSPEC), own);
    header = v2_from("192.0.2.7");
    header->bytes[12] = V2_LOCAL;
    expect_client(&scene, header, own);
    header = v2_bare(V2_LOCAL, V2_UNSPEC);
    v2_add_tlv(header, TLV_UNIQUE_ID, "x", 1);
    expect_client(&scene, header, own);
    scene_close(&scene);
}

/* Its client has no address, and none of the connection's either. */
static void a_header_of_a_unix_socket_is_taken(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    expect_client(&scene, v2_unix(), "unix[^ ]*");
    scene_close(&scene);
}

static void a_checksum_must_be_right(void **state)
{
    struct scene scene;
    struct header *header = v2_from("192.0.2.7");
    (void)state;
    inlet_open(&scene, "");
    v2_add_crc(header);
    expect_client(&scene, header, "192\\.0\\.2\\.7:4000");
    header = v2_with_tlvs();
    header->bytes[V2_FIXED] ^= 1;
    refused_behind(&scene, header);
    await_cause(scene.proxy, "bad_header", 1);
    header = v2_with_tlvs();
    header->bytes[header->size - 1] ^= 0x80;
    refused_behind(&scene, header);
    await_cause(scene.proxy, "bad_header", 2);
    scene_close(&scene);
}

/* ---- in pieces ---- */

static void send_in_drops(int fd, const struct header *header)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t i = 0; i < header->size; i++) {
        send_bytes(fd, header->bytes + i, 1);
    }
}

static void expect_taken_in_drops(struct scene *scene, struct header *header)
{
    struct pair pair = {.client = dial(&scene->front)};
    add(header, "first", 5);
    send_in_drops(pair.client, header);
    pair.upstream = take(scene->listener);
    expect_text(pair.upstream, "first");
    expect_served(&pair);
    pair_hang_up(&pair);
}

static void a_header_may_come_byte_by_byte(void **state)
{
    struct scene scene;
    struct header *header;
    (void)state;
    inlet_open(&scene, "");
    expect_taken_in_drops(&scene,
                          text("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n"));
    expect_taken_in_drops(&scene, text("PROXY UNKNOWN\r\n"));
    expect_taken_in_drops(&scene, v2_from("2001:db8::7"));
    expect_taken_in_drops(&scene, v2_with_tlvs());
    expect_taken_in_drops(&scene, v2_bare(V2_LOCAL, V2_UNSPEC));
    header = v2_from("192.0.2.7");
    v2_pad(header, test_slow() ? 512 : 3000);
    expect_taken_in_drops(&scene, header);
    scene_close(&scene);
}

static void expect_taken_in_two(struct scene *scene,
                                const struct header *header, size_t cut)
{
    struct pair pair = {.client = dial(&scene->front)};
    send_bytes(pair.client, header->bytes, cut);
    await_acknowledged(pair.client);
    time_tick(); /* it looks at the first part alone, most of the time */
    send_bytes(pair.client, header->bytes + cut, header->size - cut);
    pair.upstream = take(scene->listener);
    expect_text(pair.upstream, "payload");
    pair_hang_up(&pair);
}

static void a_header_may_be_cut_anywhere(void **state)
{
    struct scene scene;
    struct header *header;
    (void)state;
    inlet_open(&scene, "");
    header = text("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\npayload");
    for (size_t cut = 1; cut < header->size; cut++) {
        expect_taken_in_two(&scene, header, cut);
    }
    header = v2_with_tlvs();
    add(header, "payload", 7);
    for (size_t cut = 1; cut < header->size; cut++) {
        expect_taken_in_two(&scene, header, cut);
    }
    stat_await(scene.proxy, "web", NULL, "ended_bad_header", 0);
    scene_close(&scene);
}

static void a_header_may_have_any_legal_length(void **state)
{
    static const size_t sizes[] = {1024,  4096,      12288,     16384,
                                   16385, 32 * 1024, 60 * 1024, HEADER_MAX};
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct header *header = v2_from("192.0.2.7");
        v2_pad(header, sizes[i]);
        struct pair pair = pair_behind(&scene, header);
        expect_served(&pair);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

/* More of it than the kernel holds, so that it comes while the header is
 * looked at. */
static void what_follows_a_header_is_passed_on_unchanged(void **state)
{
    struct scene scene;
    struct flow out = {.seed = 7, .bytes = 1 << 20, .finish = true};
    struct flow in = {.seed = 7, .bytes = SIZE_MAX, .finish = true};
    (void)state;
    inlet_open(&scene, "");
    out.fd = dial(&scene.front);
    send_header(out.fd, v2_with_tlvs());
    flow_send(&out);
    in.fd = take(scene.listener);
    flow_receive(&in);
    flow_join(&out);
    flow_join(&in);
    assert_int_equal(in.moved, out.bytes);
    hang_up(in.fd);
    await_cause(scene.proxy, "client_fin", 1);
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "bytes_up"), out.bytes);
    scene_close(&scene);
}

/* It looks like a header, and is the client's payload. */
static void a_second_header_is_payload(void **state)
{
    static const char header[] = "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n";
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    struct pair pair = pair_behind(&scene, text(header));
    send_text(pair.client, header);
    expect_text(pair.upstream, header);
    scene_close(&scene);
}

static void a_header_may_come_with_the_end_of_the_stream(void **state)
{
    struct scene scene;
    struct pair pair;
    (void)state;
    inlet_open(&scene, "");
    for (unsigned i = 0; i < 2; i++) {
        struct header *header = v2_from("192.0.2.7");
        add(header, "last", i == 0 ? 0 : 4);
        pair.client = dial(&scene.front);
        send_last(pair.client, header->bytes, header->size);
        pair.upstream = take(scene.listener);
        if (i == 1) {
            expect_text(pair.upstream, "last");
        }
        expect_eof(pair.upstream);
        send_text(pair.upstream, "answer");
        hang_up(pair.upstream);
        expect_text(pair.client, "answer");
        expect_eof(pair.client);
        hang_up(pair.client);
        await_cause(scene.proxy, "client_fin", i + 1);
    }
    scene_close(&scene);
}

static void an_upstream_may_speak_first(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    struct pair pair = pair_behind(&scene, v2_from("192.0.2.7"));
    send_text(pair.upstream, "220 welcome");
    expect_text(pair.client, "220 welcome");
    expect_served(&pair);
    scene_close(&scene);
}

/* ---- the client it names counts ---- */

static unsigned whom(int fd)
{
    char message = '\0';
    eventually(pending(fd, 0));
    assert_int_equal(recv(fd, &message, 1, 0), 1);
    hang_up(fd);
    return (unsigned)(message - 'A');
}

/* Behind a header a source gets what it would get without one. */
static void the_named_client_is_who_the_pick_is_for(void **state)
{
    enum { UPSTREAMS = 4, SOURCES = 40 };
    struct place front[2] = {place_new(), place_new()};
    struct server *server[UPSTREAMS];
    unsigned seen = 0;
    char upstreams[UPSTREAMS * 128];
    int used = 0;
    (void)state;
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        struct place back = place_new();
        server[i] = server_start(&back, serve_name, &"ABCD"[i]);
        used += snprintf(upstreams + used, sizeof upstreams - (size_t)used,
                         "upstream = %s\n", back.text);
    }
    struct proxy *proxy =
        proxy_start("[service plain]\nlisten = %s\n%s"
                    "[service web]\nlisten = %s\n%s" TRUSTING,
                    front[0].text, upstreams, front[1].text, upstreams);
    for (unsigned n = 1; n <= SOURCES; n++) {
        int fd = dial(&front[1]);
        send_header(fd, v2_from(source_new(n)));
        unsigned who = whom(fd);
        assert_in_range(who, 0, UPSTREAMS - 1);
        assert_int_equal(who, whom(dial_from(source_new(n), &front[0])));
        seen |= 1u << who;
    }
    assert_int_equal(seen, (1 << UPSTREAMS) - 1);
    proxy_stop(proxy);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        server_stop(server[i]);
    }
}

static void the_named_client_is_counted_by_source(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "max_connections_per_source = 2");
    struct pair first = pair_behind(&scene, v2_from("192.0.2.1"));
    struct pair second = pair_behind(&scene, v2_from("192.0.2.1"));
    refused_behind(&scene, v2_from("192.0.2.1"));
    await_cause(scene.proxy, "limit_source", 1);
    proxy_line(scene.proxy,
               "^conn service=web client=192\\.0\\.2\\.1:4000 .*limit_source ");
    struct pair other = pair_behind(&scene, v2_from("192.0.2.2"));
    expect_served(&first);
    expect_served(&second);
    expect_served(&other);
    pair_hang_up(&second);
    stat_await(scene.proxy, "web", NULL, "active", 2);
    second = pair_behind(&scene, v2_from("192.0.2.1"));
    expect_served(&second);
    scene_close(&scene);
}

static void the_named_client_has_an_accept_rate(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "accept_rate_per_source = 1");
    pair_behind(&scene, v2_from("192.0.2.1"));
    refused_behind(&scene, v2_from("192.0.2.1"));
    pair_behind(&scene, v2_from("192.0.2.2"));
    await_cause(scene.proxy, "limit_rate", 1);
    scene_close(&scene);
}

/* A refused one gives its place back. */
static void the_services_limit_holds_behind_headers(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "max_connections = 1");
    for (uint64_t round = 1; round <= 3; round++) {
        struct pair pair = pair_behind(&scene, v2_from("192.0.2.1"));
        refused_behind(&scene, v2_from("192.0.2.2"));
        await_cause(scene.proxy, "limit_connections", round);
        expect_served(&pair);
        pair_hang_up(&pair);
        stat_await(scene.proxy, "web", NULL, "active", 0);
    }
    scene_close(&scene);
}

static void the_named_client_is_let_in_or_kept_out(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "deny = 192.0.2.66\nallow = 192.0.2.0/24\n"
                       "allow = 2001:db8::/32");
    struct pair pair = pair_behind(&scene, v2_from("192.0.2.7"));
    expect_served(&pair);
    pair = pair_behind(&scene, v2_from("2001:db8::7"));
    expect_served(&pair);
    refused_behind(&scene, v2_from("192.0.2.66"));
    refused_behind(&scene,
                   text("PROXY TCP4 198.51.100.1 192.0.2.99 4000 443\r\n"));
    await_cause(scene.proxy, "denied", 2);
    refused_behind(&scene, text("PROXY UNKNOWN\r\n"));
    await_cause(scene.proxy, "denied", 3);
    scene_close(&scene);
}

/* ---- headers that are refused ---- */

static void only_those_that_may_send_a_header_come_in(void **state)
{
    struct scene scene;
    struct pair pair;
    (void)state;
    scene_open(&scene, "access_log = yes",
               "proxy_protocol = on\n"
               "proxy_protocol_from = 127.9.0.0/16, 2001:db8::/32\n"
               "proxy_protocol_from = 127.11.0.1\n");
    const char *const trusted[] = {"127.9.0.1", "127.9.255.2", "127.11.0.1"};
    for (unsigned i = 0; i < 3; i++) {
        pair.client = dial_from(trusted[i], &scene.front);
        send_text(pair.client, "PROXY UNKNOWN\r\n");
        pair.upstream = take(scene.listener);
        expect_served(&pair);
    }
    expect_refused("127.10.0.1", &scene.front, NULL);
    expect_refused("127.10.0.1", &scene.front, "PROXY UNKNOWN\r\n");
    expect_refused("127.11.0.2", &scene.front, "GET / HTTP/1.0\r\n\r\n");
    await_cause(scene.proxy, "denied", 3);
    proxy_line(scene.proxy,
               "^conn service=web client=127\\.10\\.0\\.1:.* cause=denied ");
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "ended_bad_header"), 0);
    scene_close(&scene);
}

static void a_unix_socket_has_nobody_that_may_send_a_header(void **state)
{
    struct place front = place_unix("inlet");
    (void)state;
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = 127.0.0.1:1\n" TRUSTING,
                                      front.text);
    expect_let_go(&front);
    await_cause(proxy, "denied", 1);
    proxy_stop(proxy);
}

static void what_is_no_header_of_version_1_is_reset(void **state)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "proxy TCP4 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP5 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 65536\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 -1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443 1\r\n",
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\n",
        "PROXY TCP4 192.0.2.256 192.0.2.99 4000 443\r\n",
        "PROXY TCP4 2001:db8::7 2001:db8::99 4000 443\r\n",
        "PROXY TCP6 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP4  192.0.2.7 192.0.2.99 4000 443\r\n",
        "\r\n\r\nQUIT\n",
    };
    struct scene scene;
    uint64_t refused = 0;
    (void)state;
    inlet_open(&scene, "header_timeout = off");
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        refused_behind(&scene, text(texts[i]));
        await_cause(scene.proxy, "bad_header", ++refused);
    }
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

/* 107 bytes are the longest line, its end included. */
static void a_line_that_does_not_end_is_reset(void **state)
{
    struct scene scene;
    struct header *header = text("PROXY UNKNOWN ");
    (void)state;
    inlet_open(&scene, "header_timeout = off");
    while (header->size < 120) {
        add(header, "x", 1);
    }
    refused_behind(&scene, header);
    await_cause(scene.proxy, "bad_header", 1);
    scene_close(&scene);
}

static void refused_with_byte(struct scene *scene, struct header *header,
                              size_t place, int byte)
{
    header->bytes[place] = (unsigned char)byte;
    refused_behind(scene, header);
}

static void what_is_no_header_of_version_2_is_reset(void **state)
{
    struct scene scene;
    struct header *header;
    (void)state;
    inlet_open(&scene, "header_timeout = off");
    refused_with_byte(&scene, v2_from("192.0.2.7"), 11, '\r');
    refused_with_byte(&scene, v2_from("192.0.2.7"), 12, 0x11);
    refused_with_byte(&scene, v2_from("192.0.2.7"), 12, 0x22);
    refused_with_byte(&scene, v2_from("192.0.2.7"), 15, 11);
    refused_with_byte(&scene, v2_from("2001:db8::7"), 15, 35);
    refused_with_byte(&scene, v2_unix(), 15, 215);
    await_cause(scene.proxy, "bad_header", 6);
    header = v2_from("192.0.2.7");
    v2_add_tlv(header, TLV_NOOP, "abc", 3);
    header->bytes[header->size - 4] = 4; /* longer than the header */
    refused_behind(&scene, header);
    header = v2_from("192.0.2.7");
    add(header, "\4\0", 2); /* a head of two bytes */
    v2_set_length(header);
    refused_behind(&scene, header);
    await_cause(scene.proxy, "bad_header", 8);
    expect_silence(scene.listener, 0);
    scene_close(&scene);
}

/* One line for all of a second, whoever sends them. */
static void bad_headers_fill_no_log(void **state)
{
    enum { BAD = 60 };
    struct scene scene;
    (void)state;
    scene_open(&scene, "workers = 2", TRUSTING);
    int64_t begin = time_ms();
    for (unsigned i = 0; i < BAD; i++) {
        refused_behind(&scene, text("nonsense\r\n"));
    }
    await_cause(scene.proxy, "bad_header", BAD);
    unsigned seconds = (unsigned)((time_ms() - begin) / 1000);
    unsigned lines = proxy_count(scene.proxy, "bad.header service=web");
    assert_in_range(lines, 1, 1 + seconds);
    scene_close(&scene);
}

static void the_end_of_a_stream_within_a_header_is_a_bad_one(void **state)
{
    static const char *const starts[] = {
        "P", "PROXY", "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r", "\r\n\r\n"};
    struct scene scene;
    uint64_t bad = 0;
    (void)state;
    inlet_open(&scene, "header_timeout = off");
    for (unsigned i = 0; i < sizeof starts / sizeof *starts; i++) {
        for (unsigned apart = 0; apart < 2; apart++) {
            int fd = dial(&scene.front);
            if (apart) {
                send_text(fd, starts[i]);
                await_acknowledged(fd);
                expect_silence(fd, 20);
                finish(fd);
            } else {
                send_last(fd, starts[i], strlen(starts[i]));
            }
            expect_reset(fd);
            hang_up(fd);
            await_cause(scene.proxy, "bad_header", ++bad);
        }
    }
    int fd = dial(&scene.front);
    finish(fd);
    expect_end(fd);
    await_cause(scene.proxy, "bad_header", ++bad);
    scene_close(&scene);
}

static void a_reset_within_a_header_is_the_clients(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "header_timeout = off");
    for (uint64_t i = 1; i <= 3; i++) {
        int fd = dial(&scene.front);
        if (i > 1) {
            send_text(fd, "PROXY TCP4 192");
        }
        stat_await(scene.proxy, "web", NULL, "active", 1);
        reset(fd);
        await_cause(scene.proxy, "client_reset", i);
    }
    scene_close(&scene);
}

static void whoever_sends_no_header_runs_into_the_timeout(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "header_timeout = 300ms");
    int64_t begin = time_ms();
    int fd = dial(&scene.front);
    expect_end(fd);
    int64_t took = time_ms() - begin;
    assert_in_range(took, 290, test_slow() ? 5000 : 700);
    await_cause(scene.proxy, "header_timeout", 1);
    proxy_line(scene.proxy, "^conn service=web client=127\\.0\\.0\\.1:[0-9]+ .*"
                            "cause=header_timeout bytes_up=0 bytes_down=0 ");
    scene_close(&scene);
}

static void drops_do_not_extend_the_header_timeout(void **state)
{
    struct scene scene;
    struct header *header = v2_from("192.0.2.7");
    (void)state;
    inlet_open(&scene, "header_timeout = 400ms");
    v2_pad(header, 8000);
    int64_t begin = time_ms();
    int fd = dial(&scene.front);
    for (size_t i = 0; i < header->size && !pending(fd, 20); i++) {
        send(fd, header->bytes + i, 1, MSG_NOSIGNAL);
    }
    expect_reset(fd);
    assert_in_range(time_ms() - begin, 390, test_slow() ? 5000 : 900);
    await_cause(scene.proxy, "header_timeout", 1);
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "ended_bad_header"), 0);
    scene_close(&scene);
}

/* It is not the connection's: what comes later has no hurry. */
static void the_header_timeout_ends_with_the_header(void **state)
{
    struct scene scene;
    (void)state;
    inlet_open(&scene, "header_timeout = 200ms");
    struct pair pair = pair_behind(&scene, v2_from("192.0.2.7"));
    expect_silence(pair.client, 500);
    expect_served(&pair);
    scene_close(&scene);
}

static void those_that_send_no_header_hold_no_block(void **state)
{
    enum { WAITING = 50 };
    struct scene scene;
    (void)state;
    inlet_open(&scene, "header_timeout = 1h\nmax_connections = 1\n"
                       "max_connections_per_source = 1");
    for (unsigned i = 0; i < WAITING; i++) {
        send_text(dial(&scene.front), "PROXY TCP4 192.0.2.7 ");
    }
    stat_await(scene.proxy, "web", NULL, "active", WAITING);
    stat_await(scene.proxy, NULL, NULL, "buffers_lent", 0);
    struct pair pair = pair_behind(&scene, v2_from("192.0.2.7"));
    expect_served(&pair);
    scene_close(&scene);
}

static void one_without_a_header_ends_with_the_process(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "drain_timeout = 200ms", TRUSTING);
    int fd = dial(&scene.front);
    send_text(fd, "PROXY TCP4 ");
    stat_await(scene.proxy, "web", NULL, "active", 1);
    proxy_signal(scene.proxy, SIGTERM);
    expect_reset(fd);
    assert_int_equal(proxy_wait(scene.proxy), 0);
}

/* ---- the configuration ---- */

static void expect_complaint(const char *keys, const char *complaint)
{
    struct outcome outcome;
    char config[512];
    snprintf(config, sizeof config,
             "[service web]\nlisten = 127.0.0.1:81\n"
             "upstream = 127.0.0.1:80\n%s\n",
             keys);
    const char *const arguments[] = {"evproxy", "-t", "-c",
                                     file_write("preface.ini", config), NULL};
    run_once(&outcome, arguments);
    assert_int_equal(outcome.status, 1);
    if (!strstr(outcome.err, complaint)) {
        fail_msg("'%s' expected, got: %s", complaint, outcome.err);
    }
}

static void who_may_send_headers_must_be_said(void **state)
{
    (void)state;
    expect_complaint("proxy_protocol = on", ":4: ");
    expect_complaint("proxy_protocol = on", "proxy_protocol_from");
    expect_complaint("proxy_protocol = v1", ":4: proxy_protocol: ");
    expect_complaint("proxy_protocol_from = 10.0.0.1/8",
                     ":4: proxy_protocol_from: ");
    expect_complaint("proxy_protocol_from = 10.0.0.0/8,",
                     ":4: proxy_protocol_from: ");
    expect_complaint("upstream = 127.0.0.1:82 proxy_protocol=v3",
                     ":4: upstream: ");
}

/* ---- headers that are sent ---- */

static void outlet_open(struct scene *scene, const struct place *front,
                        const char *option, const char *keys)
{
    scene->front = *front;
    scene->back = place_new();
    scene->listener = listen_on(&scene->back);
    scene->proxy =
        proxy_start("[global]\naccess_log = yes\n[service web]\nlisten = %s\n"
                    "upstream = %s proxy_protocol=%s\n%s\n",
                    front->text, scene->back.text, option, keys);
}

struct end {
    char host[INET6_ADDRSTRLEN];
    int port;
};

static struct end end_of(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
    bool is_six = address->ss_family == AF_INET6;
    struct end end = {.port = ntohs(is_six ? in6->sin6_port : in->sin_port)};
    const void *bytes =
        is_six ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr;
    inet_ntop(address->ss_family, bytes, end.host, sizeof end.host);
    return end;
}

/* Both ends of a client's connection, as the proxy would tell of them. */
static struct header *header_of(int client, const char *version)
{
    struct sockaddr_storage here;
    struct sockaddr_storage there;
    socklen_t length = sizeof here;
    char line[128];
    assert_int_equal(getsockname(client, (struct sockaddr *)&here, &length), 0);
    length = sizeof there;
    assert_int_equal(getpeername(client, (struct sockaddr *)&there, &length),
                     0);
    struct end source = end_of(&here);
    struct end destination = end_of(&there);
    if (strcmp(version, "v2") == 0) {
        return v2(source.host, source.port, destination.host, destination.port);
    }
    snprintf(line, sizeof line, "PROXY TCP%c %s %s %d %d\r\n",
             here.ss_family == AF_INET6 ? '6' : '4', source.host,
             destination.host, source.port, destination.port);
    return text(line);
}

/* The header comes alone, before a byte of the client, and once. */
static void expect_told(const struct place *front, const struct place *at,
                        const char *version)
{
    struct scene scene;
    outlet_open(&scene, front, version, "");
    struct pair pair = {.client = dial(at)};
    pair.upstream = take(scene.listener);
    expect_header(pair.upstream, header_of(pair.client, version));
    expect_silence(pair.upstream, 50);
    expect_served(&pair);
    pair_hang_up(&pair);
    proxy_line(scene.proxy, "^conn .* bytes_up=8 bytes_down=6 ");
    assert_int_equal(stat_get(scene.proxy, "web", NULL, "bytes_up"), 8);
    assert_int_equal(stat_get(scene.proxy, "web", scene.back.text, "bytes_up"),
                     8);
    scene_close(&scene);
}

static void an_upstream_is_told_of_the_client(void **state)
{
    static const char *const versions[] = {"v1", "v2"};
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct place four = place_new();
        struct place six = place_on("[::1]");
        struct place both = place_on("");
        struct place both_by_four = place_at("127.0.0.1", &both);
        struct place both_by_six = place_at("[::1]", &both);
        expect_told(&four, &four, versions[i]);
        expect_told(&six, &six, versions[i]);
        expect_told(&both, &both_by_four, versions[i]);
        expect_told(&both, &both_by_six, versions[i]);
    }
}

static void a_unix_client_has_no_address_to_tell(void **state)
{
    struct place front = place_unix("outlet");
    struct scene scene;
    struct pair pair;
    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        outlet_open(&scene, &front, i == 1 ? "v1" : "v2", "");
        pair.client = dial(&front);
        pair.upstream = take(scene.listener);
        expect_header(pair.upstream, i == 1 ? text("PROXY UNKNOWN\r\n")
                                            : v2_bare(V2_LOCAL, V2_UNSPEC));
        expect_served(&pair);
        scene_close(&scene);
    }
}

static void without_the_option_no_header_is_sent(void **state)
{
    struct place front = place_new();
    struct scene scene;
    (void)state;
    outlet_open(&scene, &front, "off", "");
    struct pair pair = scene_pair(&scene);
    expect_silence(pair.upstream, 50);
    expect_served(&pair);
    scene_close(&scene);
}

static void the_command_line_takes_the_option_too(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    char upstream[160];
    (void)state;
    int listener = listen_on(&back);
    snprintf(upstream, sizeof upstream, "%s proxy_protocol=v1", back.text);
    const char *const arguments[] = {"evproxy", "-l",     front.text,
                                     "-u",      upstream, NULL};
    const struct launch launch = {.arguments = arguments};
    struct proxy *proxy = proxy_launch(&launch, NULL);
    struct pair pair = {.client = dial(&front), .upstream = take(listener)};
    expect_header(pair.upstream, header_of(pair.client, "v1"));
    expect_served(&pair);
    proxy_stop(proxy);
}

/* What came in, and what the upstream is told in that version. */
static void expect_relayed(const struct scene *scene, const struct header *in,
                           const struct header *out)
{
    struct pair pair = {.client = dial(&scene->front)};
    send_header(pair.client, in);
    pair.upstream = take(scene->listener);
    expect_header(pair.upstream, out);
    expect_served(&pair);
    pair_hang_up(&pair);
}

static void version_1_passes_on_what_came(void **state)
{
    static const char *const lines[] = {
        "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n",
        "PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n",
        "PROXY TCP6 ::ffff:c000:207 2001:db8::99 4000 443\r\n",
        "PROXY UNKNOWN\r\n",
    };
    struct place front = place_new();
    struct scene scene;
    (void)state;
    outlet_open(&scene, &front, "v1", TRUSTING);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        static struct header in;
        in = *text(lines[i]);
        expect_relayed(&scene, &in, &in);
    }
    static struct header out;
    out = *text(lines[0]);
    expect_relayed(&scene, v2_with_tlvs(), &out);
    out = *text(lines[1]);
    expect_relayed(&scene, v2_from("2001:db8::7"), &out);
    out = *text(lines[3]);
    expect_relayed(&scene, v2_unix(), &out);
    expect_relayed(&scene, v2_bare(V2_LOCAL, V2_UNSPEC), &out);
    scene_close(&scene);
}

static void version_2_passes_on_what_came(void **state)
{
    static struct header out;
    struct place front = place_new();
    struct scene scene;
    (void)state;
    outlet_open(&scene, &front, "v2", TRUSTING);
    out = *v2_from("192.0.2.7");
    expect_relayed(&scene, v2_with_tlvs(), &out);
    expect_relayed(&scene, text("PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n"),
                   &out);
    out = *v2_from("2001:db8::7");
    expect_relayed(
        &scene, text("PROXY TCP6 2001:db8::7 2001:db8::99 4000 443\r\n"), &out);
    out = *v2("::ffff:192.0.2.7", 4000, "2001:db8::99", 443);
    expect_relayed(
        &scene, text("PROXY TCP6 ::ffff:192.0.2.7 2001:db8::99 4000 443\r\n"),
        &out);
    out = *v2_bare(V2_LOCAL, V2_UNSPEC);
    expect_relayed(&scene, text("PROXY UNKNOWN\r\n"), &out);
    expect_relayed(&scene, v2_unix(), &out);
    scene_close(&scene);
}

/* Header, payload and FIN are on their way before there is an upstream. */
static void a_header_goes_before_what_waited(void **state)
{
    struct place front = place_new();
    struct scene scene;
    (void)state;
    outlet_open(&scene, &front, "v1", "");
    for (unsigned i = 0; i < 20; i++) {
        struct pair pair = {.client = dial(&front)};
        struct header *told = header_of(pair.client, "v1");
        send_last(pair.client, "early", 5);
        pair.upstream = take(scene.listener);
        add(told, "early", 5);
        expect_header(pair.upstream, told);
        expect_eof(pair.upstream);
        pair_hang_up(&pair);
    }
    scene_close(&scene);
}

/* Each of them by its own option, whichever failed before it. */
static void the_next_upstream_is_told_too(void **state)
{
    enum { CLIENTS = 20 };
    struct place front = place_new();
    struct place back = place_new();
    struct place refusing = refusing_place();
    struct place silent = silent_place();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nbalance = roundrobin\n"
                    "fail_threshold = off\nconnect_timeout = 100ms\n"
                    "upstream = %s proxy_protocol=v1\nupstream = %s\n"
                    "upstream = %s proxy_protocol=v2\n",
                    front.text, refusing.text, silent.text, back.text);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct pair pair = {.client = dial(&front)};
        struct header *told = header_of(pair.client, "v2");
        send_text(pair.client, "first");
        add(told, "first", 5);
        pair.upstream = take(listener);
        expect_header(pair.upstream, told);
        expect_served(&pair);
        pair_hang_up(&pair);
    }
    assert_true(stat_get(proxy, "web", refusing.text, "failed") > 0);
    assert_true(stat_get(proxy, "web", silent.text, "failed") > 0);
    assert_int_equal(stat_get(proxy, "web", back.text, "total"), CLIENTS);
    proxy_stop(proxy);
}

static void an_upstream_that_was_relayed_to_is_told_once(void **state)
{
    struct place front = place_new();
    struct place back = place_new();
    struct place refusing = refusing_place();
    (void)state;
    int listener = listen_on(&back);
    struct proxy *proxy =
        proxy_start("[service web]\nlisten = %s\nbalance = roundrobin\n"
                    "fail_threshold = off\nupstream = %s\n"
                    "upstream = %s proxy_protocol=v1\n" TRUSTING,
                    front.text, refusing.text, back.text);
    for (unsigned i = 0; i < 4; i++) {
        static const char line[] =
            "PROXY TCP4 192.0.2.7 192.0.2.99 4000 443\r\n";
        struct header *header = text(line);
        struct pair pair = {.client = dial(&front)};
        add(header, "first", 5);
        send_header(pair.client, header);
        pair.upstream = take(listener);
        expect_header(pair.upstream, header);
        expect_served(&pair);
        pair_hang_up(&pair);
    }
    proxy_stop(proxy);
}

/* A connect hangs while the queue of the upstream is full, the upstream takes
 * the connection while the proxy does not look, and has gone when it does. */
static void expect_last_word(const char *option)
{
    struct place front = place_new();
    struct place back = place_new();
    int listener = listen_backlog(&back, 0);
    int filler = dial(&back);
    struct proxy *proxy = proxy_start("[service web]\nlisten = %s\n"
                                      "upstream = %s proxy_protocol=%s\n",
                                      front.text, back.text, option);
    int client = dial(&front);
    stat_await(proxy, "web", back.text, "active", 1);
    proxy_signal(proxy, SIGSTOP);
    hang_up(filler);
    hang_up(take(listener));
    int upstream = take(listener);
    send_text(upstream, "sorry");
    await_acknowledged(upstream);
    reset(upstream);
    proxy_signal(proxy, SIGCONT);
    expect_text(client, "sorry");
    expect_end(client);
    await_cause(proxy, "upstream_reset", 1);
    proxy_stop(proxy);
}

static void the_last_word_of_an_upstream_that_has_gone_is_owed(void **state)
{
    (void)state;
    expect_last_word("off");
    expect_last_word("v2");
}

/* ---- reloads ---- */

static void reload_with(struct scene *scene, const char *option,
                        const char *keys)
{
    proxy_configure(scene->proxy,
                    "[service web]\nlisten = %s\n"
                    "upstream = %s proxy_protocol=%s\n%s\n",
                    scene->front.text, scene->back.text, option, keys);
    proxy_reload(scene->proxy);
}

static void a_reload_changes_what_upstreams_are_told(void **state)
{
    struct place front = place_new();
    struct scene scene;
    struct pair pairs[3];
    (void)state;
    outlet_open(&scene, &front, "v1", "");
    for (unsigned i = 0; i < 3; i++) {
        static const char *const versions[] = {"v1", "v2", "off"};
        if (i > 0) {
            reload_with(&scene, versions[i], "");
        }
        pairs[i] = scene_pair(&scene);
        if (i < 2) {
            expect_header(pairs[i].upstream,
                          header_of(pairs[i].client, versions[i]));
        }
    }
    for (unsigned i = 0; i < 3; i++) {
        expect_served(&pairs[i]);
    }
    scene_close(&scene);
}

static void a_reload_changes_who_must_send_a_header(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", "");
    struct pair plain = scene_pair(&scene);
    expect_served(&plain);
    reload_with(&scene, "off", TRUSTING);
    struct pair behind = pair_behind(&scene, v2_from("192.0.2.7"));
    expect_served(&behind);
    expect_served(&plain);
    reload_with(&scene, "off",
                "proxy_protocol = on\nproxy_protocol_from = 127.9.0.1\n");
    expect_refused(NULL, &scene.front, "PROXY UNKNOWN\r\n");
    expect_served(&behind);
    reload_with(&scene, "off", "");
    struct pair other = scene_pair(&scene);
    expect_served(&other);
    expect_served(&behind);
    expect_served(&plain);
    scene_close(&scene);
}

/* It was asked for a header, and it is let go by none. */
static void one_that_is_sending_its_header_outlasts_a_reload(void **state)
{
    struct scene scene;
    (void)state;
    scene_open(&scene, "", TRUSTING);
    int fd = dial(&scene.front);
    send_text(fd, "PROXY UNK");
    stat_await(scene.proxy, "web", NULL, "active", 1);
    reload_with(&scene, "off", "");
    send_text(fd, "NOWN\r\nfirst");
    struct pair pair = {.client = fd, .upstream = take(scene.listener)};
    expect_text(pair.upstream, "first");
    expect_served(&pair);
    scene_close(&scene);
}

/* The service goes; the connection that is still to say who it is does not. */
static void one_that_is_sending_its_header_outlasts_its_service(void **state)
{
    struct place other = place_new();
    struct scene scene;
    (void)state;
    inlet_open(&scene, "");
    int fd = dial(&scene.front);
    send_text(fd, "PROXY UNK");
    stat_await(scene.proxy, "web", NULL, "active", 1);
    proxy_configure(scene.proxy,
                    "[service other]\nlisten = %s\nupstream = %s\n", other.text,
                    scene.back.text);
    proxy_reload(scene.proxy);
    send_text(fd, "NOWN\r\nfirst");
    struct pair pair = {.client = fd, .upstream = take(scene.listener)};
    expect_text(pair.upstream, "first");
    expect_served(&pair);
    pair_hang_up(&pair);
    eventually(!stat_listed(scene.proxy, "web", NULL));
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(the_source_of_version_1_is_the_client),
        E2E(the_source_of_version_2_is_the_client),
        E2E(a_header_without_addresses_names_nobody_else),
        E2E(a_header_of_a_unix_socket_is_taken),
        E2E(a_checksum_must_be_right),
        E2E(a_header_may_come_byte_by_byte),
        E2E(a_header_may_be_cut_anywhere),
        E2E(a_header_may_have_any_legal_length),
        E2E(what_follows_a_header_is_passed_on_unchanged),
        E2E(a_second_header_is_payload),
        E2E(a_header_may_come_with_the_end_of_the_stream),
        E2E(an_upstream_may_speak_first),
        E2E(the_named_client_is_who_the_pick_is_for),
        E2E(the_named_client_is_counted_by_source),
        E2E(the_named_client_has_an_accept_rate),
        E2E(the_services_limit_holds_behind_headers),
        E2E(the_named_client_is_let_in_or_kept_out),
        E2E(only_those_that_may_send_a_header_come_in),
        E2E(a_unix_socket_has_nobody_that_may_send_a_header),
        E2E(what_is_no_header_of_version_1_is_reset),
        E2E(a_line_that_does_not_end_is_reset),
        E2E(what_is_no_header_of_version_2_is_reset),
        E2E(bad_headers_fill_no_log),
        E2E(the_end_of_a_stream_within_a_header_is_a_bad_one),
        E2E(a_reset_within_a_header_is_the_clients),
        E2E(whoever_sends_no_header_runs_into_the_timeout),
        E2E(drops_do_not_extend_the_header_timeout),
        E2E(the_header_timeout_ends_with_the_header),
        E2E(those_that_send_no_header_hold_no_block),
        E2E(one_without_a_header_ends_with_the_process),
        E2E(who_may_send_headers_must_be_said),
        E2E(an_upstream_is_told_of_the_client),
        E2E(a_unix_client_has_no_address_to_tell),
        E2E(without_the_option_no_header_is_sent),
        E2E(the_command_line_takes_the_option_too),
        E2E(version_1_passes_on_what_came),
        E2E(version_2_passes_on_what_came),
        E2E(a_header_goes_before_what_waited),
        E2E(the_next_upstream_is_told_too),
        E2E(an_upstream_that_was_relayed_to_is_told_once),
        E2E(the_last_word_of_an_upstream_that_has_gone_is_owed),
        E2E(a_reload_changes_what_upstreams_are_told),
        E2E(a_reload_changes_who_must_send_a_header),
        E2E(one_that_is_sending_its_header_outlasts_a_reload),
        E2E(one_that_is_sending_its_header_outlasts_its_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
