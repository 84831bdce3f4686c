/* Datagrams through real sockets on loopback: with GSO and GRO or without, each
 * arrives unchanged. */
#include "net/datagram.h"

#include "net/connect.h"
#include "net/listen.h"
#include "seeded.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../skip.h"

enum { SIZES_MAX = 64 };

/* The sizes of a sequence of datagrams. */
struct sizes {
    unsigned count;
    uint32_t list[SIZES_MAX];
};

static struct sizes all_of(unsigned count, uint32_t size)
{
    struct sizes sizes = {.count = count};

    for (unsigned i = 0; i < count; i++) {
        sizes.list[i] = size;
    }
    return sizes;
}

static int open_bound(struct endpoint *here)
{
    const struct timeval timeout = {.tv_sec = 10};
    const int bytes = 1 << 20;
    int fd;

    *here = (struct endpoint){
        .length = sizeof(here->u.in),
        .u.in = {.sin_family = AF_INET,
                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
    };
    fd = listen_bind_datagram(here,
                              &(struct listen_options){.owner = geteuid()});
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, &here->u.any, &here->length), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    return fd;
}

static int open_connected(const struct endpoint *there)
{
    struct sock sock;

    assert_int_equal(connect_datagram(&sock, there, NULL), CONNECT_DONE);
    return sock.fd;
}

/* One socket sends, two receive. */
struct scene {
    struct endpoint addresses[2];
    int receivers[2];
    int sender; /* connected to the first */
    struct datagram_batch batch;
    struct datagram *list[DATAGRAM_BATCH];
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));

    assert_non_null(scene);
    for (size_t i = 0; i < 2; i++) {
        scene->receivers[i] = open_bound(&scene->addresses[i]);
    }
    scene->sender = open_connected(&scene->addresses[0]);
    assert_int_equal(datagram_batch_open(&scene->batch), 0);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;

    datagram_batch_close(&scene->batch);
    close(scene->sender);
    close(scene->receivers[0]);
    close(scene->receivers[1]);
    free(scene);
    return 0;
}

/* The byte of datagram n at that offset. */
static unsigned char byte_of(unsigned n, uint32_t at)
{
    return (unsigned char)(n * 31 + at * 7 + at / 256);
}

/* Fills the batch with datagrams for the first receiver. */
static void compose(struct scene *scene, const struct sizes *sizes)
{
    for (unsigned i = 0; i < sizes->count; i++) {
        struct datagram *it = &scene->batch.list[i];

        *it = (struct datagram){
            .size = sizes->list[i],
            .bytes = scene->batch.memory + (size_t)i * DATAGRAM_BYTES_MAX,
        };
        addr_from_sockaddr(&it->peer, &scene->addresses[0].u.any);
        for (uint32_t at = 0; at < it->size; at++) {
            it->bytes[at] = byte_of(i, at);
        }
        scene->list[i] = it;
    }
}

static void send_connected(struct scene *scene, unsigned count)
{
    int error;

    assert_int_equal(
        datagram_send_connected(scene->sender, scene->list, count, &error),
        count);
    assert_int_equal(error, 0);
}

static void expect(int fd, unsigned n, uint32_t size)
{
    static unsigned char bytes[DATAGRAM_BYTES_MAX];

    assert_int_equal(recv(fd, bytes, sizeof(bytes), 0), size);
    for (uint32_t at = 0; at < size; at++) {
        assert_int_equal(bytes[at], byte_of(n, at));
    }
}

static void expect_all(int fd, const struct sizes *sizes)
{
    char byte;

    for (unsigned i = 0; i < sizes->count; i++) {
        expect(fd, i, sizes->list[i]);
    }
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
}

static void sequences_of_any_sizes_arrive_unchanged(void **state)
{
    static const struct sizes table[] = {
        {1, {0}},
        {5, {100, 100, 100, 100, 100}},
        {5, {100, 100, 50, 100, 100}},
        {5, {100, 100, 101, 100, 100}},
        {6, {0, 100, 100, 0, 100, 100}},
        {4, {1, 1, 1, 1}},
        {4, {1472, 1472, 1473, 1473}},
        {3, {65507, 65507, 1}},
        {4, {9000, 9000, 9000, 4000}},
    };
    struct scene *scene = *state;

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        compose(scene, &table[i]);
        send_connected(scene, table[i].count);
        expect_all(scene->receivers[0], &table[i]);
    }
}

