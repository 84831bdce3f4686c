/*
 * A hundred thousand connections that end in every way, from both sides and at
 * any moment: each of them is counted once.
 */
#include "loopback.h"
#include "proxy.h"
#include "seed.h"
#include "server.h"
#include "socket.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS      10000
#define CONNECTIONS_LONG 100000
#define CLIENTS          8

/* How a side ends its connection. */
enum ending {
    ENDING_FIN,        /* closes after what it sent */
    ENDING_RESET,      /* resets at once */
    ENDING_HALF_CLOSE, /* FIN, then reads to the end */
    ENDING_UNREAD,     /* closes with the peer's bytes unread */
    ENDINGS
};

/* Before the close. */
static void prepare_end(int fd, enum ending ending)
{
    struct linger none = {.l_onoff = 1};
    char buffer[4096];

    switch (ending) {
    case ENDING_RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
        break;
    case ENDING_HALF_CLOSE:
        shutdown(fd, SHUT_WR);
        while (recv(fd, buffer, sizeof(buffer), 0) > 0) {
        }
        break;
    default:
        break;
    }
}

/* A client's first two bytes order how its upstream ends, and how many times
 * 256 bytes it sends before that. */
static void serve_order(int fd, const void *arg)
{
    static const char bytes[255 * 256];
    unsigned char order[2];

    (void)arg;
    if (recv(fd, order, sizeof(order), MSG_WAITALL) != (ssize_t)sizeof(order)) {
        return;
    }
    send(fd, bytes, order[1] * 256u, MSG_NOSIGNAL);
    if (order[0] % ENDINGS != ENDING_UNREAD) {
        char buffer[4096];

        recv(fd, buffer, sizeof(buffer), 0); /* some of what comes */
    }
    prepare_end(fd, order[0] % ENDINGS);
}

/* The clients of one thread, one after the other. */
struct clients {
    struct loopback front;
    struct seeded seeded;
    unsigned count;
    unsigned refused; /* connects that failed */
    pthread_t thread;
};

/* A random order, perhaps more bytes, perhaps an answer, and an end. */
static void use_connection(int fd, struct seeded *seeded)
{
    char bytes[8192] = {0};
    unsigned char order[2] = {(unsigned char)seeded_below(seeded, ENDINGS),
                              (unsigned char)seeded_below(seeded, 4)};

    if (seeded_below(seeded, 64) == 0) {
        order[1] = 255;
    }
    if (seeded_below(seeded, 8) > 0) { /* the others send nothing */
        send(fd, order, sizeof(order), MSG_NOSIGNAL);
        /* At least one byte, or both ends could wait for the other's. */
        send(fd, bytes, 1 + seeded_below(seeded, sizeof(bytes) - 1),
             MSG_NOSIGNAL);
        if (seeded_below(seeded, 2) == 1) {
            recv(fd, bytes, sizeof(bytes), 0);
        }
    }
    prepare_end(fd, (enum ending)seeded_below(seeded, ENDINGS));
}

static void *clients_main(void *arg)
{
    struct clients *clients = arg;

    for (unsigned i = 0; i < clients->count; i++) {
        int fd = socket_connect_blocking(&clients->front);

        if (fd < 0) {
            clients->refused++;
            continue;
        }
        use_connection(fd, &clients->seeded);
        close(fd);
    }
    return NULL;
}

/* Each with its own address: then the ports suffice. */
static struct proxy *start_proxy(struct clients *clients, unsigned total,
                                 const struct loopback *back)
{
    struct seeded seeded = seed_new();
    char listen[1024];
    size_t used = 0;

    for (int i = 0; i < CLIENTS; i++) {
        clients[i].front = loopback_new();
        clients[i].seeded = seeded_start(seeded_next(&seeded));
        clients[i].count = total / CLIENTS;
        used += (size_t)snprintf(listen + used, sizeof(listen) - used,
                                 "listen = %s\n", clients[i].front.text);
    }
    return proxy_start("[service web]\nupstream = %s\n"
                       "source_address = 127.40.0.1-127.40.0.9\n"
                       "idle_timeout = 30s\n%s",
                       back->text, listen);
}

static void run_clients(struct clients *clients)
{
    for (int i = 0; i < CLIENTS; i++) {
        pthread_create(&clients[i].thread, NULL, clients_main, &clients[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].refused, 0);
    }
}

static void every_connection_ends_once_with_one_cause(void **state)
{
    struct clients clients[CLIENTS] = {0};
    struct loopback back = loopback_new();
    unsigned total = test_long() ? CONNECTIONS_LONG : CONNECTIONS;
    struct server *server;
    struct proxy *proxy;
    const char *line;

    (void)state;
    server = server_start(&back, serve_order, NULL);
    proxy = start_proxy(clients, total, &back);
    run_clients(clients);
    stats_await(proxy, "web", NULL, "accepted", total);
    stats_await(proxy, "web", NULL, "active", 0);
    line = stats_line(proxy, "web", NULL);
    assert_int_equal(proxy_line_value(line, "accepted"), total);
    assert_int_equal(stats_ended(line), total);
    assert_true(proxy_line_value(line, "ended_client_fin") > total / 20);
    assert_true(proxy_line_value(line, "ended_upstream_fin") > total / 100);
    assert_true(proxy_line_value(line, "ended_client_reset") > total / 20);
    assert_true(proxy_line_value(line, "ended_upstream_reset") > total / 100);
    assert_int_equal(proxy_line_value(line, "ended_internal"), 0);
    assert_int_equal(proxy_line_value(line, "ended_idle_timeout"), 0);
    stats_await(proxy, NULL, NULL, "active", 0);
    stats_await(proxy, NULL, NULL, "buffers_lent", 0);
    stats_await(proxy, "web", back.text, "active", 0);
    proxy_stop(proxy);
    server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(every_connection_ends_once_with_one_cause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
