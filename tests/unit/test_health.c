/* Checks in a real loop, against listening sockets of this process. */
#include "control/health.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/load.h"
#include "control/health_check.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_NS (10 * NS_PER_S)

enum { KIND = LOOP_KIND_MAILBOX + 1 };

struct room {
    struct loop loop;
    struct health *health;
    struct generation *current;
    struct generation *former;
};

static struct room room;

static void on_event(struct loop *loop, uint32_t index, uint32_t instance,
                     uint32_t events)
{
    (void)loop;
    health_event(room.health, index, instance, events);
}

static void on_timer(struct loop *loop, struct wheel_timer *timer)
{
    (void)loop;
    health_timer(room.health, timer);
}

static void on_link(struct loop *loop, struct list *link)
{
    (void)loop;
    health_run(room.health, link);
}

static const struct loop_owner owner = {
    .event = {[KIND] = on_event},
    .timer = {[KIND] = on_timer},
    .run = {[0] = on_link},
};

static int open_room(void **state)
{
    const struct health_options options = {.kind = KIND};

    (void)state;
    log_set_level(LOG_ERROR);
    room.current = room.former = NULL;
    if (loop_open(&room.loop, &owner) < 0) {
        return -1;
    }
    room.health = health_create(&room.loop, &options);
    return room.health == NULL ? -1 : 0;
}

static int close_room(void **state)
{
    (void)state;
    health_destroy(room.health);
    if (room.former != NULL) {
        generation_destroy(room.former);
    }
    generation_destroy(room.current);
    loop_close(&room.loop);
    return 0;
}

static size_t find(const struct resolution_names *names, const char *host,
                   const struct endpoint **found)
{
    (void)names, (void)host;
    *found = NULL;
    return 0;
}

static const struct resolution_names nobody = {.find = find};

/* Checks a service with these keys from now on. */
static void apply(const char *keys)
{
    struct config_errors errors = {0};
    struct config *config;
    char *text;

    assert_true(
        asprintf(&text, "[service s]\nlisten = unix:/nowhere\n%s", keys) > 0);
    config = load_text(text, strlen(text), &errors);
    assert_non_null(config);
    free(text);
    assert_null(room.former);
    room.former = room.current;
    room.current = generation_create(config, room.former, 1, 100, &nobody);
    assert_non_null(room.current);
    assert_int_equal(health_apply(room.health, room.current), 0);
    if (room.former != NULL) {
        generation_destroy(room.former);
        room.former = NULL;
    }
}

static struct upstream *upstream(uint32_t i)
{
    return room.current->services[0].upstreams[i];
}

/* Turns the loop until the upstream is up, or down, as wanted. */
static void await(uint32_t i, bool up)
{
    uint64_t end_ns = clock_now_ns() + DEADLINE_NS;

    while (upstream_up(upstream(i)) != up) {
        assert_true(clock_now_ns() < end_ns);
        loop_turn(&room.loop, 100);
    }
}

/* A socket on a loopback port of its own, listening or not (then connects to
 * it are refused). */
static int open_server(uint16_t *port, bool listening)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, length), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &length), 0);
    if (listening) {
        assert_int_equal(listen(fd, 100), 0);
    }
    *port = ntohs(in.sin_port);
    return fd;
}

static void apply_to_port(uint16_t port, const char *keys)
{
    char text[512];

    snprintf(text, sizeof(text), "upstream = 127.0.0.1:%u\n%s", port, keys);
    apply(text);
}

#define CHECKED "health_check = tcp\nhealth_interval = 5ms\n"

static void a_checked_upstream_goes_down_and_comes_back(void **state)
{
    uint16_t port;
    int fd = open_server(&port, false);

    (void)state;
    apply_to_port(port, CHECKED);
    await(0, false);
    assert_int_equal(listen(fd, 100), 0);
    await(0, true);
    close(fd);
}

/* A FIN and nothing else: no reset, no byte. */
static void assert_ended(int peer)
{
    uint64_t end_ns = clock_now_ns() + DEADLINE_NS;
    ssize_t count;
    char byte;

    while ((count = recv(peer, &byte, 1, MSG_DONTWAIT)) < 0) {
        assert_int_equal(errno, EAGAIN);
        assert_true(clock_now_ns() < end_ns);
        loop_turn(&room.loop, 10);
    }
    assert_int_equal(count, 0);
}

static unsigned take_connections(int fd)
{
    unsigned count = 0;
    int peer;

    while ((peer = accept(fd, NULL, NULL)) >= 0) {
        assert_ended(peer);
        close(peer);
        count++;
    }
    return count;
}

