/* The modes. Each client has a connection, which runs the steps of the mode. */
#include "load.h"
#include "tls_link.h"
#include "tls_load.h"

#include <stdio.h>
#include <unistd.h>

enum { OPENING_MAX = 256 /* handshakes at a time, for hold */ };

struct client {
    struct tls_link link;
    int step;
    int64_t begun_ns; /* of the connection, or of the current request */
};

struct mode {
    const tls_step_fn *steps;
    int step_count;
    /* Called when all steps are done; true: the client starts over. */
    bool (*done)(struct client *client);
};

static struct {
    const struct mode *mode;
    int epoll;
    struct client *clients;
    long started;
    long open; /* running their steps */
    long done;
    long resumed;
    long cut;
    long errors;
    int64_t begun_ns;
    int64_t moved_ns;
} run;

static void begin(struct client *client)
{
    run.started++;
    client->step = 0;
    client->begun_ns = load_now_ns();
    if (!tls_link_dial(&client->link, run.epoll,
                       (uint32_t)(client - run.clients))) {
        run.errors++;
        return;
    }
    run.open++;
}

static void finish(struct client *client)
{
    run.open--;
    run.cut += client->link.cut;
    tls_link_close(&client->link);
}

static void step_done(struct client *client)
{
    if (run.mode->steps[client->step] == tls_link_handshake) {
        run.resumed += SSL_session_reused(client->link.ssl);
    } else if (run.mode->steps[client->step] == tls_link_echo) {
        load_latency_add(load_now_ns() - client->begun_ns);
    }
    client->step++;
}

static enum tls_step advance(struct client *client)
{
    while (client->step < run.mode->step_count) {
        enum tls_step step = run.mode->steps[client->step](&client->link);
        if (step != TLS_DONE) {
            return step;
        }
        step_done(client);
    }
    return TLS_DONE;
}

static void fail(struct client *client)
{
    run.errors++;
    finish(client);
}

static bool is_running(const struct client *client)
{
    return client->link.ssl != NULL && client->step < run.mode->step_count;
}

static void handle(struct client *client)
{
    while (is_running(client)) {
        switch (advance(client)) {
        case TLS_WAITS:
            return;
        case TLS_FAILED:
            fail(client);
            return;
        case TLS_DONE:
            if (!run.mode->done(client)) {
                return;
            }
        }
    }
}

/* Until no client runs, or nothing has happened for too long. */
static void serve(void)
{
    struct epoll_event events[LOAD_EVENTS];

    run.moved_ns = load_now_ns();
    while (run.open > 0 &&
           load_now_ns() - run.moved_ns < LOAD_STUCK_S * INT64_C(1000000000)) {
        int count = epoll_wait(run.epoll, events, LOAD_EVENTS, 100);
        for (int i = 0; i < count; i++) {
            handle(&run.clients[events[i].data.u32]);
        }
        run.moved_ns = count > 0 ? load_now_ns() : run.moved_ns;
    }
}

static void set_up(const struct mode *mode)
{
    run.mode = mode;
    run.epoll = load_epoll();
    run.clients =
        load_allocate((size_t)load.connections, sizeof(run.clients[0]));
    run.begun_ns = load_now_ns();
}

static double seconds_so_far(void)
{
    return (double)(load_now_ns() - run.begun_ns) / 1e9;
}

static void print_result(void)
{
    double took = seconds_so_far();

    load_latency_sort();
    printf("{\"n\": %ld, \"seconds\": %.3f, \"per_s\": %.1f, "
           "\"resumed\": %ld, \"cut\": %ld, \"errors\": %ld, "
           "\"stuck\": %ld, \"p50_us\": %.0f, \"p99_us\": %.0f}\n",
           run.done, took, (double)run.done / took, run.resumed, run.cut,
           run.errors, run.open, load_latency_us(0.5), load_latency_us(0.99));
    fflush(stdout);
}

/* ---- rate: new connections --------------------------------------------- */

static bool is_over(long begun)
{
    if (load.total > 0 && begun >= load.total) {
        return true;
    }
    return load.seconds > 0 && seconds_so_far() > load.seconds;
}

static bool rate_done(struct client *client)
{
    run.done++;
    finish(client);
    if (!is_over(run.started)) {
        begin(client);
    }
    return false; /* the new one waits for its first event */
}

int tls_run_rate(void)
{
    static const tls_step_fn steps[] = {tls_link_handshake, tls_link_echo,
                                        tls_link_shutdown};
    static const struct mode mode = {steps, 3, rate_done};

    set_up(&mode);
    for (int i = 0; i < load.connections; i++) {
        begin(&run.clients[i]);
    }
    serve();
    print_result();
    return 0;
}

/* ---- stream: bytes there and back --------------------------------------- */

static bool stream_done(struct client *client)
{
    run.done += client->link.got;
    finish(client);
    return false;
}

int tls_run_stream(void)
{
    static const tls_step_fn steps[] = {tls_link_handshake, tls_link_stream,
                                        tls_link_shutdown};
    static const struct mode mode = {steps, 3, stream_done};

    set_up(&mode);
    for (int i = 0; i < load.connections; i++) {
        begin(&run.clients[i]);
    }
    serve();
    print_result();
    return run.errors + run.open + run.cut > 0;
}

/* ---- hold and reqs: persistent connections ------------------------------ */

/* Leaves the connection open and begins the next one. */
static bool keep_open(struct client *client)
{
    (void)client;
    run.done++;
    run.open--;
    if (run.started < load.connections) {
        begin(&run.clients[run.started]);
    }
    return false;
}

static void open_all(void)
{
    static const tls_step_fn steps[] = {tls_link_handshake, tls_link_echo};
    static const struct mode mode = {steps, 2, keep_open};

    set_up(&mode);
    while (run.started < load.connections && run.started < OPENING_MAX) {
        begin(&run.clients[run.started]);
    }
    serve();
    print_result();
    load_ready();
}

static void close_all(void)
{
    for (long i = 0; i < run.started; i++) {
        if (run.clients[i].link.ssl != NULL) {
            tls_link_close(&run.clients[i].link);
        }
    }
}

int tls_run_hold(void)
{
    open_all();
    close_all();
    puts("CLOSED");
    fflush(stdout);
    load_wait_line();
    return 0;
}

static void start_request(struct client *client)
{
    client->step = 0;
    client->link.sent = client->link.got = 0;
    client->begun_ns = load_now_ns();
}

static bool request_done(struct client *client)
{
    run.done++;
    if (is_over(run.done)) {
        run.open--;
        return false;
    }
    start_request(client);
    return true;
}

int tls_run_requests(void)
{
    static const tls_step_fn steps[] = {tls_link_echo};
    static const struct mode mode = {steps, 1, request_done};

    open_all();
    run.mode = &mode;
    run.done = run.open = 0;
    run.begun_ns = load_now_ns();
    for (long i = 0; i < run.started; i++) {
        if (run.clients[i].link.ssl != NULL) {
            run.open++;
            start_request(&run.clients[i]);
            handle(&run.clients[i]);
        }
    }
    serve();
    print_result();
    load_wait_line();
    close_all();
    return 0;
}
