/* The simulated kernel against the real one, as in scenario.h: urgent
 * data. */
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

static void urgent_mark(struct scene *scene)
{
    scene_establish(scene);
    scene_note_send(scene, scene->client, 10, 0);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_note_send(scene, scene->client, 10, 0);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_events(scene);
    scene_note_queues(scene, scene->server);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_send(scene, scene->client, 1, 0);
    scene_note_events(scene);
}

static void urgent_mark_in_line(struct scene *scene)
{
    int one = 1;

    setsockopt(scene->listener, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    urgent_mark(scene);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
}

static void two_urgent_marks(struct scene *scene)
{
    int one = 1;

    setsockopt(scene->listener, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    scene_establish(scene);
    scene_note_send(scene, scene->client, 4, 0);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_settle(scene);
    scene_note_send(scene, scene->client, 4, 0);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    shutdown(scene->client, SHUT_WR);
    scene_note_events(scene);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
}

static void two_marks_out_of_line(struct scene *scene, size_t ahead)
{
    int one = 1;

    scene_establish(scene);
    if (ahead > 0) {
        scene_note_send(scene, scene->client, ahead, 0);
    }
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_settle(scene);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_note_events(scene);
    setsockopt(scene->server, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
    scene_note_recv(scene, scene->server, 100);
}

static void urgent_byte_behind_another(struct scene *scene)
{
    two_marks_out_of_line(scene, 0);
}

static void urgent_byte_behind_bytes_and_another(struct scene *scene)
{
    two_marks_out_of_line(scene, 5);
}

/* With a FIN behind the mark, splice seems to have met the end. */
static void splice_stops_at_the_mark(struct scene *scene)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    scene_establish(scene);
    scene_note_send(scene, scene->client, 1, MSG_OOB);
    scene_settle(scene);
    scene_note_call(
        scene, "splice",
        splice(scene->server, NULL, fds[1], NULL, 100, SPLICE_F_NONBLOCK));
    scene_note_send(scene, scene->client, 5, 0);
    shutdown(scene->client, SHUT_WR);
    scene_settle(scene);
    scene_note_call(
        scene, "splice",
        splice(scene->server, NULL, fds[1], NULL, 100, SPLICE_F_NONBLOCK));
    scene_note_recv(scene, scene->server, 100);
    close(fds[0]);
    close(fds[1]);
}

SCENARIO(urgent_mark)
SCENARIO(urgent_mark_in_line)
SCENARIO(two_urgent_marks)
SCENARIO(urgent_byte_behind_another)
SCENARIO(urgent_byte_behind_bytes_and_another)
SCENARIO(splice_stops_at_the_mark)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(simulated_urgent_mark_is_as_on_linux),
        cmocka_unit_test(simulated_urgent_mark_in_line_is_as_on_linux),
        cmocka_unit_test(simulated_two_urgent_marks_is_as_on_linux),
        cmocka_unit_test(simulated_urgent_byte_behind_another_is_as_on_linux),
        cmocka_unit_test(
            simulated_urgent_byte_behind_bytes_and_another_is_as_on_linux),
        cmocka_unit_test(simulated_splice_stops_at_the_mark_is_as_on_linux),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
