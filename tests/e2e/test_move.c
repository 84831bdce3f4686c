/*
 * Sessions that move from one plane to another while bytes flow: two planes in
 * two threads, an echo server, clients that check every byte, and a thread that
 * orders moves all the time.
 *
 * It drives the data plane directly, since the daemon has no command for it.
 */
#include "config/load.h"
#include "net/listen.h"
#include "proxy/reactor.h"
#include "proxy/session_image.h"
#include "proxy/socket_options.h"

#include "loopback.h"
#include "serve.h"
#include "server.h"
#include "socket.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLANES      2
#define CLIENTS     12
#define BLOCK_BYTES 16384u

enum message_type {
    MESSAGE_MOVE_ALL = PLANE_MESSAGE_TYPES, /* move all sessions */
    MESSAGE_IMAGE,                          /* of one that arrives */
    MESSAGE_TAKEN,                          /* whether it has arrived */
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
    pthread_t mover;
    _Atomic bool stopping;    /* set by the test, read by the mover */
    _Atomic unsigned moved;   /* sessions that have arrived elsewhere */
    _Atomic unsigned thawed;  /* that could not, and went on */
    _Atomic unsigned refused; /* that were in another phase */
    _Atomic unsigned held;    /* relays that moved with bytes in a block */
    _Atomic unsigned piped;   /* and in a pipe */
    struct loopback front;
    struct loopback back;
} world;

/* For any thread. */
static void must(bool it)
{
    if (!it) {
        abort();
    }
}

/* ---- planes ---- */

static void post(unsigned plane, struct message *message)
{
    mailbox_post(&world.planes[plane].plane.loop.mailbox, message);
}

