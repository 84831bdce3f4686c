/*
 * Datagrams: each passes whole, to the right one, or is counted as dropped; and
 * sessions begin and end as connections do.
 */
#include "harness.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIGGEST = 65507 };

enum { UP, DOWN };

/* One service "web" whose upstream is a socket in our hand. */
struct booth {
    struct place front;
    struct place back;
    int upstream;
    struct proxy *proxy;
};

/* The global keys, and short ones of ours where they say nothing. No session
 * ends by itself before a drain does. */
static const char *with_global(const char *global)
{
    static char text[256];
    snprintf(text, sizeof text, "[global]\n%s%s%s\n",
             strstr(global, "workers") ? "" : "workers = 1\n",
             strstr(global, "drain_timeout") ? "" : "drain_timeout = 50ms\n",
             global);
    return text;
}

static void booth_open(struct booth *booth, const char *global,
                       const char *service)
{
    booth->front = place_new();
    booth->back = place_new();
    booth->upstream = datagram_on(&booth->back);
    booth->proxy = proxy_start("%s[service web]\nmode = udp\n"
                               "listen = %s\nupstream = %s\n%s\n",
                               with_global(global), booth->front.text,
                               booth->back.text, service);
}

/* Whom the upstream hears. */
struct caller {
    struct sockaddr_storage address;
    socklen_t length;
};

static void say(int fd, const void *bytes, size_t count)
{
    ssize_t sent = send(fd, bytes, count, 0);
    assert_int_equal(sent, (ssize_t)count);
}

static void hear_from(int fd, const void *bytes, size_t count,
                      struct caller *caller)
{
    static char got[BIGGEST + 1];
    caller->length = sizeof caller->address;
    eventually(pending(fd, 100));
    ssize_t size =
        recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)&caller->address,
                 &caller->length);
    assert_int_equal(size, (ssize_t)count);
    assert_memory_equal(got, bytes, count);
}

static void hear(int fd, const void *bytes, size_t count)
{
    struct caller nobody;
    hear_from(fd, bytes, count, &nobody);
}

static void answer(int fd, const struct caller *caller, const void *bytes,
                   size_t count)
{
    ssize_t sent =
        sendto(fd, bytes, count, 0, (const struct sockaddr *)&caller->address,
               caller->length);
    assert_int_equal(sent, (ssize_t)count);
}

/* A message there and another back. */
static struct caller exchange(const struct booth *booth, int client)
{
    struct caller caller;
    say(client, "a", 1);
    hear_from(booth->upstream, "a", 1, &caller);
    answer(booth->upstream, &caller, "b", 1);
    hear(client, "b", 1);
    return caller;
}

static uint64_t web(const struct booth *booth, const char *key)
{
    return stat_get(booth->proxy, "web", NULL, key);
}

static uint64_t sum_of_ended(const char *line)
{
    uint64_t sum = 0;
    while ((line = strstr(line, " ended_"))) {
        line = strchr(line, '=') + 1;
        sum += strtoull(line, NULL, 10);
    }
    return sum;
}

static void assert_books(const struct booth *booth)
{
    const char *line = stat_line(booth->proxy, "web", NULL);
    assert_int_equal(line_number(line, "accepted"),
                     line_number(line, "active") + sum_of_ended(line));
}

static void datagrams_of_every_size_pass_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 512, 1472, 1473, 9000, BIGGEST, 0, 7};
    static char bytes[BIGGEST];
    struct booth booth;
    struct caller caller;
    uint64_t sum = 0;
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    booth_open(&booth, "", "");
    int client = datagram_dial(NULL, &booth.front);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        say(client, bytes, sizes[i]);
        hear_from(booth.upstream, bytes, sizes[i], &caller);
        answer(booth.upstream, &caller, bytes, sizes[i]);
        hear(client, bytes, sizes[i]);
        sum += sizes[i];
    }
    stat_await(booth.proxy, "web", NULL, "bytes_up", sum);
    stat_await(booth.proxy, "web", NULL, "bytes_down", sum);
    assert_int_equal(web(&booth, "accepted"), 1);
    assert_int_equal(web(&booth, "dropped"), 0);
    proxy_stop(booth.proxy);
}

/* Echoes until it is told to stop. */
struct echo {
    int fd;
    pthread_t thread;
    _Atomic bool stop; /* set by the test, read by the thread */
};

static void *echo_main(void *arg)
{
    struct echo *echo = arg;
    char bytes[2048];
    while (!echo->stop) {
        struct caller caller = {.length = sizeof caller.address};
        if (!pending(echo->fd, 10)) {
            continue;
        }
        ssize_t size =
            recvfrom(echo->fd, bytes, sizeof bytes, 0,
                     (struct sockaddr *)&caller.address, &caller.length);
        if (size >= 0) {
            sendto(echo->fd, bytes, (size_t)size, 0,
                   (struct sockaddr *)&caller.address, caller.length);
        }
    }
    return NULL;
}

