/*
 * The books: a hundred thousand connections that end in every way, from both
 * sides, at any moment, and each of them is counted once.
 */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS = 100000, CONNECTIONS_SLOW = 10000, CLIENTS = 8 };

/* How a side ends; the client says by its first byte what the upstream does. */
enum ending {
    END_FIN,        /* closes after what it sent */
    END_RESET,      /* resets at once */
    END_HALF_CLOSE, /* FIN, then reads to the end */
    END_MIDWAY,     /* closes with the other's bytes unread */
    ENDINGS
};

static void end_of(int fd, enum ending ending)
{
    struct linger none = {.l_onoff = 1};
    char buffer[4096];
    switch (ending) {
    case END_RESET:
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        break;
    case END_HALF_CLOSE:
        shutdown(fd, SHUT_WR);
        while (recv(fd, buffer, sizeof buffer, 0) > 0) {
        }
        break;
    default:
        break;
    }
}

/* Reads the order, sends as much as it says, and ends as it says. */
static void serve_order(int fd, const void *arg)
{
    unsigned char order[2];
    static const char bytes[255 * 256];
    (void)arg;
    if (recv(fd, order, sizeof order, MSG_WAITALL) != (ssize_t)sizeof order) {
        return;
    }
    send(fd, bytes, order[1] * 256u, MSG_NOSIGNAL);
    if (order[0] % ENDINGS != END_MIDWAY) {
        char buffer[4096];
        recv(fd, buffer, sizeof buffer, 0); /* some of what comes */
    }
    end_of(fd, order[0] % ENDINGS);
}

/* One thread's clients, one after the other. */
struct troop {
    struct place front;
    struct dice dice;
    unsigned count;
    unsigned refused; /* connects that failed */
    pthread_t thread;
};

/* A random order, maybe more bytes, maybe an answer, and an end. */
static void visit(int fd, struct dice *dice)
{
    char bytes[8192];
    unsigned char order[2] = {(unsigned char)dice_roll(dice, ENDINGS),
                              (unsigned char)dice_roll(dice, 4)};
    if (dice_roll(dice, 64) == 0) {
        order[1] = 255;
    }
    memset(bytes, 0, sizeof bytes);
    if (dice_roll(dice, 8) > 0) { /* else it goes without a word */
        send(fd, order, sizeof order, MSG_NOSIGNAL);
        /* At least one, or both might wait for the other's. */
        send(fd, bytes, 1 + dice_roll(dice, sizeof bytes - 1), MSG_NOSIGNAL);
        if (dice_roll(dice, 2)) {
            recv(fd, bytes, sizeof bytes, 0);
        }
    }
    enum ending ending = (enum ending)dice_roll(dice, ENDINGS);
    end_of(fd, ending);
}

static void *troop_main(void *arg)
{
    struct troop *troop = arg;
    for (unsigned i = 0; i < troop->count; i++) {
        int fd = peer_dial(&troop->front);
        if (fd < 0) {
            troop->refused++;
            continue;
        }
        visit(fd, &troop->dice);
        close(fd);
    }
    return NULL;
}

/* Of all "ended_..." in the line. */
static uint64_t sum_of_ended(const char *line)
{
    uint64_t sum = 0;
    while ((line = strstr(line, " ended_"))) {
        line = strchr(line, '=') + 1;
        sum += strtoull(line, NULL, 10);
    }
    return sum;
}

static void every_connection_ends_once_with_one_cause(void **state)
{
    struct troop troops[CLIENTS] = {0};
    struct place back = place_new();
    struct dice dice = dice_new();
    unsigned total = test_slow() ? CONNECTIONS_SLOW : CONNECTIONS;
    char config[2048];
    int used;
    (void)state;
    struct server *server = server_start(&back, serve_order, NULL);
    used = snprintf(config, sizeof config,
                    "[service web]\nupstream = %s\n"
                    "source_address = 127.40.0.1-127.40.0.9\n"
                    "idle_timeout = 30s\n",
                    back.text);
    for (int i = 0; i < CLIENTS; i++) { /* each its own: ports suffice */
        troops[i].front = place_new();
        troops[i].dice.state = dice_roll(&dice, UINT64_MAX);
        troops[i].count = total / CLIENTS;
        used += snprintf(config + used, sizeof config - (size_t)used,
                         "listen = %s\n", troops[i].front.text);
    }
    struct proxy *proxy = proxy_start("%s", config);
    for (int i = 0; i < CLIENTS; i++) {
        pthread_create(&troops[i].thread, NULL, troop_main, &troops[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(troops[i].thread, NULL);
        assert_int_equal(troops[i].refused, 0);
    }
    stat_await(proxy, "web", NULL, "active", 0);
    const char *line = stat_line(proxy, "web", NULL);
    assert_int_equal(line_number(line, "accepted"), total);
    assert_int_equal(sum_of_ended(line), total);
    assert_true(line_number(line, "ended_client_fin") > total / 20);
    assert_true(line_number(line, "ended_upstream_fin") > total / 100);
    assert_true(line_number(line, "ended_client_reset") > total / 20);
    assert_true(line_number(line, "ended_upstream_reset") > total / 100);
    assert_int_equal(line_number(line, "ended_internal"), 0);
    assert_int_equal(line_number(line, "ended_idle_timeout"), 0);
    stat_await(proxy, NULL, NULL, "active", 0);
    stat_await(proxy, NULL, NULL, "buffers_lent", 0);
    stat_await(proxy, "web", back.text, "active", 0);
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
