/*
 * Sessions that move from one plane to another while bytes flow: two planes in
 * two threads, an echo server, clients that check every byte, and a conductor
 * who has all sessions moved to and fro.
 *
 * It drives the data plane directly, since the daemon has no command for it.
 */
#include "config/load.h"
#include "net/listen.h"
#include "proxy/reactor.h"
#include "proxy/session_image.h"
#include "proxy/socket_options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLANES      2
#define CLIENTS     12
#define BLOCK_BYTES 16384u
#define PIECE_BYTES 65536u

enum message_type {
    MESSAGE_MOVE_ALL = PLANE_MESSAGE_TYPES, /* move what you have */
    MESSAGE_IMAGE,                          /* take this up */
    MESSAGE_TAKEN,                          /* what became of it */
    MESSAGE_STOP,
};

struct move {
    struct message message;
    struct session *session; /* frozen, of the plane that began it */
    struct session_image image;
    unsigned from;
    bool arrived;
};

static struct {
    struct shared shared;
    struct mailbox control;
    struct generation *generation;
    struct reactor planes[PLANES];
    pthread_t threads[PLANES];
    struct message move_all[PLANES];
    struct message stop[PLANES];
    _Atomic unsigned moved;   /* sessions that have arrived elsewhere */
    _Atomic unsigned thawed;  /* that could not, and went on */
    _Atomic unsigned refused; /* that were in another phase */
    _Atomic unsigned held;    /* relays that moved with bytes in a block */
    _Atomic unsigned piped;   /* and in a pipe */
    struct sockaddr_in front;
    int server;
    size_t bytes; /* that a client sends and gets back */
} stage;

static void must(bool it)
{
    if (!it) {
        abort();
    }
}

/* ---- planes ---- */

static void post(unsigned plane, struct message *message)
{
    mailbox_post(&stage.planes[plane].plane.loop.mailbox, message);
}

static void begin_move(struct plane *plane, struct session *session)
{
    struct move *move = calloc(1, sizeof(*move));

    must(move != NULL);
    if (!session_freeze(plane, session, &move->image)) {
        stage.refused++;
        free(move);
        return;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        stage.piped += move->image.relay[i].pipe.read_fd >= 0;
        stage.held += move->image.relay[i].held > 0;
    }
    move->message.type = MESSAGE_IMAGE;
    move->session = session;
    move->from = plane->number;
    post((plane->number + 1) % PLANES, &move->message);
}

static void move_all(struct plane *plane)
{
    struct session *session;

    for (uint32_t i = 0; (session = pool_next(&plane->sessions, &i)) != NULL;
         i++) {
        begin_move(plane, session);
    }
}

static void take_up(struct plane *plane, struct move *move)
{
    move->arrived = session_arrive(plane, &move->image) == 0;
    move->message.type = MESSAGE_TAKEN;
    post(move->from, &move->message);
}

static void end_move(struct plane *plane, struct move *move)
{
    if (move->arrived) {
        stage.moved++;
        session_depart(plane, move->session);
    } else {
        stage.thawed++;
        session_thaw(plane, move->session);
    }
    free(move);
}

static void on_message(struct loop *loop, struct message *message)
{
    struct plane *plane = plane_of(loop);
    struct move *move = container_of(message, struct move, message);

    switch ((enum message_type)message->type) {
    case MESSAGE_MOVE_ALL:
        move_all(plane);
        break;
    case MESSAGE_IMAGE:
        take_up(plane, move);
        break;
    case MESSAGE_TAKEN:
        end_move(plane, move);
        break;
    case MESSAGE_STOP:
        loop_stop(loop);
        break;
    }
}

static void *run_plane(void *arg)
{
    struct reactor *reactor = arg;

    loop_run(&reactor->plane.loop);
    return NULL;
}

/* ---- the peers ---- */

static struct sockaddr_in bind_any(int *fd)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(*fd >= 0);
    must(bind(*fd, (struct sockaddr *)&address, length) == 0);
    must(getsockname(*fd, (struct sockaddr *)&address, &length) == 0);
    return address;
}