static void echo_start(struct echo *echo, int fd)
{
    echo->fd = fd;
    echo->stop = false;
    assert_int_equal(pthread_create(&echo->thread, NULL, echo_main, echo), 0);
}

static void echo_stop(struct echo *echo)
{
    echo->stop = true;
    pthread_join(echo->thread, NULL);
}

static void each_of_many_clients_gets_its_own_answers(void **state)
{
    enum { CLIENTS = 200, ROUNDS = 50, AT_ONCE = 40 };
    struct booth booth;
    struct echo echo;
    int clients[CLIENTS];
    (void)state;
    booth_open(&booth, "workers = 2", "");
    echo_start(&echo, booth.upstream);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = datagram_dial(NULL, &booth.front);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned first = 0; first < CLIENTS; first += AT_ONCE) {
            for (unsigned i = first; i < first + AT_ONCE; i++) {
                unsigned word[2] = {i, round};
                say(clients[i], word, sizeof word);
            }
            for (unsigned i = first; i < first + AT_ONCE; i++) {
                unsigned word[2] = {i, round};
                hear(clients[i], word, sizeof word);
            }
        }
    }
    echo_stop(&echo);
    stat_await(booth.proxy, "web", NULL, "bytes_down",
               CLIENTS * ROUNDS * 2 * sizeof(unsigned));
    assert_int_equal(web(&booth, "active"), CLIENTS);
    assert_int_equal(web(&booth, "accepted"), CLIENTS);
    assert_int_equal(web(&booth, "dropped"), 0);
    assert_int_equal(stat_get(booth.proxy, "web", booth.back.text, "total"),
                     CLIENTS);
    proxy_stop(booth.proxy);
}

static void a_burst_of_one_client_passes_in_order(void **state)
{
    enum { BURST = 150 };
    struct booth booth;
    struct caller caller;
    (void)state;
    booth_open(&booth, "", "");
    int client = datagram_dial(NULL, &booth.front);
    caller = exchange(&booth, client);
    for (unsigned i = 0; i < BURST; i++) {
        say(client, &i, sizeof i);
    }
    for (unsigned i = 0; i < BURST; i++) {
        hear(booth.upstream, &i, sizeof i);
    }
    for (unsigned i = 0; i < BURST; i++) {
        answer(booth.upstream, &caller, &i, sizeof i);
    }
    for (unsigned i = 0; i < BURST; i++) {
        hear(client, &i, sizeof i);
    }
    assert_int_equal(web(&booth, "accepted"), 1);
    proxy_stop(booth.proxy);
}

/* Sends one message of the kernel's, which it divides: JOINED datagrams of EACH
 * bytes and a last one of one. */
enum { EACH = 300, JOINED = 20 };

static void say_train(int fd, const struct caller *caller, const char *bytes)
{
    const int each = EACH;
    ssize_t sent;
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof each) != 0) {
        skip();
    }
    sent = sendto(fd, bytes, JOINED * EACH + 1, 0,
                  caller ? (const struct sockaddr *)&caller->address : NULL,
                  caller ? caller->length : 0);
    assert_int_equal(sent, JOINED * EACH + 1);
}

static void hear_train(int fd, const char *bytes)
{
    for (unsigned i = 0; i < JOINED; i++) {
        hear(fd, bytes + i * EACH, EACH);
    }
    hear(fd, bytes + JOINED * EACH, 1);
}

static void what_a_sender_joined_arrives_as_it_was(void **state)
{
    static const char *const listens[] = {"127.0.0.1", "", "0.0.0.0", "[::1]"};
    char bytes[JOINED * EACH + 1];
    (void)state;
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
    for (size_t i = 0; i < sizeof listens / sizeof *listens; i++) {
        struct place front = place_on(listens[i]);
        struct place to = i == 3 ? front : place_at("127.0.0.1", &front);
        struct booth booth = {.back = place_new()};
        booth.upstream = datagram_on(&booth.back);
        booth.proxy = proxy_start(
            "%s[service web]\nmode = udp\nlisten = %s\nupstream = %s\n",
            with_global(""), front.text, booth.back.text);
        int client = datagram_dial(NULL, &to);
        struct caller caller = exchange(&booth, client);
        for (unsigned round = 0; round < 10; round++) {
            say_train(client, NULL, bytes);
            hear_train(booth.upstream, bytes);
            say_train(booth.upstream, &caller, bytes);
            hear_train(client, bytes);
        }
        assert_int_equal(web(&booth, "bytes_up"), 10 * sizeof bytes + 1);
        assert_int_equal(web(&booth, "bytes_down"), 10 * sizeof bytes + 1);
        assert_int_equal(web(&booth, "dropped"), 0);
        proxy_stop(booth.proxy);
    }
}

