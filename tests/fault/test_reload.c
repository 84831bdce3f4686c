/*
 * Reloads in which one allocation or one system call fails: each in turn, until
 * none fails any more. Whatever fails, every descriptor keeps its one owner. A
 * number that is closed belongs to a stranger at once, and no call may name it
 * again. The reloads that follow, without faults, show what a failed one has
 * left behind.
 *
 *      EVPROXY_TEST_TRACE=1    the first scenario that fails is played again,
 *                              with a trace of what happens, and no other
 *      EVPROXY_TEST_LONG=1     each allocation and call fails, instead of every
 *                              fourth
 */
#include "control.h"
#include "fail.h"
#include "path.h"
#include "peer.h"
#include "planes.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../setting.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS  64
#define STEPS_MAX    5
#define FAILURES_MAX 12
#define STRIDE       4  /* from one fault to the next, unless all are wanted */
#define SECONDS_MOST 60 /* of a scenario, which takes a millisecond */
/* Longer than any timer that tries something again, and more turns of the loop
 * than that takes unless a loop spins. */
#define QUIET_NS   (2 * NS_PER_S)
#define TURNS_MOST 400

/* Listen addresses, as bits. A TCP and a UDP one of a number have one port. */
enum { T1 = 1, T2 = 2, T3 = 4, U1 = 8, U2 = 16, U3 = 32, X1 = 64, X2 = 128 };

static const char *const listens[] = {
    "127.0.0.1:1001",        "127.0.0.1:1002",       "127.0.0.1:1003",
    "127.0.0.1:1001",        "127.0.0.1:1002",       "127.0.0.1:1003",
    "unix:" PATH_FOLDER "1", "unix:" PATH_FOLDER "2"};

/* The addresses of each configuration in turn; 0: no more. */
static const unsigned sequences[][STEPS_MAX] = {
    {T1 | T2 | U1 | X1, T1 | T3 | U1 | U2 | X1 | X2, T1 | U2 | U3 | X2,
     T1 | T2 | U1 | X1},
    {T1, T1 | U1, U1, T1 | U1 | U2, T1},
    {U1 | U2, U2 | T2, T2 | U1, U1 | U2},
    {X1, X1 | X2, X2, T1 | X2, X1},
};

/* The scenario under way. */
static struct scenario {
    const unsigned *sequence;
    unsigned faulty; /* the step whose reload meets the fault */
    unsigned step;
    enum fail_kind kind;
    unsigned n;
    bool lasting; /* all fail from then on, until the reload is done */
    bool late;    /* see control_set_late */
    unsigned planes;
    uint64_t base_file; /* files up to this number are the planes' own */
    struct peer clients[STEPS_MAX]; /* one comes before each reload */
    char text[4096];
} scenario;

static unsigned first, stride; /* of the faults that are played */
static unsigned failures;
static bool tracing;

/* ---- what is wrong ----------------------------------------------------- */

static const char *describe(void)
{
    static char text[128];

    (void)snprintf(text, sizeof(text),
                   "sequence %td, %u planes%s, %s %u%s of reload %u fails",
                   (scenario.sequence - sequences[0]) / STEPS_MAX,
                   scenario.planes, scenario.late ? " late" : "",
                   scenario.kind == FAIL_CALL ? "call" : "allocation",
                   scenario.n, scenario.lasting ? " and all after it" : "",
                   scenario.faulty);
    return text;
}

static void fail_scenario(const char *format, ...) PRINTF(1, 2);

