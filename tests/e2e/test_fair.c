/*
 * Fairness between services: one whose peers are slow does not keep the blocks
 * from another.
 */
#include "expect.h"
#include "fixture.h"
#include "pair.h"
#include "socket.h"
#include "stats.h"
#include "stream.h"
#include "teardown.h"
#include "test.h"
#include "wait.h"

#include <stdio.h>

/* Of one direction: half of 1M, in blocks of 16K. And what of them a service
 * gets alone. */
#define BLOCKS     32
#define BLOCKS_ONE 29

/* More than the kernel of a client that does not read takes, with one block. */
#define STALL_BYTES 60000

#define SMALL_QUEUES "tcp_notsent_lowat = 4K"

enum { SERVICES = 5 };

/* Services "web", "web1", ... of one proxy, each with its own upstream, and as
 * little memory as there can be. */
static void services_open(struct fixture *services)
{
    char others[2048];
    size_t length = 0;

    length += (size_t)snprintf(others, sizeof(others), SMALL_QUEUES "\n");
    for (unsigned i = 1; i < SERVICES; i++) {
        services[i] =
            (struct fixture){.front = loopback_new(), .back = loopback_new()};
        services[i].listener = socket_listen(&services[i].back);
        length += (size_t)snprintf(
            others + length, sizeof(others) - length,
            "[service web%u]\nlisten = %s\nupstream = %s\n" SMALL_QUEUES "\n",
            i, services[i].front.text, services[i].back.text);
    }
    fixture_open(&services[0], "buffer_memory = 1M", others);
    for (unsigned i = 1; i < SERVICES; i++) {
        services[i].proxy = services[0].proxy;
    }
}

static void await_lent(const struct fixture *service, unsigned blocks)
{
    wait_until(stats_get(service->proxy, NULL, NULL, "buffers_lent") >= blocks);
}

/* Clients that read nothing of what is sent to them. */
static void stall(const struct fixture *service, struct pair *pairs,
                  unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct stream out = {.seed = i, .bytes = STALL_BYTES};

        pairs[i] = pair_connect_narrow(service);
        out.fd = pairs[i].upstream;
        stream_send(&out);
        assert_null(out.error);
    }
}

/* All of the stalled clients read after all. */
static void resume(const struct pair *pairs, unsigned count)
{
    static struct stream in[3 * BLOCKS];

    for (unsigned i = 0; i < count; i++) {
        in[i] = (struct stream){
            .fd = pairs[i].client, .seed = i, .bytes = STALL_BYTES};
        stream_start_receive(&in[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        stream_join(&in[i]);
        assert_null(in[i].error);
    }
}

static void
clients_that_do_not_read_leave_blocks_to_other_services(void **state)
{
    enum { COUNT = 2 * BLOCKS };
    struct fixture services[SERVICES];
    struct pair deaf[COUNT];

    (void)state;
    services_open(services);
    struct pair other = pair_connect(&services[1]);
    stall(&services[0], deaf, COUNT);
    await_lent(&services[0], BLOCKS_ONE);
    pair_expect_prompt(&other);
    resume(deaf, COUNT);
    stats_await(services[0].proxy, NULL, NULL, "buffers_lent", 0);
    fixture_close(&services[0]);
}

/* Two services have all blocks, and more clients that wait for one. Of another,
 * the only client that waits has gone when one comes back. */
static void a_service_without_a_block_goes_first(void **state)
{
    enum { COUNT = 2 * BLOCKS };
    struct fixture services[SERVICES];
    struct pair deaf[COUNT];
    struct pair few[BLOCKS];

    (void)state;
    services_open(services);
    stall(&services[0], deaf, COUNT);
    await_lent(&services[0], BLOCKS_ONE);
    stall(&services[1], few, BLOCKS);
    await_lent(&services[0], BLOCKS);
    struct pair gone = pair_connect(&services[4]);
    socket_send_text(gone.upstream, "waits");
    expect_silence(gone.client, 100);
    struct pair late[2] = {pair_connect(&services[2]),
                           pair_connect(&services[3])};
    for (unsigned i = 0; i < 2; i++) {
        socket_send_text(late[i].upstream, "waits");
        expect_silence(late[i].client, 100);
    }
    socket_reset(gone.client);
    stats_await(services[0].proxy, "web4", NULL, "active", 0);

    /* One block comes back, and serves both. */
    for (unsigned i = 0; i < COUNT; i++) {
        socket_reset(deaf[i].client);
        if (wait_readable(late[0].client, 20)) {
            break;
        }
    }
    expect_text(late[0].client, "waits");
    expect_text(late[1].client, "waits");
    resume(few, BLOCKS);
    fixture_close(&services[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(clients_that_do_not_read_leave_blocks_to_other_services),
        E2E(a_service_without_a_block_goes_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