static void begin_move(struct plane *plane, struct session *session)
{
    struct move *move = calloc(1, sizeof(*move));

    must(move != NULL);
    if (!session_freeze(plane, session, &move->image)) {
        world.refused++;
        free(move);
        return;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        world.piped += move->image.relay[i].pipe.read_fd >= 0;
        world.held += move->image.relay[i].held > 0;
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

static void duplicate(int *fd)
{
    *fd = fcntl(*fd, F_DUPFD_CLOEXEC, 0);
    must(*fd >= 0);
}

static void take_up(struct plane *plane, struct move *move)
{
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct pipe *pipe = &move->image.relay[i].pipe;

        duplicate(&move->image.sock[i].fd);
        if (pipe->read_fd >= 0) {
            duplicate(&pipe->read_fd);
            duplicate(&pipe->write_fd);
        }
    }
    move->arrived = session_arrive(plane, &move->image) == 0;
    move->message.type = MESSAGE_TAKEN;
    post(move->from, &move->message);
}

static void end_move(struct plane *plane, struct move *move)
{
    if (move->arrived) {
        world.moved++;
        session_depart(plane, move->session);
    } else {
        world.thawed++;
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

/* Orders moves until the test is over. */
static void *order_moves(void *arg)
{
    (void)arg;
    for (unsigned turn = 0; !world.stopping; turn++) {
        post(turn % PLANES, &world.move_all[turn % PLANES]);
        usleep(300);
    }
    return NULL;
}

/* ---- setting up and checking ---- */

static struct generation *make_generation(const char *service)
{
    struct config_errors errors = {0};
    struct generation *generation;
    char text[512];
    int length;

    length = snprintf(text, sizeof(text),
                      "[service echo]\nlisten = %s\nupstream = %s\n%s",
                      world.front.text, world.back.text, service);
    generation = generation_create(load_text(text, (size_t)length, &errors),
                                   NULL, PLANES, 64, NULL);
    must(generation != NULL && errors.count == 0);
    return generation;
}

static void open_sockets(struct listen_socket *socket)
{
    struct sock_options options = socket_options_of(socket->service->config);
    const struct listen_options bind = {.owner = geteuid(), .shares = true};

    socket->fds = calloc(PLANES, sizeof(int));
    must(socket->fds != NULL);
    for (unsigned i = 0; i < PLANES; i++) {
        socket->fds[i] = listen_bind(&socket->endpoint, &bind);
        must(socket->fds[i] >= 0);
    }
    for (unsigned i = 0; i < PLANES; i++) {
        must(listen_start(socket->fds[i], &options) == 0);
    }
}

/* service: more lines of it; blocks: how many each direction has. */
static void start_planes(const char *service, unsigned blocks)
{
    world.moved = world.thawed = world.refused = 0;
    world.held = world.piped = 0;
    world.front = loopback_new();
    world.generation = make_generation(service);
    open_sockets(&world.generation->listens[0]);
    must(mailbox_open(&world.control) == 0);
    must(shared_init(&world.shared, BLOCK_BYTES, 2ul * blocks * BLOCK_BYTES,
                     PLANES, &world.control) == 0);
    atomic_store(&world.shared.max_connections, 64);
    for (unsigned i = 0; i < PLANES; i++) {
        struct reactor_change change;

        world.move_all[i] = (struct message){.type = MESSAGE_MOVE_ALL};
        world.stop[i] = (struct message){.type = MESSAGE_STOP};
        must(reactor_open(&world.planes[i], i, &world.shared, on_message) == 0);
        must(reactor_prepare(&change, world.generation, i) == 0);
        reactor_apply(&world.planes[i], &change);
        must(pthread_create(&world.threads[i], NULL, run_plane,
                            &world.planes[i]) == 0);
    }
    world.stopping = false;
    must(pthread_create(&world.mover, NULL, order_moves, NULL) == 0);
}

static void stop_planes(void)
{
    world.stopping = true;
    pthread_join(world.mover, NULL);
    for (unsigned i = 0; i < PLANES; i++) {
        post(i, &world.stop[i]);
        pthread_join(world.threads[i], NULL);
    }
}

static void close_planes(void)
{
    struct message *message;

    for (unsigned i = 0; i < PLANES; i++) {
        reactor_close(&world.planes[i]);
    }
    while ((message = mailbox_next(&world.control)) != NULL) {
        free(container_of(message, struct report, message));
    }
    mailbox_close(&world.control);
    shared_fini(&world.shared);
    free(world.generation->listens[0].fds);
    generation_destroy(world.generation);
}

/* All sessions have ended and are counted, and nothing is left of them. */
static void check_counters(size_t bytes)
{
    const struct service *service = &world.generation->services[0];
    struct service_sums sums;
    struct upstream_sums upstream;

    service_counters_sum(service->state->counters, PLANES, &sums);
    upstream_counters_sum(service->upstreams[0]->counters, PLANES, &upstream);
    assert_int_equal(sums.accepted, CLIENTS);
    assert_int_equal(sums.active, 0);
    assert_int_equal(sums.ended[CAUSE_CLIENT_FIN], CLIENTS);
    assert_int_equal(sums.bytes[UP], CLIENTS * bytes);
    assert_int_equal(sums.bytes[DOWN], CLIENTS * bytes);
    assert_int_equal(upstream.total, CLIENTS);
    assert_int_equal(upstream.bytes[UP], CLIENTS * bytes);
    assert_int_equal(atomic_load(&service->state->active), 0);
    assert_int_equal(atomic_load(&service->upstreams[0]->active), 0);
    assert_int_equal(atomic_load(&world.shared.active), 0);
    for (unsigned i = 0; i < PLANES; i++) {
        struct plane *plane = &world.planes[i].plane;

        assert_int_equal(plane->active, 0);
        assert_int_equal(world.generation->sessions[i].count, 0);
        for (enum direction j = UP; j < DIRECTIONS; j++) {
            assert_int_equal(atomic_load(&plane->memory[j].cache.lent), 0);
        }
    }
}

/* Some clients send small pieces, whose bytes go through blocks, and some large
 * ones, which go through pipes. */
static void echo_streams(size_t bytes)
{
    struct stream out[CLIENTS];
    struct stream in[CLIENTS];

    for (unsigned i = 0; i < CLIENTS; i++) {
        out[i] = in[i] = (struct stream){.fd = socket_connect(&world.front),
                                         .seed = i,
                                         .bytes = bytes,
                                         .fin = true};
        out[i].chunk = i % 3 == 0 ? 700 : 0;
    }
    stream_pass_all(out, in, CLIENTS);
}

static void run(const char *service, unsigned blocks, size_t bytes)
{
    struct server *server;

    world.back = loopback_new();
    server = server_start(&world.back, serve_echo, NULL);
    start_planes(service, blocks);
    echo_streams(bytes);
    wait_until(world.shared.active == 0);
    stop_planes();
    check_counters(bytes);
    close_planes();
    socket_close_all();
    server_stop(server);
}

static size_t fewer_if_slow(size_t bytes)
{
    return test_slow() ? bytes / 8 : bytes;
}

static void sessions_move_under_load_without_a_wrong_byte(void **state)
{
    (void)state;
    run("", 64, fewer_if_slow(16u << 20));
    assert_true(world.moved > CLIENTS);
    assert_true(world.held > 0 || world.piped > 0);
}

static void throttled_sessions_move_with_their_buckets(void **state)
{
    (void)state;
    run("rate_up = 4M\nrate_down = 4M\nrate_burst = 64K\n", 64, 1u << 20);
    assert_true(world.moved > CLIENTS);
}

/* With fewer blocks than relays some sessions cannot arrive. They go on where
 * they are. */
static void sessions_that_find_no_block_stay(void **state)
{
    (void)state;
    run("", 6, fewer_if_slow(8u << 20));
    assert_true(world.moved > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(sessions_move_under_load_without_a_wrong_byte),
        E2E(throttled_sessions_move_with_their_buckets),
        E2E(sessions_that_find_no_block_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