static bool send_all(int fd, const unsigned char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

static void *echo(void *arg)
{
    int fd = (int)(intptr_t)arg;
    unsigned char *bytes = malloc(PIECE_BYTES);
    ssize_t count;

    must(bytes != NULL);
    while ((count = recv(fd, bytes, PIECE_BYTES, 0)) > 0) {
        if (!send_all(fd, bytes, (size_t)count)) {
            break;
        }
    }
    shutdown(fd, SHUT_WR);
    close(fd);
    free(bytes);
    return NULL;
}

static void *serve(void *arg)
{
    pthread_t threads[CLIENTS];

    (void)arg;
    for (int i = 0; i < CLIENTS; i++) {
        int fd = accept(stage.server, NULL, NULL);

        must(fd >= 0);
        must(pthread_create(&threads[i], NULL, echo, (void *)(intptr_t)fd) ==
             0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
    }
    return NULL;
}

/* A byte by its position, different for each client. */
static unsigned char pattern(unsigned client, size_t position)
{
    return (unsigned char)((position * 31 + (position >> 9) * 7) ^ client);
}

struct client {
    unsigned number;
    int fd;
    size_t got;
    bool wrong;
};

/* Some send small pieces, so that their bytes go through blocks; some large
 * ones, which go through pipes. */
static size_t piece_of(unsigned client)
{
    return client % 3 == 0 ? 700 : PIECE_BYTES;
}

static void *send_pattern(void *arg)
{
    const struct client *client = arg;
    size_t most = piece_of(client->number);
    unsigned char *bytes = malloc(most);

    must(bytes != NULL);
    for (size_t sent = 0; sent < stage.bytes;) {
        size_t count = stage.bytes - sent < most ? stage.bytes - sent : most;

        for (size_t i = 0; i < count; i++) {
            bytes[i] = pattern(client->number, sent + i);
        }
        if (!send_all(client->fd, bytes, count)) {
            break;
        }
        sent += count;
    }
    shutdown(client->fd, SHUT_WR);
    free(bytes);
    return NULL;
}

static void *run_client(void *arg)
{
    struct client *client = arg;
    unsigned char *bytes = malloc(PIECE_BYTES);
    pthread_t sender;
    ssize_t count;

    must(bytes != NULL);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(client->fd >= 0);
    must(connect(client->fd, (struct sockaddr *)&stage.front,
                 sizeof(stage.front)) == 0);
    must(pthread_create(&sender, NULL, send_pattern, client) == 0);
    while ((count = recv(client->fd, bytes, PIECE_BYTES, 0)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            client->wrong |=
                bytes[i] != pattern(client->number, client->got + (size_t)i);
        }
        client->got += (size_t)count;
    }
    pthread_join(sender, NULL);
    close(client->fd);
    free(bytes);
    return NULL;
}

/* ---- the stage ---- */

static struct generation *make_generation(const char *more)
{
    struct config_errors errors = {0};
    struct sockaddr_in upstream;
    struct generation *generation;
    char text[512];
    int length;
    int front;

    upstream = bind_any(&stage.server);
    must(listen(stage.server, 64) == 0);
    stage.front = bind_any(&front);
    close(front);
    length =
        snprintf(text, sizeof(text),
                 "[service echo]\nlisten = 127.0.0.1:%u\n"
                 "upstream = 127.0.0.1:%u\n%s",
                 ntohs(stage.front.sin_port), ntohs(upstream.sin_port), more);
    generation = generation_create(load_text(text, (size_t)length, &errors),
                                   NULL, PLANES, 64, NULL);
    must(generation != NULL && errors.count == 0);
    return generation;
}

static void open_sockets(struct listen_socket *socket)
{
    struct sock_options options = socket_options_of(socket->service->config);

    socket->fds = calloc(PLANES, sizeof(int));
    must(socket->fds != NULL);
    for (unsigned i = 0; i < PLANES; i++) {
        socket->fds[i] = listen_bind(&socket->endpoint);
        must(socket->fds[i] >= 0);
    }
    for (unsigned i = 0; i < PLANES; i++) {
        must(listen_start(socket->fds[i], &options) == 0);
    }
}

/* blocks: for each direction. */
static void open_stage(const char *more, unsigned blocks)
{
    stage.moved = stage.thawed = stage.refused = 0;
    stage.held = stage.piped = 0;
    stage.generation = make_generation(more);
    open_sockets(&stage.generation->listens[0]);
    must(mailbox_open(&stage.control) == 0);
    must(shared_init(&stage.shared, BLOCK_BYTES, 2ul * blocks * BLOCK_BYTES,
                     &stage.control) == 0);
    atomic_store(&stage.shared.max_connections, 64);
    for (unsigned i = 0; i < PLANES; i++) {
        struct reactor_change change;

        stage.move_all[i] = (struct message){.type = MESSAGE_MOVE_ALL};
        stage.stop[i] = (struct message){.type = MESSAGE_STOP};
        must(reactor_open(&stage.planes[i], i, &stage.shared, on_message) == 0);
        must(reactor_prepare(&change, stage.generation, i) == 0);
        reactor_apply(&stage.planes[i], &change);
        must(pthread_create(&stage.threads[i], NULL, run_plane,
                            &stage.planes[i]) == 0);
    }
}

static void stop_planes(void)
{
    for (unsigned i = 0; i < PLANES; i++) {
        post(i, &stage.stop[i]);
        pthread_join(stage.threads[i], NULL);
    }
}

static void close_stage(void)
{
    struct message *message;

    for (unsigned i = 0; i < PLANES; i++) {
        reactor_close(&stage.planes[i]);
    }
    while ((message = mailbox_next(&stage.control)) != NULL) {
        free(container_of(message, struct report, message));
    }
    mailbox_close(&stage.control);
    shared_fini(&stage.shared);
    free(stage.generation->listens[0].fds);
    generation_destroy(stage.generation);
    close(stage.server);
}

/* Orders moves until all clients are served. */
static void conduct(pthread_t server)
{
    for (unsigned turn = 0; pthread_tryjoin_np(server, NULL) != 0; turn++) {
        post(turn % PLANES, &stage.move_all[turn % PLANES]);
        usleep(300);
    }
}

static void check_books(void)
{
    const struct service *service = &stage.generation->services[0];
    struct service_sums sums;
    struct upstream_sums upstream;

    service_counters_sum(service->state->counters, PLANES, &sums);
    upstream_counters_sum(service->upstreams[0]->counters, PLANES, &upstream);
    assert_int_equal(sums.accepted, CLIENTS);
    assert_int_equal(sums.active, 0);
    assert_int_equal(sums.ended[CAUSE_CLIENT_FIN], CLIENTS);
    assert_int_equal(sums.bytes[UP], CLIENTS * stage.bytes);
    assert_int_equal(sums.bytes[DOWN], CLIENTS * stage.bytes);
    assert_int_equal(upstream.total, CLIENTS);
    assert_int_equal(upstream.bytes[UP], CLIENTS * stage.bytes);
    assert_int_equal(atomic_load(&service->state->active), 0);
    assert_int_equal(atomic_load(&service->upstreams[0]->active), 0);
    assert_int_equal(atomic_load(&stage.shared.active), 0);
    for (unsigned i = 0; i < PLANES; i++) {
        struct plane *plane = &stage.planes[i].plane;

        assert_int_equal(plane->active, 0);
        assert_int_equal(stage.generation->sessions[i], 0);
        for (enum direction j = UP; j < DIRECTIONS; j++) {
            assert_int_equal(atomic_load(&plane->memory[j].cache.lent), 0);
        }
    }
}

/* All sessions have ended when their clients and the server have; the planes
 * may still have to see it. */
static void wait_for_ends(void)
{
    for (int i = 0; i < 5000 && atomic_load(&stage.shared.active) > 0; i++) {
        usleep(1000);
    }
}

static void run(const char *more, unsigned blocks, size_t bytes)
{
    struct client clients[CLIENTS] = {0};
    pthread_t threads[CLIENTS];
    pthread_t server;

    stage.bytes = bytes;
    open_stage(more, blocks);
    must(pthread_create(&server, NULL, serve, NULL) == 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        must(pthread_create(&threads[i], NULL, run_client, &clients[i]) == 0);
    }
    conduct(server);
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].got, bytes);
        assert_false(clients[i].wrong);
    }
    wait_for_ends();
    stop_planes();
    check_books();
    close_stage();
}

static size_t slower(size_t bytes)
{
    return getenv("EVPROXY_TEST_SLOW") != NULL ? bytes / 8 : bytes;
}

static void sessions_move_under_load_without_a_wrong_byte(void **state)
{
    (void)state;
    run("", 64, slower(16u << 20));
    assert_true(stage.moved > CLIENTS);
    assert_true(stage.held > 0 || stage.piped > 0);
}

static void throttled_sessions_move_with_their_buckets(void **state)
{
    (void)state;
    run("rate_up = 4M\nrate_down = 4M\nrate_burst = 64K\n", 64, 1u << 20);
    assert_true(stage.moved > CLIENTS);
}

/* There are fewer blocks than relays: some cannot be taken up, and go on where
 * they are. */
static void sessions_that_find_no_block_stay(void **state)
{
    (void)state;
    run("", 6, slower(8u << 20));
    assert_true(stage.moved > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_move_under_load_without_a_wrong_byte),
        cmocka_unit_test(throttled_sessions_move_with_their_buckets),
        cmocka_unit_test(sessions_that_find_no_block_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
