/* The simulated kernel against the real one, as in scenario.h: bytes, their
 * queues, and the ends of a connection. */
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void edges(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 5, 0);
    scene_note_events(scene);
    scene_note_events(scene);
    scene_note_send(scene, scene->client, 5, 0);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 3);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->client, 1, 0);
    scene_note_events(scene);
}

static void fin_behind_bytes(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 7, 0);
    shutdown(scene->client, SHUT_WR);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->server, 9, 0);
    scene_note_events(scene);
    scene_note_recv(scene, scene->client, 100);
    scene_note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
    scene_note_events(scene);
    scene_note_recv(scene, scene->client, 100);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
}

static void own_fin_first(struct scene *scene)
{
    scene_establish(scene);
    scene_note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
    scene_note_events(scene);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_send(scene, scene->client, 4, 0);
    scene_note_events(scene);
    shutdown(scene->client, SHUT_WR);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_error(scene, scene->server);
}

static void reset_behind_bytes(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 10, 0);
    scene_settle(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 4);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_events(scene);
}

static void reset_seen_by_send(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 10, 0);
    scene_settle(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_settle(scene);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_call(scene, "shutdown", shutdown(scene->server, SHUT_WR));
}

static void reset_seen_by_so_error(struct scene *scene)
{
    scene_establish(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    scene_note_error(scene, scene->server);
    scene_note_error(scene, scene->server);
    scene_note_recv(scene, scene->server, 100);
    scene_note_events(scene);
}

static void reset_after_fin(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 3, 0);
    shutdown(scene->client, SHUT_WR);
    scene_settle(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_error(scene, scene->server);
}

static void close_without_reading(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->server, 10, 0);
    scene_note_send(scene, scene->client, 3, 0);
    scene_settle(scene);
    close(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
}

static void bytes_for_the_closed(struct scene *scene)
{
    scene_establish(scene);
    close(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_error(scene, scene->server);
}

static void bytes_for_the_closed_after_own_fin(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 1, 0);
    shutdown(scene->server, SHUT_WR);
    scene_settle(scene);
    close(scene->server);
    scene->server = -1;
    scene_settle(scene);
    scene_note_recv(scene, scene->client, 100);
    scene_note_recv(scene, scene->client, 100);
    scene_note_send(scene, scene->client, 1, 0);
}

static void queues(struct scene *scene)
{
    scene_establish(scene);
    scene_note_queues(scene, scene->server);
    scene_note_send(scene, scene->client, 30, 0);
    scene_note_queues(scene, scene->server);
    scene_note_queues(scene, scene->client);
    shutdown(scene->client, SHUT_WR);
    scene_note_queues(scene, scene->server);
    scene_note_queues(scene, scene->client);
    scene_note_recv(scene, scene->server, 10);
    scene_note_queues(scene, scene->server);
}

static void peek(struct scene *scene)
{
    char buffer[8];

    scene_establish(scene);
    scene_note_send(scene, scene->client, 6, 0);
    scene_settle(scene);
    scene_note_call(scene, "peek", recv(scene->server, buffer, 4, MSG_PEEK));
    scene_note_call(scene, "peek", recv(scene->server, buffer, 8, MSG_PEEK));
    scene_note_recv(scene, scene->server, 8);
    scene_note_call(scene, "peek", recv(scene->server, buffer, 8, MSG_PEEK));
    scene_note_call(scene, "peek", errno == EAGAIN);
}

/* Sends until there is no space, on both ends of the way. */
static void fill(struct scene *scene, int fd)
{
    static const char bytes[65536];

    for (int full = 0; full < 3; full++) {
        while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
        scene_settle(scene);
    }
}

static void drain(struct scene *scene, int fd)
{
    static char bytes[65536];

    for (int empty = 0; empty < 8; empty++) {
        while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
        }
        scene_settle(scene);
    }
}

static void space_again(struct scene *scene)
{
    int small = 4096;

    setsockopt(scene->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    scene_establish(scene);
    fill(scene, scene->server);
    scene_note_events(scene);
    scene_note_send(scene, scene->server, 1, 0);
    drain(scene, scene->client);
    scene_note_events(scene);
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_events(scene);
}

static void reset_with_a_full_queue(struct scene *scene)
{
    int small = 4096;
    int out = 0;

    setsockopt(scene->listener, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    scene_establish(scene);
    fill(scene, scene->server);
    scene_note_events(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_note_events(scene);
    assert_int_equal(ioctl(scene->server, SIOCOUTQ, &out), 0);
    scene_note(scene, "unacknowledged %s\n", out > 0 ? "some" : "none");
    scene_note_send(scene, scene->server, 1, 0);
    scene_note_send(scene, scene->server, 1, 0);
}

static void counter_of_events(struct scene *scene)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t value = 3;

    scene_watch(scene, fd, EPOLLIN | EPOLLET, 1);
    scene_note_events(scene);
    scene_note_call(scene, "write", write(fd, &value, sizeof(value)));
    scene_note_call(scene, "write", write(fd, &value, sizeof(value)));
    scene_note_events(scene);
    scene_note_call(scene, "read", read(fd, &value, sizeof(value)));
    scene_note(scene, "value %d\n", (int)value);
    scene_note_call(scene, "read", read(fd, &value, sizeof(value)));
    close(fd);
    scene_note_events(scene);
}

SCENARIO(edges)
SCENARIO(fin_behind_bytes)
SCENARIO(own_fin_first)
SCENARIO(reset_behind_bytes)
SCENARIO(reset_seen_by_send)
SCENARIO(reset_seen_by_so_error)
SCENARIO(reset_after_fin)
SCENARIO(close_without_reading)
SCENARIO(bytes_for_the_closed)
SCENARIO(bytes_for_the_closed_after_own_fin)
SCENARIO(queues)
SCENARIO(peek)
SCENARIO(space_again)
SCENARIO(reset_with_a_full_queue)
SCENARIO(counter_of_events)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simulated_edges_is_as_on_linux),
        cmocka_unit_test(simulated_fin_behind_bytes_is_as_on_linux),
        cmocka_unit_test(simulated_own_fin_first_is_as_on_linux),
        cmocka_unit_test(simulated_reset_behind_bytes_is_as_on_linux),
        cmocka_unit_test(simulated_reset_seen_by_send_is_as_on_linux),
        cmocka_unit_test(simulated_reset_seen_by_so_error_is_as_on_linux),
        cmocka_unit_test(simulated_reset_after_fin_is_as_on_linux),
        cmocka_unit_test(simulated_close_without_reading_is_as_on_linux),
        cmocka_unit_test(simulated_bytes_for_the_closed_is_as_on_linux),
        cmocka_unit_test(
            simulated_bytes_for_the_closed_after_own_fin_is_as_on_linux),
        cmocka_unit_test(simulated_queues_is_as_on_linux),
        cmocka_unit_test(simulated_peek_is_as_on_linux),
        cmocka_unit_test(simulated_space_again_is_as_on_linux),
        cmocka_unit_test(simulated_reset_with_a_full_queue_is_as_on_linux),
        cmocka_unit_test(simulated_counter_of_events_is_as_on_linux),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
