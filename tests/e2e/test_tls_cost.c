/*
 * What TLS costs: memory for each connection, memory that a burst, failed
 * handshakes and reloads leave behind, and the time that handshakes take from
 * other connections.
 */
#include "fixture.h"
#include "loopback.h"
#include "pair.h"
#include "proc.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "tls_expect.h"
#include "tls_fixture.h"
#include "tls_options.h"
#include "wait.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define IDLE 1000

/* At most for each. OpenSSL 3.5 keeps twice as much as 3.0, some 6 KB of it for
 * the hybrid key exchange that it prefers. */
#define IDLE_BYTES                                                             \
    (OpenSSL_version_num() < 0x30500000L ? 20 * 1024U : 36 * 1024U)

static struct pair idle[IDLE];

static void idle_open(const struct fixture *fixture)
{
    struct tls_options client = tls_fixture_client(0);

    client.context = tls_options_context(&client, false);
    for (unsigned i = 0; i < IDLE; i++) {
        idle[i] = tls_pair_connect(fixture, &client);
        pair_ping(&idle[i]);
    }
    SSL_CTX_free(client.context);
}

static void idle_close(const struct fixture *fixture)
{
    for (unsigned i = 0; i < IDLE; i++) {
        pair_close(&idle[i]);
    }
    stats_await(fixture->proxy, "web", NULL, "active", 0);
}

static void skip_if_slow(void)
{
    if (test_slow()) {
        skip_because("a slow run compares no figures");
    }
}

/* ---- memory ---- */

static void an_idle_connection_costs_what_openssl_keeps_of_it(void **state)
{
    struct fixture fixture;

    (void)state;
    skip_if_slow();
    tls_fixture_open(&fixture, "", "");
    tls_fixture_expect_certificate(&fixture, "server");
    uint64_t before = proc_settled_resident(fixture.proxy);
    idle_open(&fixture);
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t first = proc_settled_resident(fixture.proxy);
    idle_close(&fixture);
    idle_open(&fixture);
    uint64_t second = proc_settled_resident(fixture.proxy);
    print_message("%.1f KiB a connection, %.1f of the same number again\n",
                  ((double)first - (double)before) / IDLE / 1024,
                  ((double)second - (double)before) / IDLE / 1024);
    assert_true(first <= before + (uint64_t)IDLE * IDLE_BYTES);
    assert_true(second <= first + first / 10);
    idle_close(&fixture);
    fixture_close(&fixture);
}

/* OpenSSL's buffers for a record are held while there is one. */
static void the_memory_of_a_burst_goes_back(void **state)
{
    static unsigned char bytes[64 * 1024];
    struct fixture fixture;

    (void)state;
    skip_if_slow();
    tls_fixture_open(&fixture, "", "");
    idle_open(&fixture);
    uint64_t before = proc_settled_resident(fixture.proxy);
    for (unsigned i = 0; i < IDLE; i++) {
        struct stream up = {.fd = idle[i].upstream, .bytes = sizeof(bytes)};
        struct stream down = {.fd = idle[i].client, .bytes = sizeof(bytes)};

        stream_fill(&up, bytes);
        socket_send(idle[i].client, bytes, sizeof(bytes));
        stream_expect(&up);
        socket_send(idle[i].upstream, bytes, sizeof(bytes));
        stream_expect(&down);
    }
    stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
    uint64_t after = proc_settled_resident(fixture.proxy);
    print_message("%lu KiB before, %lu after\n", (unsigned long)before / 1024,
                  (unsigned long)after / 1024);
    assert_true(after <= before + before / 10);
    idle_close(&fixture);
    fixture_close(&fixture);
}

static void the_memory_of_many_connections_goes_back(void **state)
{
    enum { COUNT = 300, EACH = 10 * 1024, ROOM = 1536 * 1024 };
    static struct pair pairs[COUNT];
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;

    (void)state;
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < 2; i++) { /* the first ones allocate what stays */
        tls_fixture_expect_certificate(&fixture, "server");
    }
    uint64_t before = proc_resident(fixture.proxy);
    for (unsigned i = 0; i < COUNT; i++) {
        pairs[i] = tls_pair_connect(&fixture, &client);
        pair_ping(&pairs[i]);
    }
    uint64_t full = proc_resident(fixture.proxy);
    assert_true(full > before + COUNT * EACH);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_close(&pairs[i]);
    }
    stats_await(fixture.proxy, NULL, NULL, "active", 0);
    uint64_t after = proc_await_resident(fixture.proxy, before + ROOM);
    print_message("%lu KiB before, %lu with %d connections, %lu after\n",
                  (unsigned long)before / 1024, (unsigned long)full / 1024,
                  COUNT, (unsigned long)after / 1024);
    assert_true(test_slow() || after <= before + ROOM);
    fixture_close(&fixture);
}

