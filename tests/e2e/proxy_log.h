/*
 * proxy_log: the lines that a proxy has written to its standard error, read by
 * a thread as they come. Tests look at them by the functions of proxy.h.
 */
#ifndef EVPROXY_TESTS_E2E_PROXY_LOG_H
#define EVPROXY_TESTS_E2E_PROXY_LOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy_log {
    int fd; /* the reader's */
    pthread_t reader;
    pthread_mutex_t lock; /* guards what the reader writes: the four below */
    char **lines;
    size_t count;
    size_t size;
    bool complete; /* the writer has gone */
    size_t mark;   /* main thread: where a wait for a line begins */
};

/* Reads fd from now on, and takes it. */
void proxy_log_open(struct proxy_log *log, int fd);
/* Waits until all is read; the writer must have gone. The lines stay. */
void proxy_log_join(struct proxy_log *log);
void proxy_log_fini(struct proxy_log *log);

/* How many lines there are. */
size_t proxy_log_count(struct proxy_log *log);

/* Line n, from 0; NULL: not there yet. Valid until proxy_log_fini. */
const char *proxy_log_get(struct proxy_log *log, size_t n);

/*
 * The first line from *n on that fits, waiting for it until the limit; *n
 * becomes its number. NULL: there is none, and *n is where to go on looking.
 */
typedef bool (*proxy_log_fn)(const char *line, const void *arg);
const char *proxy_log_find(struct proxy_log *log, size_t *n, proxy_log_fn fits,
                           const void *arg, int64_t limit_ms);

#endif