static void random_sequences_arrive_unchanged(void **state)
{
    static const uint32_t choice[] = {0, 1, 99, 100, 1200, 1472, 1500};
    struct scene *scene = *state;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct seeded seeded = seeded_start(seed);
        struct sizes sizes = {.count = 1 + (unsigned)seeded_below(&seeded, 20)};
        uint32_t size = 100;

        for (unsigned i = 0; i < sizes.count; i++) {
            if (seeded_below(&seeded, 4) == 0) {
                size = choice[seeded_below(&seeded, ARRAY_LEN(choice))];
            }
            sizes.list[i] = size;
        }
        compose(scene, &sizes);
        send_connected(scene, sizes.count);
        expect_all(scene->receivers[0], &sizes);
    }
}

/* Skips the test if the kernel has no GRO. */
static void need_gro(int fd)
{
    int on = 0;
    socklen_t length = sizeof(on);

    datagram_enable_gro(fd);
    if (getsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, &length) < 0 || on == 0) {
        skip_because("the kernel has no UDP GRO");
    }
}

/* Receives at the first receiver; answers how many entries. */
static unsigned receive_entries(struct scene *scene)
{
    struct datagram_socket sock;
    int got;

    assert_int_equal(datagram_socket_init(&sock, scene->receivers[0]), 0);
    scene->batch.count = 0;
    got = datagram_receive(&scene->batch, &sock, DATAGRAM_BATCH);
    assert_true(got > 0);
    for (int i = 0; i < got; i++) {
        scene->list[i] = &scene->batch.list[i];
    }
    return (unsigned)got;
}

static void datagrams_of_one_size_become_a_gso_batch(void **state)
{
    const struct sizes sizes = {6, {100, 100, 100, 100, 100, 30}};
    struct scene *scene = *state;

    need_gro(scene->receivers[0]);
    compose(scene, &sizes);
    send_connected(scene, sizes.count);
    assert_int_equal(receive_entries(scene), 1);
    assert_int_equal(datagram_segments(scene->list[0]), 6);
    assert_int_equal(datagram_segment_size(scene->list[0], 0), 100);
    assert_int_equal(datagram_segment_size(scene->list[0], 4), 100);
    assert_int_equal(datagram_segment_size(scene->list[0], 5), 30);
    datagram_keep_first(scene->list[0], 6);
    assert_int_equal(scene->list[0]->size, 530);
    datagram_keep_first(scene->list[0], 2);
    assert_int_equal(scene->list[0]->size, 200);
}

static void a_gso_batch_is_no_longer_than_a_kernel_takes(void **state)
{
    const struct sizes small = all_of(DATAGRAM_BATCH, 10);
    const struct sizes big = all_of(DATAGRAM_BATCH, 1472);
    struct scene *scene = *state;
    unsigned n = 0;

    compose(scene, &big); /* 47 KB: the next one would not fit */
    send_connected(scene, big.count);
    expect_all(scene->receivers[0], &big);

    /* GRO batches of 32 follow one another: joined up to 64. */
    need_gro(scene->receivers[0]);
    compose(scene, &small);
    send_connected(scene, small.count);
    assert_int_equal(receive_entries(scene), 1);
    for (unsigned i = 1; i < 5; i++) {
        scene->batch.list[i] = scene->batch.list[0];
        scene->list[i] = &scene->batch.list[i];
    }
    send_connected(scene, 5);
    while (n < 5 * small.count) {
        unsigned entries = receive_entries(scene);

        for (unsigned i = 0; i < entries; i++) {
            assert_in_range(datagram_segments(scene->list[i]), 1, 64);
            n += datagram_segments(scene->list[i]);
        }
    }
    assert_int_equal(n, 5 * small.count);
}