static void a_successful_check_ends_with_a_fin(void **state)
{
    uint64_t end_ns = clock_now_ns() + DEADLINE_NS;
    unsigned count = 0;
    uint16_t port;
    int fd = open_server(&port, true);

    (void)state;
    apply_to_port(port, CHECKED);
    while (count < 5) {
        assert_true(clock_now_ns() < end_ns);
        loop_turn(&room.loop, 100);
        count += take_connections(fd);
    }
    assert_true(upstream_up(upstream(0)));
    close(fd);
}

static void without_checks_and_failures_nothing_is_connected_to(void **state)
{
    uint16_t port;
    int fd = open_server(&port, true);

    (void)state;
    apply_to_port(port, "");
    assert_true(wheel_next_ns(&room.loop.wheel) == UINT64_MAX);
    close(fd);
}

static void a_failed_upstream_is_checked_until_a_connect_succeeds(void **state)
{
    uint64_t end_ns = clock_now_ns() + NS_PER_S / 10;
    uint16_t port;
    int fd = open_server(&port, false);

    (void)state;
    apply_to_port(port, "fail_window = 5ms\n");
    assert_true(upstream_set_down(upstream(0), UPSTREAM_FAILED, 1));
    health_upstream_failed(room.health, upstream(0));
    while (clock_now_ns() < end_ns) {
        loop_turn(&room.loop, 10);
        assert_false(upstream_up(upstream(0)));
    }
    assert_int_equal(listen(fd, 100), 0);
    await(0, true);
    assert_true(wheel_next_ns(&room.loop.wheel) == UINT64_MAX);
    close(fd);
}

static void recovery_checks_go_on_after_a_reload(void **state)
{
    uint16_t port;
    int fd = open_server(&port, true);

    (void)state;
    apply_to_port(port, "fail_window = 1h\n");
    assert_true(upstream_set_down(upstream(0), UPSTREAM_FAILED, 1));
    health_upstream_failed(room.health, upstream(0));
    apply_to_port(port, "fail_window = 5ms\n");
    assert_false(upstream_up(upstream(0)));
    await(0, true);
    close(fd);
}

static void turning_checks_off_forgets_their_results(void **state)
{
    uint16_t port;
    int fd = open_server(&port, false);

    (void)state;
    apply_to_port(port, CHECKED);
    await(0, false);
    apply_to_port(port, "");
    assert_true(upstream_up(upstream(0)));
    assert_true(wheel_next_ns(&room.loop.wheel) == UINT64_MAX);
    close(fd);
}

static void an_upstream_that_is_removed_is_checked_no_more(void **state)
{
    uint16_t port, other;
    int fd = open_server(&port, true), other_fd = open_server(&other, false);

    (void)state;
    apply_to_port(port, CHECKED);
    await(0, true);
    loop_turn(&room.loop, 100);
    apply_to_port(other, CHECKED);
    (void)take_connections(fd);
    await(0, false);
    assert_int_equal(take_connections(fd), 0);
    close(fd);
    close(other_fd);
}

/* Nobody listens on any of them. They are more than are checked at once. */
static void more_upstreams_than_checks_all_get_their_turn(void **state)
{
    enum { MANY = HEALTH_CHECKS_MAX + 10 };
    uint16_t port;
    int fd = open_server(&port, false);
    char *text;
    size_t size;
    FILE *keys = open_memstream(&text, &size);

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        fprintf(keys, "upstream = 127.1.%u.%u:%u\n", i / 250, i % 250 + 1,
                port);
    }
    fprintf(keys, "health_check = tcp\nhealth_interval = 20ms\n"
                  "health_fall = 1\n");
    fclose(keys);
    apply(text);
    free(text);
    for (uint32_t i = 0; i < MANY; i++) {
        await(i, false);
    }
    close(fd);
}

static void a_name_without_an_address_is_not_checked(void **state)
{
    (void)state;
    apply("upstream = nowhere:80\n" CHECKED);
    assert_false(upstream_up(upstream(0)));
    assert_true(wheel_next_ns(&room.loop.wheel) == UINT64_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_room, close_room)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_checked_upstream_goes_down_and_comes_back),
        TEST(a_successful_check_ends_with_a_fin),
        TEST(without_checks_and_failures_nothing_is_connected_to),
        TEST(a_failed_upstream_is_checked_until_a_connect_succeeds),
        TEST(recovery_checks_go_on_after_a_reload),
        TEST(turning_checks_off_forgets_their_results),
        TEST(an_upstream_that_is_removed_is_checked_no_more),
        TEST(more_upstreams_than_checks_all_get_their_turn),
        TEST(a_name_without_an_address_is_not_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
