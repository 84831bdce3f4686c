/*
 * proxy: the evproxy under test, as a process: its configuration, its signals,
 * its log and its end.
 *
 * The binary is what EVPROXY names, or build/evproxy. Nothing here knows how it
 * works inside. Main thread only; whatever a test leaves running is killed
 * after it.
 */
#ifndef EVPROXY_TESTS_E2E_PROXY_H
#define EVPROXY_TESTS_E2E_PROXY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#define PRINTF(text, first) __attribute__((format(printf, text, first)))

struct proxy;
struct proxy_log;

/* All zero: -c with the configuration, our environment and limits. */
struct proxy_options {
    const char *const *arguments;   /* NULL-ended, from argv[0] on */
    const char *const *environment; /* NULL-ended "K=V", before ours */
    rlim_t descriptors;             /* RLIMIT_NOFILE, soft and hard; 0: ours */
    bool journal;                   /* JOURNAL_STREAM names its stderr */
    bool log_unread;    /* nobody reads its log, so no line can be waited for */
    bool no_ready;      /* do not wait for the line that tells it is ready */
    const char *binary; /* NULL: proxy_binary() */
    void (*prepare)(void); /* called in the process before it is evproxy */
};

/* Runs it with that configuration, and waits until it is ready. */
struct proxy *proxy_start(const char *config, ...) PRINTF(1, 2);
struct proxy *proxy_launch(const struct proxy_options *options,
                           const char *config, ...) PRINTF(2, 3);

/* Writes its configuration anew. proxy_reload sends SIGHUP and waits until that
 * is done; a refusal fails the test. */
void proxy_configure(struct proxy *proxy, const char *config, ...) PRINTF(2, 3);
void proxy_reload(struct proxy *proxy);

/* ---- an upgrade ---- */

/* Sends SIGUSR2, and waits until the new process has started. It is the one
 * that all functions mean from then on; answers the pid of the old one, which
 * may be left for a while. */
pid_t proxy_upgrade(struct proxy *proxy);

/* The same without the signal, which was sent after the mark. */
void proxy_follow(struct proxy *proxy);

/* Waits until the old process has ended, with exit status 0. */
void proxy_await_old(pid_t old);

/* Its process has ended, and was waited for: another one has its log. */
void proxy_lose(struct proxy *proxy);

/* Kills the processes of proxies that are children of this one. */
void proxy_kill_children(void);

pid_t proxy_pid(const struct proxy *proxy);
void proxy_signal(struct proxy *proxy, int signal);

/* Stops all its threads, until SIGCONT. */
void proxy_pause(struct proxy *proxy);

/* Waits until it has ended, and fails if a sanitizer reported anything. Answers
 * the exit status, -1 if a signal ended it. */
int proxy_wait(struct proxy *proxy);

/* After that: whether the kernel has made a core dump of it. */
bool proxy_dumped_core(const struct proxy *proxy);

/* Closes all sockets of the test, so that no connection is left to drain. Sends
 * SIGTERM, and expects exit status 0. */
void proxy_stop(struct proxy *proxy);

/* After a failed test: kills what still runs and prints the end of its log.
 * Frees all of them. */
void proxy_discard_all(void);

/* ---- its log ---- */

/*
 * Lines by an extended regular expression, from the mark on. proxy_mark sets
 * the mark behind the last line that has come. proxy_line waits for a line;
 * proxy_count counts those that have come. Lines live as long as the proxy.
 */
void proxy_mark(struct proxy *proxy);
const char *proxy_line(struct proxy *proxy, const char *regex);
unsigned proxy_count(struct proxy *proxy, const char *regex);

/* The number in " key=number" of a line. */
uint64_t proxy_line_value(const char *line, const char *key);

/* For stats.h. */
struct proxy_log *proxy_log(struct proxy *proxy);

/* ---- for command.h ---- */

const char *proxy_binary(void);

#endif