/* Sends from the first receiver to the second; answers as datagram_send. */
static unsigned send_on(struct scene *scene, unsigned count, int *error)
{
    struct datagram_socket sock;

    assert_int_equal(datagram_socket_init(&sock, scene->receivers[0]), 0);
    for (unsigned i = 0; i < count; i++) {
        addr_from_sockaddr(&scene->list[i]->peer, &scene->addresses[1].u.any);
    }
    return datagram_send(&sock, scene->list, count, error);
}

static const struct sizes four = {4, {700, 700, 700, 1}};

/* Receives a GRO batch as the only entry. */
static void receive_gro_batch(struct scene *scene)
{
    need_gro(scene->receivers[0]);
    compose(scene, &four);
    send_connected(scene, four.count);
    assert_int_equal(receive_entries(scene), 1);
    assert_int_equal(scene->list[0]->segment, 700);
}

static void a_gro_batch_is_sent_on_as_a_gso_batch(void **state)
{
    struct scene *scene = *state;
    int error;

    receive_gro_batch(scene);
    assert_int_equal(send_on(scene, 1, &error), 1);
    assert_int_equal(error, 0);
    assert_false(scene->list[0]->no_gso);
    expect_all(scene->receivers[1], &four);
}

static void each_peer_gets_its_datagrams(void **state)
{
    const struct sizes six = all_of(6, 80);
    struct scene *scene = *state;
    struct datagram_socket sock;
    int error;

    compose(scene, &six);
    for (unsigned i = 0; i < 6; i++) { /* 0 0 1 0 1 1 */
        addr_from_sockaddr(&scene->list[i]->peer,
                           &scene->addresses[0x34 >> i & 1].u.any);
    }
    assert_int_equal(datagram_socket_init(&sock, scene->receivers[0]), 0);
    assert_int_equal(datagram_send(&sock, scene->list, 6, &error), 6);
    for (unsigned i = 0; i < 6; i++) {
        expect(scene->receivers[0x34 >> i & 1], i, 80);
    }
}

/* Without checksums the kernel refuses GSO. */
static void refuse_gso(int fd)
{
    const int on = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &on, sizeof(on)),
                     0);
}

static void where_gso_is_refused_datagrams_are_sent_one_by_one(void **state)
{
    const struct sizes sizes = {7, {9, 100, 100, 100, 50, 100, 100}};
    struct scene *scene = *state;

    refuse_gso(scene->sender);
    compose(scene, &sizes);
    send_connected(scene, sizes.count);
    expect_all(scene->receivers[0], &sizes);
    assert_false(scene->list[0]->no_gso);
    assert_true(scene->list[1]->no_gso);
    assert_true(scene->list[6]->no_gso);
}

static void where_gso_is_refused_a_gro_batch_is_split(void **state)
{
    struct scene *scene = *state;
    int error;

    for (unsigned round = 0; round < 2; round++) {
        receive_gro_batch(scene);
        scene->list[0]->no_gso = round == 1; /* known before */
        refuse_gso(scene->receivers[0]);
        assert_int_equal(send_on(scene, 1, &error), 1);
        assert_int_equal(error, 0);
        assert_true(scene->list[0]->no_gso);
        expect_all(scene->receivers[1], &four);
    }
}

static void nothing_is_tried_after_an_error(void **state)
{
    const struct sizes sizes = {3, {10, 65508, 20}};
    struct scene *scene = *state;
    int error;

    compose(scene, &sizes);
    assert_int_equal(
        datagram_send_connected(scene->sender, scene->list, 3, &error), 1);
    assert_int_equal(error, EMSGSIZE);
    expect_all(scene->receivers[0], &(struct sizes){1, {10}});
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(sequences_of_any_sizes_arrive_unchanged),
        SCENE(random_sequences_arrive_unchanged),
        SCENE(datagrams_of_one_size_become_a_gso_batch),
        SCENE(a_gso_batch_is_no_longer_than_a_kernel_takes),
        SCENE(a_gro_batch_is_sent_on_as_a_gso_batch),
        SCENE(each_peer_gets_its_datagrams),
        SCENE(where_gso_is_refused_datagrams_are_sent_one_by_one),
        SCENE(where_gso_is_refused_a_gro_batch_is_split),
        SCENE(nothing_is_tried_after_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