/* All of it waits for the proxy at once, so it may join what it can. */
static void a_burst_of_many_sizes_keeps_its_borders(void **state)
{
    static const size_t sizes[] = {1200, 1200, 1200, 1200, 7, 0, 0, 5000, 5000,
                                   1200, 1200, 1201, 1201, 1, 1, 1, 1200};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    static char bytes[5000];
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "");
    int client = datagram_dial(NULL, &booth.front);
    struct caller caller = exchange(&booth, client);
    for (unsigned way = UP; way <= DOWN; way++) {
        int receiver = way == UP ? booth.upstream : client;
        kill(proxy_pid(booth.proxy), SIGSTOP);
        for (unsigned i = 0; i < 3 * SIZES; i++) {
            bytes[0] = (char)i;
            if (way == UP) {
                say(client, bytes, sizes[i % SIZES]);
            } else {
                answer(booth.upstream, &caller, bytes, sizes[i % SIZES]);
            }
        }
        kill(proxy_pid(booth.proxy), SIGCONT);
        for (unsigned i = 0; i < 3 * SIZES; i++) {
            bytes[0] = (char)i;
            hear(receiver, bytes, sizes[i % SIZES]);
        }
    }
    assert_int_equal(web(&booth, "dropped"), 0);
    proxy_stop(booth.proxy);
}

/* Addresses and ports, as version 2 of the PROXY header has them. */
static size_t write_ends(int client, unsigned char *to)
{
    struct sockaddr_storage ends[2];
    socklen_t length = sizeof ends[0];
    getsockname(client, (struct sockaddr *)&ends[0], &length);
    getpeername(client, (struct sockaddr *)&ends[1], &length);
    bool six = ends[0].ss_family == AF_INET6;
    size_t size = six ? 16 : 4;
    for (size_t i = 0; i < 2; i++) {
        struct sockaddr_in *in = (struct sockaddr_in *)&ends[i];
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ends[i];
        memcpy(to + i * size,
               six ? (void *)&in6->sin6_addr : (void *)&in->sin_addr, size);
        memcpy(to + 2 * size + 2 * i, &in->sin_port, 2); /* of both alike */
    }
    return 2 * size + 4;
}

/* With the header that tells of the client at its head. */
static struct caller hear_headed(int fd, int client, const void *bytes,
                                 size_t count)
{
    static unsigned char all[BIGGEST];
    struct caller caller;
    memcpy(all, "\r\n\r\n\0\r\nQUIT\n\x21", 13);
    size_t size = write_ends(client, all + 16);
    all[13] = size == 12 ? 0x12 : 0x22;
    all[14] = 0;
    all[15] = (unsigned char)size;
    memcpy(all + 16 + size, bytes, count);
    hear_from(fd, all, 16 + size + count, &caller);
    return caller;
}

static void the_first_datagram_carries_the_header(void **state)
{
    static const char *const listens[] = {"127.0.0.1", "", "[::1]", "0.0.0.0"};
    static const char *const hosts[] = {"127.0.0.1", "127.9.8.7", "[::1]",
                                        "127.9.8.7"};
    (void)state;
    for (size_t i = 0; i < sizeof listens / sizeof *listens; i++) {
        struct place front = place_on(listens[i]);
        struct place to = place_at(hosts[i], &front);
        struct booth booth = {.back = place_new()};
        booth.upstream = datagram_on(&booth.back);
        booth.proxy = proxy_start("%s[service web]\nmode = udp\n"
                                  "listen = %s\nupstream = %s "
                                  "proxy_protocol=v2\n",
                                  with_global(""), front.text, booth.back.text);
        for (unsigned j = 0; j < 2; j++) {
            int client = datagram_dial(NULL, &to);
            say(client, "first", 5);
            struct caller caller =
                hear_headed(booth.upstream, client, "first", 5);
            say(client, "second", 6);
            hear(booth.upstream, "second", 6);
            answer(booth.upstream, &caller, "answer", 6);
            hear(client, "answer", 6);
        }
        assert_int_equal(web(&booth, "bytes_up"), 22);
        assert_int_equal(web(&booth, "bytes_down"), 12);
        proxy_stop(booth.proxy);
    }
}

