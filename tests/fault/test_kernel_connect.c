/* The simulated kernel against the real one, as in scenario.h: connects
 * and listeners. */
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

static void refused(struct scene *scene)
{
    close(scene->listener);
    scene->listener = -1;
    scene->client = scene_socket();
    scene_note_call(scene, "connect",
                    connect(scene->client, (struct sockaddr *)&scene->address,
                            sizeof(scene->address)));
    scene_watch(scene, scene->client, SCENE_EDGES, 1);
    scene_note_events(scene);
    scene_note_error(scene, scene->client);
    scene_note_error(scene, scene->client);
    scene_note_recv(scene, scene->client, 100);
    scene_note_send(scene, scene->client, 1, 0);
}

static void connecting(struct scene *scene)
{
    scene->client = scene_socket();
    scene_watch(scene, scene->client, SCENE_EDGES, 1);
    scene_note_events(scene);
    scene_note_recv(scene, scene->client, 100);
    scene_note_call(scene, "connect",
                    connect(scene->client, (struct sockaddr *)&scene->address,
                            sizeof(scene->address)));
    scene_note_events(scene);
    scene_note_error(scene, scene->client);
    scene_accept(scene);
    scene_note_send(scene, scene->server, 4, 0);
    shutdown(scene->server, SHUT_WR);
    scene_note_events(scene);
}

static void accept_queue(struct scene *scene)
{
    struct epoll_event events[1];

    scene_watch(scene, scene->listener, EPOLLIN, 0);
    scene_note_events(scene);
    scene_connect(scene);
    scene_note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    scene_note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    scene_accept(scene);
    scene_note(scene, "ready %d\n", epoll_wait(scene->epoll, events, 1, 0));
    scene_note_call(scene, "accept", accept4(scene->listener, NULL, NULL, 0));
}

static void reset_in_accept_queue(struct scene *scene)
{
    scene_connect(scene);
    scene_note_send(scene, scene->client, 5, 0);
    scene_settle(scene);
    scene_reset(scene->client);
    scene->client = -1;
    scene_settle(scene);
    scene_accept(scene);
    scene_watch(scene, scene->server, SCENE_EDGES, 1);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
}

static void listener_closed_with_a_queue(struct scene *scene)
{
    scene_connect(scene);
    scene_watch(scene, scene->client, SCENE_EDGES, 1);
    scene_note_events(scene);
    close(scene->listener);
    scene->listener = -1;
    scene_note_events(scene);
    scene_note_recv(scene, scene->client, 100);
}

SCENARIO(refused)
SCENARIO(connecting)
SCENARIO(accept_queue)
SCENARIO(reset_in_accept_queue)
SCENARIO(listener_closed_with_a_queue)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simulated_refused_is_as_on_linux),
        cmocka_unit_test(simulated_connecting_is_as_on_linux),
        cmocka_unit_test(simulated_accept_queue_is_as_on_linux),
        cmocka_unit_test(simulated_reset_in_accept_queue_is_as_on_linux),
        cmocka_unit_test(simulated_listener_closed_with_a_queue_is_as_on_linux),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