static void fail_scenario(const char *format, ...)
{
    char what[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    kernel_trace("WRONG    %s", what);
    if (failures++ < FAILURES_MAX) {
        print_error("%s; after reload %u: %s\n", describe(), scenario.step,
                    what);
    }
}

/* After each step: no call has named a stranger's descriptor. One more comes,
 * so that the lowest free number is taken. */
static void check_strangers(const char *after)
{
    struct kernel_record *record = kernel_record();

    if (record->trespasses > 0) {
        fail_scenario("%s is a call on a stranger's descriptor, the first of "
                      "%u (%s)",
                      record->trespass, record->trespasses, after);
    }
    if (record->watches_left > 0) {
        fail_scenario("closed, but still watched (%s)", after);
    }
    record->trespasses = record->watches_left = 0;
    (void)file_open_stranger();
}

static bool is_udp(const struct listen_socket *listen)
{
    return listen->service->config->mode == CONFIG_UDP;
}

/* How many sockets of the planes' generations have that descriptor. */
static unsigned owners_of(const struct file *file)
{
    unsigned count = 0;

    for (unsigned i = 0; i < planes_count(); i++) {
        const struct generation *generation = control_of_plane(i);

        for (size_t j = 0; generation != NULL && j < generation->listen_count;
             j++) {
            count += generation->listens[j].fds[i] == file->fd;
        }
    }
    return count;
}

/* Of a socket that somebody must own. Answers whether it is a connection's. */
static bool check_file(const struct file *file)
{
    enum stream_state state = file->stream->state;

    if (state != STREAM_LISTENING && state != STREAM_DATAGRAM &&
        state != STREAM_FRESH) {
        return true;
    }
    if (owners_of(file) != 1) {
        fail_scenario("socket %d has %u owners", file->fd, owners_of(file));
    }
    return false;
}

static void check_files(void)
{
    unsigned connections = 0;
    struct file *file;

    for (unsigned at = 0; (file = file_next(&at)) != NULL; at++) {
        if (file->number <= scenario.base_file) {
            continue;
        }
        if (file->stranger) {
            if (file->watches[0].epoll != NULL ||
                file->stream->state != STREAM_FRESH) {
                fail_scenario("stranger %d is %s", file->fd,
                              file->watches[0].epoll != NULL ? "watched"
                                                             : "used");
            }
        } else if (file->kind != FILE_STREAM) {
            fail_scenario("descriptor %d is nobody's", file->fd);
        } else {
            connections += check_file(file);
        }
    }
    if (connections != 2 * planes_sessions()) {
        fail_scenario("%u sockets of %u sessions", connections,
                      planes_sessions());
    }
}

/* The plane must take what comes to that address. */
static void check_listener(const struct listen_socket *listen, unsigned which)
{
    const struct file *file = file_at(listen->fds[which]);
    enum stream_state wanted =
        is_udp(listen) ? STREAM_DATAGRAM : STREAM_LISTENING;
    char text[ADDR_TEXT_MAX];

    endpoint_format(&listen->endpoint, text);
    if (file == NULL || file->stranger) {
        fail_scenario("plane %u has no socket for %s%s: %d is %s", which,
                      is_udp(listen) ? "udp " : "", text, listen->fds[which],
                      file == NULL ? "closed" : "a stranger's");
    } else if (file->stream == NULL || file->stream->state != wanted ||
               !endpoint_equal(&file->stream->local, &listen->endpoint)) {
        fail_scenario("plane %u has a wrong socket for %s", which, text);
    } else if (file->watches[0].epoll == NULL ||
               file->watches[0].epoll->fd != planes_epoll(which)) {
        fail_scenario("plane %u does not watch %s", which, text);
    }
}

/* When all is quiet again. */
static void check_owners(void)
{
    const struct generation *generation = control_current();

    check_strangers("all is quiet");
    check_files();
    for (unsigned i = 0; i < planes_count() && generation != NULL; i++) {
        for (size_t j = 0; j < generation->listen_count; j++) {
            check_listener(&generation->listens[j], i);
        }
    }
}

/* Of a scenario that the program does not survive. */
static void tell_scenario(int number)
{
    dprintf(2, "%s; after reload %u: %s\n", describe(), scenario.step,
            number == SIGALRM ? "it does not come to an end" : "it aborts");
    signal(SIGABRT, SIG_DFL);
    abort();
}

/* ---- the run ----------------------------------------------------------- */

/* backlog changes with each step, so that sockets that stay are told. */
static struct config *make_config(unsigned addresses, unsigned step)
{
    size_t length = 0;

    for (unsigned i = 0; i < ARRAY_LEN(listens); i++) {
        if (addresses >> i & 1) {
            length += (size_t)snprintf(
                scenario.text + length, sizeof(scenario.text) - length,
                "[service s%u]\nmode = %s\nlisten = %s\nupstream = "
                "10.0.0.%u:80\nbacklog = %u\n",
                i, 1u << i & (U1 | U2 | U3) ? "udp" : "tcp", listens[i], i + 1,
                100 + step);
        }
    }
    return control_parse(scenario.text, length);
}

static void turn_all(int limit_ms)
{
    for (unsigned i = 0; i < planes_count(); i++) {
        planes_turn(i, limit_ms);
    }
    (void)control_take_reports();
}

/* Until every timer has rung that may try something again. */
static void wait_until_quiet(void)
{
    uint64_t until_ns = kernel_now_ns() + QUIET_NS;

    for (unsigned i = 0; i < TURNS_MOST && kernel_now_ns() < until_ns; i++) {
        if (control_current() != NULL && !control_spread(check_strangers)) {
            fail_scenario("without memory although there is some");
        }
        turn_all(50);
    }
    if (kernel_now_ns() < until_ns) {
        fail_scenario("a loop spins");
    }
}

/* A client comes to one of the addresses, and nobody has looked yet when the
 * next reload begins. */
static void begin_client(const struct generation *generation)
{
    struct peer *client = &scenario.clients[scenario.step];
    const struct listen_socket *listen = NULL;
    struct stream *stream = stream_open();

    for (size_t i = 0; i < generation->listen_count; i++) {
        if (!is_udp(&generation->listens[i])) {
            listen = &generation->listens[i];
            if (scenario.step % 2 == 0) {
                break;
            }
        }
    }
    *client = (struct peer){.plan = {.ending = PEER_SILENCE,
                                     .read_most = UINT32_MAX,
                                     .pause_ns = 1}};
    if (listen == NULL) {
        stream_close(stream);
        return;
    }
    stream->local.length = sizeof(sa_family_t);
    stream->local.u.any.sa_family = listen->endpoint.u.any.sa_family;
    (void)stream_connect(stream, &listen->endpoint);
    peer_begin(client, stream);
    while (stream->state == STREAM_CONNECTING && kernel_step()) {
    }
}

static enum verdict route(void *arg, const struct endpoint *to)
{
    (void)arg;
    (void)to;
    return VERDICT_ACCEPT;
}

/* An upstream that says nothing. */
static void accepted(void *arg, struct stream *stream)
{
    (void)arg;
    (void)stream;
}

static void reload(unsigned step)
{
    struct config *config = make_config(scenario.sequence[step], step);

    scenario.step = step;
    kernel_trace("reload   %u", step);
    if (step == scenario.faulty) {
        fail_arm(scenario.kind, scenario.n, scenario.lasting);
    }
    if (control_reload(config, CONNECTIONS, check_strangers)) {
        (void)control_spread(check_strangers);
    }
    turn_all(1);
    turn_all(1);
}

static void end_scenario(void)
{
    planes_drain();
    planes_reset_all();
    turn_all(1);
    if (control_current() != NULL) {
        control_unlink();
    }
    planes_close();
    control_close();
    check_strangers("the end");
    for (unsigned i = 0; i < STEPS_MAX; i++) {
        peer_stop(&scenario.clients[i]);
    }
}

/* Everything is closed but what is the strangers'. */
static void check_end(void)
{
    struct file *file;

    for (unsigned at = 0; (file = file_next(&at)) != NULL; at++) {
        if (!file->stranger) {
            fail_scenario("descriptor %d is still open", file->fd);
        }
    }
    if (path_count() > 0) {
        fail_scenario("%u socket files are left", path_count());
    }
}

/* All reloads of the sequence. Answers whether the fault was met. */
static bool play(void)
{
    const struct kernel_faults none = {.latency_ns = 1};
    static const struct world world = {.route = route, .accepted = accepted};
    struct file *file;
    bool met = false;

    alarm(SECONDS_MOST);
    memset(scenario.clients, 0, sizeof(scenario.clients));
    kernel_start(1, &none);
    kernel_set_trace(tracing);
    stream_set_world(&world);
    control_set_late(scenario.late);
    planes_open(scenario.planes, 4, CONNECTIONS);
    for (unsigned at = 0; (file = file_next(&at)) != NULL; at++) {
        scenario.base_file = file->number;
    }
    file_reuse_closed(true);
    for (unsigned i = 0; i < STEPS_MAX && scenario.sequence[i] != 0; i++) {
        reload(i);
        if (i == scenario.faulty) {
            met = fail_disarm();
        }
        wait_until_quiet();
        check_owners();
        if (control_current() != NULL) {
            begin_client(control_current());
        }
    }
    end_scenario();
    check_end();
    kernel_stop();
    alarm(0);
    return met;
}

/* The faults of the kind, in each reload of the sequence. */
static void play_sequence(void)
{
    for (scenario.faulty = 0;
         scenario.faulty < STEPS_MAX && scenario.sequence[scenario.faulty] != 0;
         scenario.faulty++) {
        for (scenario.n = first; play(); scenario.n += stride) {
            if (failures > 0 && getenv("EVPROXY_TEST_TRACE") != NULL) {
                tracing = true;
                (void)play();
                fail();
            }
        }
    }
}

static void play_all(enum fail_kind kind)
{
    failures = 0;
    scenario.kind = kind;
    signal(SIGSEGV, tell_scenario); /* cmocka has its own by now */
    stride = setting_is_on("EVPROXY_TEST_LONG") ? 1 : STRIDE;
    for (unsigned i = 0; i < 8 * ARRAY_LEN(sequences); i++) {
        first = 1 + i % stride;
        scenario.sequence = sequences[i / 8];
        scenario.planes = 1 + (i & 1);
        scenario.lasting = i & 2;
        scenario.late = i & 4;
        play_sequence();
    }
    assert_int_equal(failures, 0);
}

static void a_failed_allocation_leaves_every_descriptor_its_owner(void **state)
{
    (void)state;
    play_all(FAIL_MEMORY);
}

static void a_failed_call_leaves_every_descriptor_its_owner(void **state)
{
    (void)state;
    play_all(FAIL_CALL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_allocation_leaves_every_descriptor_its_owner),
        cmocka_unit_test(a_failed_call_leaves_every_descriptor_its_owner),
    };

    /* "a listening socket is lost" is the least of it. */
    log_set_level(LOG_RECORD);
    signal(SIGALRM, tell_scenario);
    signal(SIGABRT, tell_scenario);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