/* One service whose upstream wants a header. */
static void booth_open_headed(struct booth *booth, const char *service)
{
    booth->front = place_new();
    booth->back = place_new();
    booth->upstream = datagram_on(&booth->back);
    booth->proxy = proxy_start("%s[service web]\nmode = udp\nlisten = %s\n"
                               "upstream = %s proxy_protocol=v2\n%s\n",
                               with_global(""), booth->front.text,
                               booth->back.text, service);
}

static void the_header_stands_before_the_first_of_many(void **state)
{
    char bytes[JOINED * EACH + 1];
    struct booth booth;
    (void)state;
    memset(bytes, 'x', sizeof bytes);
    booth_open_headed(&booth, "");
    int client = datagram_dial(NULL, &booth.front);
    say_train(client, NULL, bytes);
    hear_headed(booth.upstream, client, bytes, EACH);
    for (unsigned i = 1; i < JOINED; i++) {
        hear(booth.upstream, bytes, EACH);
    }
    hear(booth.upstream, bytes, 1);
    client = datagram_dial(NULL, &booth.front);
    say(client, "", 0); /* an empty one is one, too */
    hear_headed(booth.upstream, client, "", 0);
    assert_int_equal(web(&booth, "bytes_up"), sizeof bytes);
    assert_int_equal(web(&booth, "dropped"), 0);
    proxy_stop(booth.proxy);
}

static void a_datagram_without_room_leaves_the_header_to_the_next(void **state)
{
    static char bytes[BIGGEST];
    struct booth booth;
    (void)state;
    booth_open_headed(&booth, "");
    int client = datagram_dial(NULL, &booth.front);
    say(client, bytes, BIGGEST - 27);
    stat_await(booth.proxy, "web", NULL, "dropped", 1);
    say(client, bytes, BIGGEST - 28);
    hear_headed(booth.upstream, client, bytes, BIGGEST - 28);
    say(client, bytes, BIGGEST);
    hear(booth.upstream, bytes, BIGGEST);
    assert_int_equal(web(&booth, "dropped"), 1);
    assert_int_equal(web(&booth, "accepted"), 1);
    proxy_stop(booth.proxy);
}

static void replies_leave_from_the_address_that_was_sent_to(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "127.9.8.7", "[::1]"};
    static const char *const listens[] = {"", "0.0.0.0"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct place front = place_on(listens[i]);
        struct booth booth = {.back = place_new()};
        booth.upstream = datagram_on(&booth.back);
        booth.proxy = proxy_start(
            "%s[service web]\nmode = udp\nlisten = %s\nupstream = %s\n",
            with_global("workers = 2\n"), front.text, booth.back.text);
        for (size_t j = 0; j < 3 - i; j++) {
            struct place place = place_at(hosts[j], &front);
            int client = datagram_dial(NULL, &place);
            exchange(&booth, client);
            exchange(&booth, client);
        }
        assert_int_equal(web(&booth, "accepted"), 3 - i);
        proxy_stop(booth.proxy);
    }
}

/* One socket that talks to two of our addresses has two sessions. */
static void each_address_that_a_client_sends_to_is_a_session(void **state)
{
    struct place front = place_on("");
    struct place own = place_on("0.0.0.0");
    struct booth booth = {.back = place_new()};
    struct caller callers[2];
    struct sockaddr_in to = {.sin_family = AF_INET};
    (void)state;
    booth.upstream = datagram_on(&booth.back);
    booth.proxy =
        proxy_start("%s[service web]\nmode = udp\nlisten = %s\nupstream = %s\n",
                    with_global(""), front.text, booth.back.text);
    int client = datagram_on(&own);
    to.sin_port = htons((uint16_t)atoi(strrchr(front.text, ':') + 1));
    for (uint32_t i = 0; i < 2; i++) {
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + i);
        sendto(client, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        hear_from(booth.upstream, "x", 1, &callers[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct caller from;
        answer(booth.upstream, &callers[1 - i], "y", 1);
        hear_from(client, "y", 1, &from);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 - i);
        assert_memory_equal(&((struct sockaddr_in *)&from.address)->sin_addr,
                            &to.sin_addr, sizeof to.sin_addr);
    }
    assert_int_equal(web(&booth, "active"), 2);
    proxy_stop(booth.proxy);
}

static void an_idle_session_ends_and_a_busy_one_stays(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "access_log = yes", "idle_timeout = 500ms");
    int idle = datagram_dial(NULL, &booth.front);
    int busy = datagram_dial(NULL, &booth.front);
    exchange(&booth, idle);
    int64_t begin = time_ms();
    while (time_ms() < begin + 1500) {
        exchange(&booth, busy);
        time_tick();
    }
    await_cause(booth.proxy, "idle_timeout", 1);
    assert_int_equal(web(&booth, "active"), 1);
    const char *line = proxy_line(booth.proxy, "conn service=web ");
    assert_non_null(strstr(line, "cause=idle_timeout bytes_up=1 bytes_down=1"));
    await_cause(booth.proxy, "idle_timeout", 2);
    exchange(&booth, idle);
    assert_int_equal(web(&booth, "accepted"), 3);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void a_session_lives_no_longer_than_max_lifetime(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "max_lifetime = 600ms");
    int client = datagram_dial(NULL, &booth.front);
    int64_t begin = time_ms();
    while (time_ms() < begin + 800) {
        say(client, "a", 1); /* an answer might come too late */
        hear(booth.upstream, "a", 1);
        time_tick();
    }
    assert_int_equal(web(&booth, "ended_max_lifetime"), 1);
    assert_int_equal(web(&booth, "accepted"), 2);
    proxy_stop(booth.proxy);
}

