#include "proxy_log.h"

#include "test.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct proxy_log *log, const char *text, size_t count)
{
    char *line = strndup(text, count);

    pthread_mutex_lock(&log->lock);
    if (log->count == log->size) {
        log->size = log->size > 0 ? log->size * 2 : 64;
        log->lines = realloc(log->lines, log->size * sizeof(*log->lines));
    }
    log->lines[log->count++] = line;
    pthread_mutex_unlock(&log->lock);
}

static void *read_lines(void *arg)
{
    struct proxy_log *log = arg;
    FILE *file = fdopen(log->fd, "re");
    char *line = NULL;
    size_t size = 0;
    ssize_t count;

    while ((count = getline(&line, &size, file)) > 0) {
        add(log, line, (size_t)count - (line[count - 1] == '\n'));
    }
    free(line);
    fclose(file);
    pthread_mutex_lock(&log->lock);
    log->complete = true;
    pthread_mutex_unlock(&log->lock);
    return NULL;
}

void proxy_log_open(struct proxy_log *log, int fd)
{
    int error;

    *log = (struct proxy_log){.fd = fd};
    pthread_mutex_init(&log->lock, NULL);
    error = pthread_create(&log->reader, NULL, read_lines, log);
    assert_int_equal(error, 0);
}

void proxy_log_join(struct proxy_log *log)
{
    pthread_join(log->reader, NULL);
}

void proxy_log_fini(struct proxy_log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        free(log->lines[i]);
    }
    free(log->lines);
    pthread_mutex_destroy(&log->lock);
}

size_t proxy_log_count(struct proxy_log *log)
{
    size_t count;

    pthread_mutex_lock(&log->lock);
    count = log->count;
    pthread_mutex_unlock(&log->lock);
    return count;
}

static const char *look(struct proxy_log *log, size_t n, bool *complete)
{
    const char *line = NULL;

    pthread_mutex_lock(&log->lock);
    if (n < log->count) {
        line = log->lines[n];
    }
    *complete = log->complete;
    pthread_mutex_unlock(&log->lock);
    return line;
}

const char *proxy_log_get(struct proxy_log *log, size_t n)
{
    bool complete;

    return look(log, n, &complete);
}

const char *proxy_log_find(struct proxy_log *log, size_t *n, proxy_log_fn fits,
                           const void *arg, int64_t limit_ms)
{
    for (;;) {
        bool complete;
        const char *line = look(log, *n, &complete);

        if (line == NULL && (complete || wait_now_ms() > limit_ms)) {
            return NULL;
        }
        if (line == NULL) {
            wait_tick();
        } else if (fits(line, arg)) {
            return line;
        } else {
            ++*n;
        }
    }
}
