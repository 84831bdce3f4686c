/*
 * harness: the real binary on loopback, and the peers around it.
 *
 * A test starts the proxy (the path in EVPROXY, default build/evproxy) with a
 * configuration, plays its clients and its upstreams, looks at the log and the
 * stats lines, and stops it. It is no mock: nothing here knows how the proxy
 * works inside, only what it promises.
 *
 * Nothing sleeps for luck: every wait is for a condition and has a deadline
 * (10 s; EVPROXY_TEST_SLOW=1 makes it 50 s, for the sanitizers). Addresses are
 * loopback ones derived from the process id, so test programs may run side by
 * side.
 *
 * Functions that fail the test belong to the main thread only. What other
 * threads run answers -1 or a sentence. Whatever a failed test leaves behind
 * (processes, threads, descriptors) is cleared up after it: E2E().
 */
#ifndef EVPROXY_TESTS_E2E_HARNESS_H
#define EVPROXY_TESTS_E2E_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <cmocka.h>

#define PRINTF(text, first) __attribute__((format(printf, text, first)))

/* A row of cmocka's table: the test, cleared up after. */
#define E2E(test) cmocka_unit_test_teardown(test, harness_teardown)
int harness_teardown(void **state);

/* ---- time ---- */

/* True under sanitizers or valgrind: fewer rounds, no figures of time or
 * memory. */
bool test_slow(void);

int64_t time_ms(void);    /* monotonic */
int64_t time_limit(void); /* the deadline of a wait that begins now */
void time_tick(void);     /* between two looks at a condition */