static void a_session_ends_with_the_last_of_its_replies(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "udp_responses = 2");
    int client = datagram_dial(NULL, &booth.front);
    struct caller caller = exchange(&booth, client);
    assert_int_equal(web(&booth, "active"), 1);
    answer(booth.upstream, &caller, "c", 1);
    answer(booth.upstream, &caller, "never", 5);
    hear(client, "c", 1);
    await_cause(booth.proxy, "upstream_fin", 1);
    assert_int_equal(web(&booth, "active"), 0);
    expect_silence(client, 50);
    exchange(&booth, client);
    assert_int_equal(web(&booth, "accepted"), 2);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void the_longest_idle_session_makes_room(void **state)
{
    struct booth booth;
    int clients[4];
    (void)state;
    booth_open(&booth, "access_log = yes", "max_sessions = 3");
    for (unsigned i = 0; i < 3; i++) {
        clients[i] = datagram_dial(source_new(i + 1), &booth.front);
        exchange(&booth, clients[i]);
    }
    exchange(&booth, clients[0]); /* so the second is the one */
    clients[3] = datagram_dial(source_new(4), &booth.front);
    exchange(&booth, clients[3]);
    await_cause(booth.proxy, "limit_connections", 1);
    assert_non_null(
        strstr(proxy_line(booth.proxy, "conn service=web "), source_new(2)));
    assert_int_equal(web(&booth, "active"), 3);
    exchange(&booth, clients[0]);
    exchange(&booth, clients[2]);
    exchange(&booth, clients[3]);
    assert_int_equal(web(&booth, "accepted"), 4);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void one_session_at_a_time_serves_many_clients(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "max_sessions = 1");
    for (unsigned i = 0; i < 50; i++) {
        exchange(&booth, datagram_dial(NULL, &booth.front));
    }
    await_cause(booth.proxy, "limit_connections", 49);
    assert_int_equal(web(&booth, "active"), 1);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

/* Its first datagram goes nowhere, for that cause. */
static void assert_kept_out(const struct booth *booth, const char *source,
                            const char *cause)
{
    char key[64];
    snprintf(key, sizeof key, "ended_%s", cause);
    uint64_t before = web(booth, key);
    uint64_t dropped = web(booth, "dropped");
    int client = datagram_dial(source, &booth->front);
    say(client, "x", 1);
    await_cause(booth->proxy, cause, before + 1);
    stat_await(booth->proxy, "web", NULL, "dropped", dropped + 1);
    expect_silence(booth->upstream, 20);
}

static void limits_count_sessions_as_connections(void **state)
{
    char keys[256];
    struct booth booth;
    (void)state;
    snprintf(keys, sizeof keys,
             "max_connections = 3\nmax_connections_per_source = 2\n"
             "deny = %s\n",
             source_new(9));
    booth_open(&booth, "", keys);
    assert_kept_out(&booth, source_new(9), "denied");
    exchange(&booth, datagram_dial(source_new(1), &booth.front));
    exchange(&booth, datagram_dial(source_new(1), &booth.front));
    assert_kept_out(&booth, source_new(1), "limit_source");
    exchange(&booth, datagram_dial(source_new(2), &booth.front));
    assert_kept_out(&booth, source_new(3), "limit_connections");
    assert_int_equal(web(&booth, "active"), 3);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void accept_rates_are_for_new_sessions(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "accept_rate_per_source = 1");
    int client = datagram_dial(source_new(1), &booth.front);
    exchange(&booth, client);
    assert_kept_out(&booth, source_new(1), "limit_rate");
    exchange(&booth, client);
    exchange(&booth, datagram_dial(source_new(2), &booth.front));
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void at_the_limit_of_the_process_new_clients_are_dropped(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "max_connections = 1", "");
    int first = datagram_dial(NULL, &booth.front);
    int second = datagram_dial(NULL, &booth.front);
    exchange(&booth, first);
    say(second, "x", 1);
    stat_await(booth.proxy, "web", NULL, "dropped", 1);
    exchange(&booth, first);
    assert_int_equal(web(&booth, "accepted"), 1);
    proxy_stop(booth.proxy);
}

static void what_is_over_a_rate_is_dropped_whole(void **state)
{
    enum { COUNT = 40, BYTES = 1000 };
    static char bytes[BYTES];
    struct booth booth;
    unsigned passed = 0;
    (void)state;
    booth_open(&booth, "", "rate_up = 1K\nrate_burst = 10K");
    int client = datagram_dial(NULL, &booth.front);
    for (unsigned i = 0; i < COUNT; i++) {
        say(client, bytes, BYTES);
    }
    eventually(web(&booth, "bytes_up") / BYTES + web(&booth, "dropped") ==
               COUNT);
    while (pending(booth.upstream, 50)) {
        hear(booth.upstream, bytes, BYTES);
        passed++;
    }
    assert_int_equal(web(&booth, "bytes_up"), passed * BYTES);
    assert_in_range(passed, 10, 14);
    say(client, bytes, 0); /* an empty one costs nothing */
    hear(booth.upstream, bytes, 0);
    proxy_stop(booth.proxy);
}

static void a_rate_counts_what_was_joined_one_by_one(void **state)
{
    static char bytes[JOINED * EACH + 1];
    struct booth booth;
    unsigned passed = 0;
    (void)state;
    booth_open(&booth, "", "rate_up = 1K\nrate_burst = 3K");
    int client = datagram_dial(NULL, &booth.front);
    say_train(client, NULL, bytes);
    eventually(web(&booth, "bytes_up") / EACH + web(&booth, "dropped") ==
               JOINED + 1);
    while (pending(booth.upstream, 50)) {
        hear(booth.upstream, bytes, EACH);
        passed++;
    }
    assert_int_equal(web(&booth, "bytes_up"), passed * EACH);
    assert_in_range(passed, 10, 12);
    proxy_stop(booth.proxy);
}

static void replies_count_one_by_one_though_they_were_joined(void **state)
{
    static char bytes[JOINED * EACH + 1];
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "udp_responses = 30");
    int client = datagram_dial(NULL, &booth.front);
    struct caller caller = exchange(&booth, client);
    say_train(booth.upstream, &caller, bytes);
    hear_train(client, bytes); /* so it is a flow */
    say_train(booth.upstream, &caller, bytes);
    for (unsigned i = 0; i < 8; i++) {
        hear(client, bytes, EACH);
    }
    await_cause(booth.proxy, "upstream_fin", 1);
    expect_silence(client, 50);
    assert_int_equal(web(&booth, "bytes_down"), 28 * EACH + 2);
    proxy_stop(booth.proxy);
}

