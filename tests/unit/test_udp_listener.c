/* UDP sockets of one plane over reloads. */
#include "proxy/udp_listener.h"

#include "config/load.h"
#include "control/listeners.h"
#include "proxy/reactor.h"
#include "service/generation.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define FRONT "21934"
#define BACK  "21935"

/* A generation with one listen, and its sockets. */
static struct generation *open_generation(struct generation *former,
                                          const char *listen)
{
    const struct listeners_origin origin = {.owner = geteuid()};
    const struct listen_socket *failed;
    struct config_errors errors = {0};
    struct generation *generation;
    struct reload_plan plan;
    struct config *config;
    char text[256];

    snprintf(text, sizeof(text),
             "[service s]\nmode = udp\nlisten = %s\n"
             "upstream = 127.0.0.1:" BACK "\n",
             listen);
    config = load_text(text, strlen(text), &errors);
    assert_non_null(config);
    assert_int_equal(listeners_plan(&plan, former, config), 0);
    generation = generation_create(config, former, 1, 100, NULL);
    assert_non_null(generation);
    assert_int_equal(
        listeners_open(generation, former, &plan, &origin, &failed), 0);
    if (former != NULL) {
        listeners_commit(generation, former, &plan);
    }
    reload_plan_fini(&plan);
    return generation;
}

static void apply(struct reactor *reactor, struct generation *generation)
{
    struct reactor_change change;

    assert_int_equal(reactor_prepare(&change, generation, 0), 0);
    reactor_apply(reactor, &change);
}

static int udp_at(const char *port, bool connected)
{
    const struct sockaddr_in in = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal((connected ? connect : bind)(
                         fd, (const struct sockaddr *)&in, sizeof(in)),
                     0);
    return fd;
}

/* What the plane reported to the control thread. */
static void free_reports(struct mailbox *control)
{
    struct message *message;

    while ((message = mailbox_next(control)) != NULL) {
        free(container_of(message, struct report, message));
    }
}

static void drop(struct generation *generation)
{
    listeners_release(generation);
    generation_destroy(generation);
}

/* A worker may take a reload long after the control thread opened the new
 * sockets. What its old ones got before that is not lost with them. */
static void what_a_closing_socket_has_is_passed_on(void **state)
{
    static struct shared shared;
    static struct reactor reactor;
    struct mailbox control;
    struct generation *narrow, *wide;
    int upstream = udp_at(BACK, false), client;
    char byte = 0;

    (void)state;
    assert_int_equal(mailbox_open(&control), 0);
    assert_int_equal(shared_init(&shared, 4096, 1 << 20, 1, &control), 0);
    shared.max_connections = 100;
    assert_int_equal(reactor_open(&reactor, 0, &shared, NULL), 0);
    narrow = open_generation(NULL, "127.0.0.1:" FRONT);
    apply(&reactor, narrow);
    wide = open_generation(narrow, ":" FRONT);
    client = udp_at(FRONT, true);
    assert_int_equal(send(client, "x", 1, 0), 1);
    apply(&reactor, wide);
    assert_int_equal(recv(upstream, &byte, 1, MSG_DONTWAIT), 1);
    assert_int_equal(byte, 'x');
    reactor_close(&reactor);
    free_reports(&control);
    close(client);
    close(upstream);
    drop(narrow);
    drop(wide);
    shared_fini(&shared);
    mailbox_close(&control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_closing_socket_has_is_passed_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