static void handshakes_that_fail_leave_nothing_behind(void **state)
{
    enum { FAILING = 2000 };
    struct tls_options old = {.version = TLS1_1_VERSION};
    struct fixture fixture;
    uint64_t middle = 0;

    (void)state;
    skip_if_slow();
    old.context = tls_options_context(&old, false);
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 1; i <= FAILING; i++) {
        tls_expect_connect_refused(&fixture.front, &old, NULL);
        if (i == FAILING / 2) {
            middle = proc_settled_resident(fixture.proxy);
        }
    }
    stats_await_cause(fixture.proxy, "tls_error", FAILING);
    assert_true(proc_settled_resident(fixture.proxy) <= middle + 512 * 1024);
    SSL_CTX_free(old.context);
    fixture_close(&fixture);
}

static void reloads_leave_nothing_behind(void **state)
{
    enum { RELOADS = 200 };
    struct fixture fixture;
    uint64_t middle = 0;

    (void)state;
    skip_if_slow();
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 1; i <= RELOADS; i++) {
        tls_fixture_reload(&fixture, "");
        tls_fixture_expect_certificate(&fixture, "server");
        if (i == RELOADS / 2) {
            middle = proc_settled_resident(fixture.proxy);
        }
    }
    assert_true(proc_settled_resident(fixture.proxy) <= middle + 1024 * 1024);
    fixture_close(&fixture);
}

/* ---- time ---- */

#define STORM    200
#define STORM_MS 20000

/* Clients in one thread that do nothing but handshakes, all at once. */
static struct storm {
    struct loopback front;
    SSL_CTX *context;
    struct {
        int fd;
        SSL *ssl; /* NULL: could not connect */

    } clients[STORM];
    atomic_bool stop; /* set by the main thread */
    atomic_uint done; /* handshakes; counted by the storm's thread */
    pthread_t thread;
} storm;

static void storm_drop(unsigned i)
{
    if (storm.clients[i].ssl != NULL) {
        SSL_free(storm.clients[i].ssl);
        close(storm.clients[i].fd);
        storm.clients[i].ssl = NULL;
    }
}

static void storm_renew(unsigned i)
{
    int fd;

    storm_drop(i);
    fd = socket_connect_blocking(&storm.front);
    storm.clients[i].fd = fd;
    storm.clients[i].ssl = fd >= 0 ? SSL_new(storm.context) : NULL;
    if (storm.clients[i].ssl != NULL) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        SSL_set_fd(storm.clients[i].ssl, fd);
        SSL_set_connect_state(storm.clients[i].ssl);
    }
}

static void storm_step(unsigned i)
{
    SSL *ssl = storm.clients[i].ssl;
    int result = -1;

    ERR_clear_error();
    if (ssl != NULL) {
        result = SSL_do_handshake(ssl);
    }
    if (result == 1) {
        storm.done++;
    }
    if (ssl == NULL || result == 1 ||
        SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) {
        storm_renew(i);
    }
}

static void *storm_main(void *arg)
{
    int64_t limit = wait_now_ms() + STORM_MS;
    sigset_t broken_pipe;

    (void)arg;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, NULL);
    while (!storm.stop && wait_now_ms() < limit) {
        for (unsigned i = 0; i < STORM; i++) {
            storm_step(i);
        }
    }
    for (unsigned i = 0; i < STORM; i++) {
        storm_drop(i);
    }
    return NULL;
}

static void storm_start(const struct loopback *front)
{
    struct tls_options client = {.name = "a.example"};
    int error;

    storm.front = *front;
    storm.context = tls_options_context(&client, false);
    assert_non_null(storm.context);
    storm.stop = false;
    storm.done = 0;
    error = pthread_create(&storm.thread, NULL, storm_main, NULL);
    assert_int_equal(error, 0);
    wait_until(storm.done > STORM);
}

static void storm_stop(void)
{
    storm.stop = true;
    pthread_join(storm.thread, NULL);
    SSL_CTX_free(storm.context);
}

static void handshakes_delay_no_other_connection(void **state)
{
    struct loopback stormed = loopback_new();
    struct loopback refusing = server_refusing();
    struct tls_options client = tls_fixture_client(0);
    struct fixture fixture;
    char service[1024];

    (void)state;
    snprintf(service, sizeof(service),
             "[service stormed]\nlisten = %s\nupstream = %s\n%s"
             "fail_threshold = off",
             stormed.text, refusing.text,
             tls_fixture_keys(tls_fixture_identity()));
    tls_fixture_open(&fixture, "workers = 1", service);
    struct pair pair = tls_pair_connect(&fixture, &client);
    storm_start(&stormed);
    unsigned before = storm.done;
    int64_t begin = wait_now_ms();
    while (storm.done - before < (test_slow() ? 200 : 1000)) {
        pair_expect_prompt(&pair);
    }
    print_message("%u handshakes meanwhile, in %d ms\n", storm.done - before,
                  (int)(wait_now_ms() - begin));
    storm_stop();
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(an_idle_connection_costs_what_openssl_keeps_of_it),
        E2E(the_memory_of_a_burst_goes_back),
        E2E(the_memory_of_many_connections_goes_back),
        E2E(handshakes_that_fail_leave_nothing_behind),
        E2E(reloads_leave_nothing_behind),
        E2E(handshakes_delay_no_other_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