#define eventually(condition)                                                  \
    do {                                                                       \
        int64_t eventually_limit = time_limit();                               \
        while (!(condition)) {                                                 \
            if (time_ms() > eventually_limit) {                                \
                fail_msg("never came true: %s", #condition);                   \
            }                                                                  \
            time_tick();                                                       \
        }                                                                      \
    } while (0)

/* ---- chance ---- */

/* Begins at EVPROXY_TEST_SEED, or anywhere; prints the seed. */
struct dice {
    uint64_t state;
};
struct dice dice_new(void);
uint64_t dice_roll(struct dice *dice, uint64_t sides); /* 0 to sides - 1 */

/* ---- places ---- */

struct place {
    char text[112]; /* as the configuration writes it */
};

struct place place_new(void);              /* a free port of our own address */
struct place place_on(const char *host);   /* a free port there: "[::1]"; "" is
                                              all addresses, both families */
struct place place_unix(const char *name); /* unix: in the test's directory */
struct place place_at(const char *host,
                      const struct place *port); /* its port */

/* Our own loopback address number n, never the one of place_new: 1 to 60000. */
const char *source_new(unsigned n);

/* A file in the test's directory, written anew; its path, valid until the next
 * call of that name. The directory goes with the program. */
const char *file_write(const char *name, const char *text);
const char *file_path(const char *name);

/* ---- sockets in the hand of the main thread, all non-blocking ---- */

int listen_on(const struct place *place);
int listen_backlog(const struct place *place, int backlog);
int take(int listener);            /* accepts */
bool pending(int fd, int wait_ms); /* readable within so many ms */

int dial(const struct place *place);
int dial_narrow(const struct place *place); /* its kernel takes few bytes */
int dial_from(const char *source, const struct place *place);
/* Connects, or -1 with errno: for a listener that may not be there. */
int dial_try(const char *source, const struct place *place);

/* A socket for datagrams that is bound there, and a client's, connected (so it
 * hears nobody else), from a source or NULL. */
int datagram_on(const struct place *place);
int datagram_dial(const char *source, const struct place *place);

void hang_up(int fd);   /* close */
void hang_up_all(void); /* whatever the test still holds */
void reset(int fd);     /* close with RST */
void finish(int fd);    /* FIN */

void send_bytes(int fd, const void *bytes, size_t count);
void send_text(int fd, const char *text);
void send_urgent(int fd, char byte);
/* The bytes and the FIN in one segment, if they fit. */
void send_last(int fd, const void *bytes, size_t count);
/* Waits until the other end's kernel has all that was sent. */
void await_acknowledged(int fd);
void expect_text(int fd, const char *text);
void expect_eof(int fd);
void expect_reset(int fd);  /* at once, no byte before it */
void expect_broken(int fd); /* by a reset that comes behind a FIN */
void expect_end(int fd);    /* one of the two */
void expect_gone(int fd);   /* in either way, whatever comes before it */
void expect_silence(int fd, int ms);

/* Connects, and is reset at once, with the bytes (or NULL) unread; or is let
 * go in either way. */
void expect_refused(const char *source, const struct place *place,
                    const char *text);
void expect_let_go(const struct place *place);

/* Sends what the socket takes until it has taken nothing for so long; answers
 * how much. */
size_t stuff(int fd, int quiet_ms);

/*
 * What speaks for a socket where its own calls do not: TLS (secure.h). All
 * above and below that moves bytes, or ends a stream, goes by it; what looks at
 * the socket alone does not. send and recv answer as the calls do. finish ends
 * our stream, drop forgets all at once; a socket that is hung up is finished
 * first, one that is reset is not.
 */
struct carrier {
    ssize_t (*send)(int fd, const void *bytes, size_t count);
    ssize_t (*recv)(int fd, void *buffer, size_t size);
    int (*finish)(int fd);
    void (*drop)(int fd);
};
void carrier_set(int fd,
                 const struct carrier *carrier); /* until it is closed */

/* ---- streams: bytes whose place can be told from their value ---- */

struct flow {
    int fd;
    uint64_t seed;
    size_t bytes;       /* how many; SIZE_MAX for a receiver: until the end */
    size_t chunk;       /* at most so many at once; 0: 64K */
    size_t pause_every; /* bytes; 0: never */
    int pause_ms;
    bool finish;     /* a sender: FIN at last; a receiver: expects one */
    size_t moved;    /* out */
    const char *ill; /* out: NULL, or what went wrong */
    void *thread;
};

void flow_fill(const struct flow *flow, void *buffer); /* all its bytes */
void flow_run_send(struct flow *flow); /* by any thread; answers in ill */
void flow_run_receive(struct flow *flow);
void flow_send(struct flow *flow); /* in a thread of its own, until join */
void flow_receive(struct flow *flow);
void flow_join(struct flow *flow); /* fails the test if it is ill */

/* For clients in threads: a blocking connection that the caller closes, or -1.
 */
int peer_dial(const struct place *place);

/* ---- upstreams in threads, one for each connection ---- */

struct server;

/* What it does with a connection; the server closes it afterwards. Blocking
 * sockets; recv answers 0 when the server is stopped. */
typedef void (*server_fn)(int fd, const void *arg);

void serve_echo(int fd, const void *arg);
void serve_name(int fd, const void *name); /* one message, then until EOF */
void serve_sink(int fd, const void *arg);  /* never reads */
void serve_swallow(int fd, const void *arg);
void serve_source(int fd, const void *flow); /* its bytes, seed and finish */
void serve_close(int fd, const void *arg);
void serve_reset(int fd, const void *arg);
void serve_after_fin(int fd, const void *flow); /* reads to EOF first */

struct server *server_start(const struct place *place, server_fn fn,
                            const void *arg);
unsigned server_accepted(struct server *server);
void server_stop(struct server *server);

/* An address that refuses (bound, not listening), and one that never answers
 * (its queue is full). They go with the test. */
struct place refusing_place(void);
struct place silent_place(void);

/* ---- the proxy ---- */

struct proxy;

struct launch {
    const char *const *arguments;   /* NULL: -c with the configuration */
    const char *const *environment; /* NULL-ended "K=V", added to ours */
    rlim_t descriptors;             /* RLIMIT_NOFILE, soft and hard; 0: ours */
    bool journal;                   /* JOURNAL_STREAM names its stderr */
    bool deaf;    /* nobody reads its log; it cannot be waited for by line */
    bool unready; /* do not wait for the ready line */
};

/* Runs it with that text as its configuration; waits until it is ready. */
struct proxy *proxy_start(const char *config, ...) PRINTF(1, 2);
struct proxy *proxy_launch(const struct launch *launch, const char *config);

/* Writes its configuration anew; proxy_reload also sends SIGHUP and waits for
 * the word. */
void proxy_configure(struct proxy *proxy, const char *config, ...) PRINTF(2, 3);
void proxy_reload(struct proxy *proxy);

pid_t proxy_pid(const struct proxy *proxy);
void proxy_signal(struct proxy *proxy, int signal);

/* Hangs up all that the test holds, so that nothing is left to drain; SIGTERM,
 * and exit status 0 without a complaint of a sanitizer. */
void proxy_stop(struct proxy *proxy);
/* The exit status of one that was told to end, in either way. */
int proxy_wait(struct proxy *proxy);

/* Lines of the log. A wait begins at the mark, which stands behind the last
 * line at the time of proxy_mark. The answer lives until the proxy is gone. */
void proxy_mark(struct proxy *proxy);
const char *proxy_line(struct proxy *proxy, const char *regex);
unsigned proxy_count(struct proxy *proxy, const char *regex);

/* The number behind key= in a line. */
uint64_t line_number(const char *line, const char *key);

/*
 * Asks for the stats lines (SIGUSR1) and reads one: the process's (service
 * NULL), a service's (upstream NULL) or an upstream's. stat_await waits until
 * it is that value.
 */
const char *stat_line(struct proxy *proxy, const char *service,
                      const char *upstream);
uint64_t stat_get(struct proxy *proxy, const char *service,
                  const char *upstream, const char *key);
bool stat_listed(struct proxy *proxy, const char *service,
                 const char *upstream);
void stat_await(struct proxy *proxy, const char *service, const char *upstream,
                const char *key, uint64_t value);
/* Of the service "web": so many have ended by that cause. */
void await_cause(struct proxy *proxy, const char *cause, uint64_t count);

/* From /proc. */
uint64_t proxy_resident(const struct proxy *proxy); /* bytes */
uint64_t proxy_cpu_ms(const struct proxy *proxy);
unsigned proxy_entries(const struct proxy *proxy, const char *directory);
uint64_t proxy_status(const struct proxy *proxy, const char *key);

/* A socket of the proxy by its local (or, if peer, remote) address, duplicated
 * into this process; -1 if there is none, or that is not allowed here. */
int proxy_socket(const struct proxy *proxy, const struct place *place,
                 bool peer);

/* One run to its end. */
struct outcome {
    int status; /* exit status, -1 if by a signal */
    char out[8192];
    char err[8192];
};
void run_once(struct outcome *outcome, const char *const *arguments);

/* ---- one service "web", its upstream in our hand ---- */

struct scene {
    struct place front;
    struct place back;
    int listener; /* at back */
    struct proxy *proxy;
};
struct pair {
    int client;
    int upstream;
};

void scene_open(struct scene *scene, const char *global, const char *service);
void scene_close(struct scene *scene);
/* A connection through the proxy, and its other end; scene_pair_open has also
 * moved a byte each way, so that both are connected in the proxy's eyes. */
struct pair scene_pair(const struct scene *scene);
struct pair scene_pair_open(const struct scene *scene);
void pair_hang_up(const struct pair *pair);

/* n bytes and the FIN one way, in one segment if they fit; the other end sees
 * just that. */
void carry(int from, int to, size_t n, uint64_t seed);
/* Both directions at once, each with its own bytes, then both FINs. */
void pair_exchange(const struct pair *pair, const struct flow *way);
/* A byte each way; 99 of 100 times within 20 ms. */
void pair_ping(const struct pair *pair);
void pair_expect_prompt(const struct pair *pair);

#endif