static void a_rate_of_the_service_is_shared(void **state)
{
    static char bytes[1000];
    struct booth booth;
    struct caller caller;
    (void)state;
    booth_open(&booth, "", "service_rate_down = 1K\nrate_burst = 4K");
    for (unsigned i = 0; i < 4; i++) {
        int client = datagram_dial(NULL, &booth.front);
        say(client, "x", 1);
        hear_from(booth.upstream, "x", 1, &caller);
        for (unsigned n = 0; n < 5; n++) {
            answer(booth.upstream, &caller, bytes, sizeof bytes);
        }
    }
    eventually(web(&booth, "bytes_down") / sizeof bytes +
                   web(&booth, "dropped") ==
               20);
    assert_in_range(web(&booth, "bytes_down") / sizeof bytes, 4, 8);
    proxy_stop(booth.proxy);
}

static void a_dead_upstream_is_found_by_its_refusals(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "", "fail_threshold = 3\nfail_window = 1s");
    hang_up(booth.upstream);
    int client = datagram_dial(NULL, &booth.front);
    for (unsigned i = 1; i <= 3; i++) {
        say(client, "x", 1);
        await_cause(booth.proxy, "connect_refused", i);
    }
    proxy_line(booth.proxy, "upstream service=web .* state=down "
                            "cause=connect_refused");
    assert_int_equal(stat_get(booth.proxy, "web", booth.back.text, "failed"),
                     3);
    say(client, "x", 1);
    await_cause(booth.proxy, "no_upstream", 1);
    booth.upstream = datagram_on(&booth.back);
    proxy_line(booth.proxy, "upstream service=web .* state=up");
    exchange(&booth, client);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void what_a_dying_upstream_sent_still_arrives(void **state)
{
    struct booth booth;
    struct caller caller;
    (void)state;
    booth_open(&booth, "", "");
    int client = datagram_dial(NULL, &booth.front);
    caller = exchange(&booth, client);
    kill(proxy_pid(booth.proxy), SIGSTOP);
    answer(booth.upstream, &caller, "last", 4);
    answer(booth.upstream, &caller, "words", 5);
    hang_up(booth.upstream);
    say(client, "a", 1);
    say(client, "b", 1);
    kill(proxy_pid(booth.proxy), SIGCONT);
    hear(client, "last", 4);
    hear(client, "words", 5);
    await_cause(booth.proxy, "connect_refused", 1);
    proxy_stop(booth.proxy);
}

