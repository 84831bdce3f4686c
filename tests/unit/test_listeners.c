/* Listening sockets over reloads. */
#include "control/listeners.h"

#include "config/load.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORKERS = 3 };

static char directory[64];
static char path[80];
static struct listeners_origin origin; /* set by main */
static const struct listen_socket *failed;

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof(directory), "/tmp/test_listeners.XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/socket", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static unsigned open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(list);
    while (readdir(list) != NULL) {
        count++;
    }
    closedir(list);
    return count;
}

/* A generation whose service has these keys, and the plan from the former. */
static struct generation *make(struct generation *former,
                               struct reload_plan *plan, const char *keys)
{
    struct config_errors errors = {0};
    struct generation *generation;
    struct config *config;
    char text[512];

    snprintf(text, sizeof(text), "[service s]\nupstream = unix:/nowhere\n%s",
             keys);
    config = load_text(text, strlen(text), &errors);
    assert_non_null(config);
    assert_int_equal(listeners_plan(plan, former, config), 0);
    generation = generation_create(config, former, WORKERS, 100, NULL);
    assert_non_null(generation);
    return generation;
}

static struct generation *open_first(struct reload_plan *plan, const char *keys)
{
    struct generation *generation = make(NULL, plan, keys);

    assert_int_equal(listeners_open(generation, NULL, plan, &origin, &failed),
                     0);
    return generation;
}

/* What a worker does with an address that is gone. */
static void close_fds(const struct listen_socket *listen)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(close(listen->fds[i]), 0);
    }
}

static void drop(struct generation *generation, struct reload_plan *plan)
{
    listeners_release(generation);
    generation_destroy(generation);
    reload_plan_fini(plan);
}

static bool listening(int fd)
{
    int value = 0;
    socklen_t length = sizeof(value);

    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length),
                     0);
    return value != 0;
}

static const char *keys_for_path(const char *more)
{
    static char keys[256];

    snprintf(keys, sizeof(keys), "listen = unix:%s\n%s", path, more);
    return keys;
}

static void each_worker_gets_a_socket_of_its_own(void **state)
{
    struct reload_plan plan;
    struct generation *first = open_first(
        &plan, "listen = 127.0.0.1:21931\nlisten = 127.0.0.2:21931\n");

    (void)state;
    for (size_t i = 0; i < first->listen_count; i++) {
        const int *fds = first->listens[i].fds;

        for (unsigned j = 0; j < WORKERS; j++) {
            assert_true(listening(fds[j]));
            assert_true(j == 0 || fds[j] != fds[j - 1]);
        }
        close_fds(&first->listens[i]);
    }
    drop(first, &plan);
}

static void an_address_that_stays_keeps_its_sockets(void **state)
{
    unsigned before = open_descriptors();
    struct reload_plan plan, next_plan;
    struct generation *first = open_first(
        &plan, "listen = 127.0.0.1:21931\nlisten = 127.0.0.1:21932\n");
    struct generation *next = make(first, &next_plan,
                                   "listen = 127.0.0.1:21933\n"
                                   "listen = 127.0.0.1:21932\nbacklog = 5\n");

    (void)state;
    assert_int_equal(listeners_open(next, first, &next_plan, &origin, &failed),
                     0);
    assert_ptr_equal(next->listens[1].fds, first->listens[1].fds);
    assert_int_equal(open_descriptors(), before + 3 * WORKERS);
    listeners_commit(next, first, &next_plan);
    close_fds(&first->listens[0]);
    drop(first, &plan);
    assert_true(listening(next->listens[1].fds[WORKERS - 1]));
    close_fds(&next->listens[0]);
    close_fds(&next->listens[1]);
    drop(next, &next_plan);
    assert_int_equal(open_descriptors(), before);
}

static void what_is_abandoned_leaves_the_running_ones_open(void **state)
{
    struct reload_plan plan, next_plan;
    struct generation *first = open_first(&plan, "listen = 127.0.0.1:21931\n");
    struct generation *next =
        make(first, &next_plan,
             keys_for_path("listen = 127.0.0.1:21931\nlisten = :21932\n"));
    unsigned before = open_descriptors();

    (void)state;
    assert_int_equal(listeners_open(next, first, &next_plan, &origin, &failed),
                     0);
    assert_int_equal(access(path, F_OK), 0);
    listeners_abandon(next, &next_plan);
    drop(next, &next_plan);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(access(path, F_OK), -1);
    assert_true(listening(first->listens[0].fds[0]));
    close_fds(&first->listens[0]);
    drop(first, &plan);
}

static void one_address_in_use_leaves_none_open(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(21932),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct reload_plan plan;
    struct generation *first =
        make(NULL, &plan,
             keys_for_path("listen = 127.0.0.1:21931\n"
                           "listen = 127.0.0.1:21932\n"));
    unsigned before = open_descriptors();

    (void)state;
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listeners_open(first, NULL, &plan, &origin, &failed), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_ptr_equal(failed, &first->listens[2]);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(access(path, F_OK), -1);
    drop(first, &plan);
    close(fd);
}

static void a_path_that_is_gone_is_unlinked(void **state)
{
    struct reload_plan plan, next_plan;
    struct generation *first = open_first(&plan, keys_for_path(""));
    struct generation *next =
        make(first, &next_plan, "listen = 127.0.0.1:21931\n");

    (void)state;
    assert_int_equal(listeners_open(next, first, &next_plan, &origin, &failed),
                     0);
    assert_int_equal(access(path, F_OK), 0);
    listeners_commit(next, first, &next_plan);
    assert_int_equal(access(path, F_OK), -1);
    close_fds(&first->listens[0]);
    close_fds(&next->listens[0]);
    drop(first, &plan);
    drop(next, &next_plan);
}

static void a_path_that_another_took_over_is_left_alone(void **state)
{
    struct reload_plan plan;
    struct generation *first = open_first(&plan, keys_for_path(""));
    char aside[100];
    FILE *file;

    (void)state;
    snprintf(aside, sizeof(aside), "%s.old", path);
    assert_int_equal(rename(path, aside), 0);
    file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    listeners_unlink(first);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(aside), 0);
    close_fds(&first->listens[0]);
    drop(first, &plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_worker_gets_a_socket_of_its_own),
        cmocka_unit_test(an_address_that_stays_keeps_its_sockets),
        cmocka_unit_test(what_is_abandoned_leaves_the_running_ones_open),
        cmocka_unit_test(one_address_in_use_leaves_none_open),
        cmocka_unit_test(a_path_that_is_gone_is_unlinked),
        cmocka_unit_test(a_path_that_another_took_over_is_left_alone),
    };

    origin.owner = geteuid();
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
