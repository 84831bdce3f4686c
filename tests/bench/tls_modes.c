/* What the modes do: callers, each with a connection that takes its steps. */
#include "load.h"
#include "tls_link.h"
#include "tls_load.h"

#include <stdio.h>
#include <unistd.h>

enum { OPENING_MAX = 256 /* handshakes of hold at a time */ };

struct caller {
    struct tls_link link;
    int step;
    int64_t begun_ns; /* the connection, or the current request */
};

struct mode {
    const tls_step_fn *steps;
    int step_count;
    /* When all steps are done; true: the caller has new ones to take. */
    bool (*done)(struct caller *caller);
};

static struct {
    const struct mode *mode;
    int epoll;
    struct caller *callers;
    long started;
    long open; /* under way */
    long done;
    long resumed;
    long cut;
    long errors;
    int64_t begun_ns;
    int64_t moved_ns;
} run;

static void begin(struct caller *caller)
{
    run.started++;
    caller->step = 0;
    caller->begun_ns = load_now_ns();
    if (!tls_link_dial(&caller->link, run.epoll,
                       (uint32_t)(caller - run.callers))) {
        run.errors++;
        return;
    }
    run.open++;
}

static void finish(struct caller *caller)
{
    run.open--;
    run.cut += caller->link.cut;
    tls_link_close(&caller->link);
}

static void step_done(struct caller *caller)
{
    if (run.mode->steps[caller->step] == tls_link_greet) {
        run.resumed += SSL_session_reused(caller->link.ssl);
    } else if (run.mode->steps[caller->step] == tls_link_echo) {
        load_latency_add(load_now_ns() - caller->begun_ns);
    }
    caller->step++;
}

static enum tls_step advance(struct caller *caller)
{
    while (caller->step < run.mode->step_count) {
        enum tls_step step = run.mode->steps[caller->step](&caller->link);
        if (step != TLS_DONE) {
            return step;
        }
        step_done(caller);
    }
    return TLS_DONE;
}

static void fail(struct caller *caller)
{
    run.errors++;
    finish(caller);
}

static bool is_under_way(const struct caller *caller)
{
    return caller->link.ssl != NULL && caller->step < run.mode->step_count;
}

static void handle(struct caller *caller)
{
    while (is_under_way(caller)) {
        switch (advance(caller)) {
        case TLS_WAITS:
            return;
        case TLS_FAILED:
            fail(caller);
            return;
        case TLS_DONE:
            if (!run.mode->done(caller)) {
                return;
            }
        }
    }
}

/* Until nothing is under way, or nothing has moved for too long. */
static void serve(void)
{
    struct epoll_event events[LOAD_EVENTS];

    run.moved_ns = load_now_ns();
    while (run.open > 0 &&
           load_now_ns() - run.moved_ns < LOAD_STUCK_S * INT64_C(1000000000)) {
        int count = epoll_wait(run.epoll, events, LOAD_EVENTS, 100);
        for (int i = 0; i < count; i++) {
            handle(&run.callers[events[i].data.u32]);
        }
        run.moved_ns = count > 0 ? load_now_ns() : run.moved_ns;
    }
}

static void set_up(const struct mode *mode)
{
    run.mode = mode;
    run.epoll = load_epoll();
    run.callers =
        load_allocate((size_t)load.connections, sizeof(run.callers[0]));
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

/* ---- rate: new connections without end --------------------------------- */

static bool is_over(long begun)
{
    if (load.total > 0 && begun >= load.total) {
        return true;
    }
    return load.seconds > 0 && seconds_so_far() > load.seconds;
}

static bool rate_done(struct caller *caller)
{
    run.done++;
    finish(caller);
    if (!is_over(run.started)) {
        begin(caller);
    }
    return false; /* the next event says that it is connected */
}

int tls_run_rate(void)
{
    static const tls_step_fn steps[] = {tls_link_greet, tls_link_echo,
                                        tls_link_part};
    static const struct mode mode = {steps, 3, rate_done};

    set_up(&mode);
    for (int i = 0; i < load.connections; i++) {
        begin(&run.callers[i]);
    }
    serve();
    print_result();
    return 0;
}

/* ---- stream: bytes there and back --------------------------------------- */

static bool stream_done(struct caller *caller)
{
    run.done += caller->link.got;
    finish(caller);
    return false;
}

int tls_run_stream(void)
{
    static const tls_step_fn steps[] = {tls_link_greet, tls_link_stream,
                                        tls_link_part};
    static const struct mode mode = {steps, 3, stream_done};

    set_up(&mode);
    for (int i = 0; i < load.connections; i++) {
        begin(&run.callers[i]);
    }
    serve();
    print_result();
    return run.errors + run.open + run.cut > 0;
}

/* ---- hold and reqs: connections that stay ------------------------------- */

/* Leaves it open, and begins another one. */
static bool settle(struct caller *caller)
{
    (void)caller;
    run.done++;
    run.open--;
    if (run.started < load.connections) {
        begin(&run.callers[run.started]);
    }
    return false;
}

static void open_all(void)
{
    static const tls_step_fn steps[] = {tls_link_greet, tls_link_echo};
    static const struct mode mode = {steps, 2, settle};

    set_up(&mode);
    while (run.started < load.connections && run.started < OPENING_MAX) {
        begin(&run.callers[run.started]);
    }
    serve();
    print_result();
    load_ready();
}

static void close_all(void)
{
    for (long i = 0; i < run.started; i++) {
        if (run.callers[i].link.ssl != NULL) {
            tls_link_close(&run.callers[i].link);
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

static void ask(struct caller *caller)
{
    caller->step = 0;
    caller->link.sent = caller->link.got = 0;
    caller->begun_ns = load_now_ns();
}

static bool asked(struct caller *caller)
{
    run.done++;
    if (is_over(run.done)) {
        run.open--;
        return false;
    }
    ask(caller);
    return true;
}

int tls_run_requests(void)
{
    static const tls_step_fn steps[] = {tls_link_echo};
    static const struct mode mode = {steps, 1, asked};

    open_all();
    run.mode = &mode;
    run.done = run.open = 0;
    run.begun_ns = load_now_ns();
    for (long i = 0; i < run.started; i++) {
        if (run.callers[i].link.ssl != NULL) {
            run.open++;
            ask(&run.callers[i]);
            handle(&run.callers[i]);
        }
    }
    serve();
    print_result();
    load_wait_line();
    close_all();
    return 0;
}