static void configure(const struct booth *booth, const char *listen,
                      const char *service)
{
    proxy_configure(booth->proxy,
                    "%s[service web]\nmode = udp\n"
                    "listen = %s\nupstream = %s\n%s\n",
                    with_global(""), listen, booth->back.text, service);
    proxy_reload(booth->proxy);
}

static void a_reload_keeps_sessions_and_their_configuration(void **state)
{
    struct booth booth;
    char before[256];
    (void)state;
    booth_open(&booth, "", "");
    int client = datagram_dial(NULL, &booth.front);
    struct caller caller = exchange(&booth, client);
    snprintf(before, sizeof before, "deny = 0.0.0.0/0");
    configure(&booth, booth.front.text, before);
    struct caller after = exchange(&booth, client);
    assert_memory_equal(&caller.address, &after.address, caller.length);
    assert_kept_out(&booth, NULL, "denied");
    exchange(&booth, client);
    assert_int_equal(web(&booth, "active"), 1);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void sessions_outlive_their_listener(void **state)
{
    struct booth booth;
    struct place elsewhere = place_new();
    (void)state;
    booth_open(&booth, "", "idle_timeout = 2s");
    int client = datagram_dial(NULL, &booth.front);
    int stranger = datagram_dial(NULL, &booth.front);
    exchange(&booth, client);
    configure(&booth, elsewhere.text, "");
    exchange(&booth, client);
    say(stranger, "x", 1);
    expect_silence(booth.upstream, 50);
    exchange(&booth, datagram_dial(NULL, &elsewhere));
    assert_int_equal(web(&booth, "accepted"), 2);

    /* The address comes back, and whoever gets them lets clients in. */
    configure(&booth, booth.front.text, "");
    for (unsigned i = 0; i < 20; i++) {
        exchange(&booth, datagram_dial(NULL, &booth.front));
    }
    exchange(&booth, client);
    assert_books(&booth);
    proxy_stop(booth.proxy);
}

static void a_socket_without_sessions_goes_with_its_address(void **state)
{
    struct booth booth;
    struct place elsewhere = place_new();
    (void)state;
    booth_open(&booth, "", "udp_responses = 1");
    exchange(&booth, datagram_dial(NULL, &booth.front));
    await_cause(booth.proxy, "upstream_fin", 1);
    unsigned before = proxy_entries(booth.proxy, "fd");
    configure(&booth, elsewhere.text, "");
    eventually(proxy_entries(booth.proxy, "fd") == before);
    int fd = datagram_on(&booth.front); /* the port is free */
    hang_up(fd);
    proxy_stop(booth.proxy);
}

static void tcp_and_udp_share_an_address(void **state)
{
    struct booth booth = {.front = place_new(), .back = place_new()};
    int listener = listen_on(&booth.back);
    (void)state;
    booth.upstream = datagram_on(&booth.back);
    booth.proxy =
        proxy_start("%s[service web]\nmode = udp\nlisten = %s\nupstream = %s\n"
                    "[service other]\nlisten = %s\nupstream = %s\n",
                    with_global(""), booth.front.text, booth.back.text,
                    booth.front.text, booth.back.text);
    exchange(&booth, datagram_dial(NULL, &booth.front));
    int client = dial(&booth.front);
    int upstream = take(listener);
    send_text(client, "x");
    expect_text(upstream, "x");
    assert_int_equal(stat_get(booth.proxy, "other", NULL, "accepted"), 1);
    assert_int_equal(web(&booth, "accepted"), 1);
    proxy_stop(booth.proxy);
}

static void a_drain_lets_sessions_go_on_until_its_end(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "drain_timeout = 1s\naccess_log = yes", "");
    int client = datagram_dial(NULL, &booth.front);
    int stranger = datagram_dial(NULL, &booth.front);
    exchange(&booth, client);
    proxy_signal(booth.proxy, SIGTERM);
    proxy_line(booth.proxy, "stopping ");
    exchange(&booth, client);
    say(stranger, "x", 1);
    expect_silence(booth.upstream, 50);
    proxy_line(booth.proxy, "conn service=web .* cause=drain ");
    assert_int_equal(proxy_wait(booth.proxy), 0);
}

static void a_quiet_session_ends_early_in_a_drain(void **state)
{
    struct booth booth;
    (void)state;
    booth_open(&booth, "drain_timeout = 1m\naccess_log = yes", "");
    int client = datagram_dial(NULL, &booth.front);
    exchange(&booth, client);
    int64_t begun = time_ms();
    proxy_signal(booth.proxy, SIGTERM);
    proxy_line(booth.proxy, "stopping ");
    exchange(&booth, client);
    proxy_line(booth.proxy, "conn service=web .* cause=drain ");
    assert_int_equal(proxy_wait(booth.proxy), 0);
    assert_in_range(time_ms() - begun, 1900, 30000);
}

static void a_port_that_is_taken_is_an_error(void **state)
{
    struct place front = place_new();
    struct outcome outcome;
    char text[256];
    (void)state;
    datagram_on(&front);
    snprintf(text, sizeof text,
             "[service web]\nmode = udp\nlisten = %s\nupstream = 127.0.0.1:9\n",
             front.text);
    const char *path = file_write("taken.ini", text);
    const char *const arguments[] = {"evproxy", "-c", path, NULL};
    run_once(&outcome, arguments);
    assert_int_equal(outcome.status, 1);
    assert_non_null(strstr(outcome.err, front.text));
}

/* The record, its place in the table, its timer: all that is ours. */
static void a_session_costs_no_more_than_400_bytes(void **state)
{
    enum { SESSIONS = 6000, AT_ONCE = 50 };
    static int clients[SESSIONS];
    struct booth booth;
    struct echo echo;
    (void)state;
    if (test_slow()) {
        skip();
    }
    booth_open(&booth, "", "");
    echo_start(&echo, booth.upstream);
    uint64_t before = 0;
    for (unsigned i = 0; i < SESSIONS; i += AT_ONCE) {
        for (unsigned j = i; j < i + AT_ONCE; j++) {
            clients[j] = datagram_dial(source_new(j % 100 + 1), &booth.front);
            say(clients[j], "x", 1);
        }
        for (unsigned j = i; j < i + AT_ONCE; j++) {
            hear(clients[j], "x", 1);
        }
        if (i == 10 * AT_ONCE) {
            before = proxy_resident(booth.proxy);
        }
    }
    uint64_t after = proxy_resident(booth.proxy);
    assert_int_equal(web(&booth, "active"), SESSIONS);
    assert_true(after - before <
                (uint64_t)(SESSIONS - 11 * AT_ONCE) * 400 + 65536);
    echo_stop(&echo);
    proxy_stop(booth.proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(datagrams_of_every_size_pass_whole),
        E2E(each_of_many_clients_gets_its_own_answers),
        E2E(a_burst_of_one_client_passes_in_order),
        E2E(what_a_sender_joined_arrives_as_it_was),
        E2E(a_burst_of_many_sizes_keeps_its_borders),
        E2E(the_first_datagram_carries_the_header),
        E2E(the_header_stands_before_the_first_of_many),
        E2E(a_datagram_without_room_leaves_the_header_to_the_next),
        E2E(replies_leave_from_the_address_that_was_sent_to),
        E2E(each_address_that_a_client_sends_to_is_a_session),
        E2E(an_idle_session_ends_and_a_busy_one_stays),
        E2E(a_session_lives_no_longer_than_max_lifetime),
        E2E(a_session_ends_with_the_last_of_its_replies),
        E2E(the_longest_idle_session_makes_room),
        E2E(one_session_at_a_time_serves_many_clients),
        E2E(limits_count_sessions_as_connections),
        E2E(accept_rates_are_for_new_sessions),
        E2E(at_the_limit_of_the_process_new_clients_are_dropped),
        E2E(what_is_over_a_rate_is_dropped_whole),
        E2E(a_rate_counts_what_was_joined_one_by_one),
        E2E(replies_count_one_by_one_though_they_were_joined),
        E2E(a_rate_of_the_service_is_shared),
        E2E(a_dead_upstream_is_found_by_its_refusals),
        E2E(what_a_dying_upstream_sent_still_arrives),
        E2E(a_reload_keeps_sessions_and_their_configuration),
        E2E(sessions_outlive_their_listener),
        E2E(a_socket_without_sessions_goes_with_its_address),
        E2E(tcp_and_udp_share_an_address),
        E2E(a_drain_lets_sessions_go_on_until_its_end),
        E2E(a_quiet_session_ends_early_in_a_drain),
        E2E(a_port_that_is_taken_is_an_error),
        E2E(a_session_costs_no_more_than_400_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
