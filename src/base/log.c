#include "base/log.h"

#include "base/log_sink.h"
#include "base/record_queue.h"
#include "base/utf8.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* How long the writer lets lines gather: it is woken, and makes system calls,
 * at most so often. A line that comes after a quiet time is written at once. */
#define GATHER_NS NS_PER_MS

#define FLUSH_TURNS 500 /* of GATHER_NS: how long log_stop waits */

#define BURST_FIRST_BYTES 65536u
#define BURST_MAX_BYTES   (UINT64_C(32) << 20)

_Static_assert(LOG_LINE_MAX <= PIPE_BUF, "what log_sink takes");

/* Kinds of records in the queue. */
enum { QUEUED_LINE, QUEUED_BURST };

/* Written by log_open and log_start before there are threads, read by all. */
static bool priorities;
static bool queued; /* log_start has been called */

/* The thread that writes. */
static struct {
    pthread_t thread;
    bool running; /* control thread only */
    sem_t wake;
    /* Set by the writer, cleared by the thread that wakes it. Seq_cst, as is
     * the push to the queue: a line that the writer has not seen finds this
     * set. */
    _Atomic bool asleep;
    _Atomic bool stopping; /* set by log_stop, read by the writer */
    _Atomic bool ended;    /* the other way round */
    uint64_t told;         /* lost lines that the log tells of; the writer */
} writer;

static struct record_queue queue;

/* Of bursts that are not written yet. Added to by those who end one, taken from
 * by the writer; relaxed: a count. */
static _Atomic uint64_t burst_bytes;

/* Written by the control thread, read by all; relaxed: the moment at which a
 * level changes does not matter. */
static _Atomic int log_level = LOG_INFO;

/* Added to by all threads, read by the stats; relaxed: a count. */
static _Atomic uint64_t lost;

static const char *const priority_prefix[] = {
    [LOG_RECORD] = "<6>", [LOG_ERROR] = "<3>", [LOG_WARN] = "<4>",
    [LOG_INFO] = "<6>",   [LOG_DEBUG] = "<7>",
};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

static bool is_wanted(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}

static void lose(uint64_t lines)
{
    atomic_fetch_add_explicit(&lost, lines, memory_order_relaxed);
}

void log_go_on(uint64_t lost_before)
{
    lose(lost_before);
    writer.told += lost_before;
}

/* ---- a line as text ---- */

/* Answers its bytes, with prefix and newline, and without a final zero. */
static size_t format_line(char line[LOG_LINE_MAX], enum log_level level,
                          const char *format, va_list args)
{
    size_t at = priorities ? strlen(priority_prefix[level]) : 0;
    size_t room = LOG_LINE_MAX - at;
    int wanted;
    size_t length;

    memcpy(line, priority_prefix[level], at);
    wanted = vsnprintf(line + at, room, format, args);
    length = wanted < 0 ? 0 : (size_t)wanted;
    if (length >= room) {
        length = room - 1;
    }
    utf8_clean(line + at, length);
    line[at + length] = '\n';
    return at + length + 1;
}

/* ---- the writer ---- */

static void gather(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = GATHER_NS}, NULL);
}

static void wake_writer(void)
{
    if (atomic_load(&writer.asleep) && atomic_exchange(&writer.asleep, false)) {
        sem_post(&writer.wake);
    }
}

/* May return early: the loop looks again. */
static void await_lines(void)
{
    uint32_t kind, count;

    atomic_store(&writer.asleep, true);
    if (!record_queue_first(&queue, &kind, &count) &&
        !atomic_load(&writer.stopping)) {
        (void)sem_wait(&writer.wake);
    }
    atomic_store(&writer.asleep, false);
}

/* Takes as many queued lines as one write has room for; answers their bytes. */
static size_t take_lines(char text[LOG_LINE_MAX])
{
    size_t at = 0;
    uint32_t kind, count;

    while (record_queue_first(&queue, &kind, &count) && kind == QUEUED_LINE &&
           at + count <= LOG_LINE_MAX) {
        record_queue_take(&queue, text + at);
        at += count;
    }
    return at;
}

static void burst_free(const struct log_burst *burst)
{
    munmap(burst->bytes, burst->size);
    atomic_fetch_sub_explicit(&burst_bytes, burst->size, memory_order_relaxed);
}

static void write_burst(void)
{
    struct log_burst burst;

    record_queue_take(&queue, &burst);
    lose(log_sink_write(burst.bytes, burst.count));
    burst_free(&burst);
}

/* Tells of lost lines. If this line is lost, it is not counted, but told
 * again. */
static void tell_lost(void)
{
    uint64_t now = log_lost();
    char line[64];
    int count;

    if (now == writer.told || !is_wanted(LOG_WARN)) {
        return;
    }
    count = snprintf(line, sizeof(line), "%s",
                     priorities ? priority_prefix[LOG_WARN] : "");
    count += snprintf(line + count, sizeof(line) - (size_t)count,
                      "log lost=%" PRIu64 "\n", now - writer.told);
    if (log_sink_write(line, (size_t)count) == 0) {
        writer.told = now;
    }
}

/* Writes until the queue is empty; false if it was. */
static bool write_queued(void)
{
    char text[LOG_LINE_MAX];
    uint32_t kind, size;
    bool any = false;

    while (record_queue_first(&queue, &kind, &size)) {
        if (kind == QUEUED_BURST) {
            write_burst();
        } else {
            size_t count = take_lines(text);

            lose(log_sink_write(text, count));
        }
        any = true;
    }
    if (any) {
        tell_lost();
    }
    return any;
}

static void *run_writer(void *arg)
{
    (void)arg;
    while (!atomic_load(&writer.stopping)) {
        if (write_queued()) {
            gather();
        } else {
            await_lines();
        }
    }
    (void)write_queued(); /* what came before log_stop */
    atomic_store(&writer.ended, true);
    return NULL;
}

void log_open(int fd, bool with_priorities)
{
    assert(!writer.running);
    log_sink_open(fd);
    priorities = with_priorities;
    queued = false;
}

int log_start(void)
{
    sigset_t all, before;

    atomic_store(&writer.stopping, false);
    atomic_store(&writer.ended, false);
    sem_init(&writer.wake, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    errno = pthread_create(&writer.thread, NULL, run_writer, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errno != 0) {
        return -1;
    }
    writer.running = queued = true;
    return 0;
}

bool log_stop(void)
{
    if (!writer.running) {
        return true;
    }
    atomic_store(&writer.stopping, true);
    wake_writer();
    for (int i = 0; !atomic_load(&writer.ended); i++) {
        if (i == FLUSH_TURNS) {
            return false;
        }
        gather();
    }
    pthread_join(writer.thread, NULL);
    writer.running = false;
    return true;
}

/* ---- what all threads call ---- */

/* Only this much of the queue stays free after the lines of that level. Those
 * of connections, which may be any number, leave room to all others, and these
 * to bursts. */
static uint64_t spare_of(enum log_level level)
{
    return level == LOG_RECORD ? RECORD_QUEUE_BYTES / 4 : LOG_LINE_MAX;
}

void log_write(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_MAX];
    int saved = errno;
    size_t count;
    va_list args;

    if (!is_wanted(level)) {
        return;
    }
    va_start(args, format);
    count = format_line(line, level, format, args);
    va_end(args);
    if (!queued) {
        lose(log_sink_write(line, count));
    } else if (record_queue_push(&queue, QUEUED_LINE, line, (uint32_t)count,
                                 spare_of(level))) {
        wake_writer();
    } else {
        lose(1);
    }
    errno = saved;
}

/* Makes room for another line. The memory comes from the kernel and goes back
 * to it, so that the writer needs no heap of its own. */
static bool burst_reserve(struct log_burst *burst)
{
    size_t size = burst->size == 0 ? BURST_FIRST_BYTES : 2 * burst->size;
    void *bytes;

    if (burst->size - burst->count >= LOG_LINE_MAX) {
        return true;
    }
    if (size + atomic_load_explicit(&burst_bytes, memory_order_relaxed) >
        BURST_MAX_BYTES) {
        return false;
    }
    bytes = burst->size == 0
                ? mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                : mremap(burst->bytes, burst->size, size, MREMAP_MAYMOVE);
    if (bytes == MAP_FAILED) {
        return false;
    }
    burst->bytes = bytes;
    burst->size = size;
    return true;
}

void log_burst_add(struct log_burst *burst, const char *format, ...)
{
    va_list args;

    if (!burst_reserve(burst)) {
        lose(1);
        return;
    }
    va_start(args, format);
    burst->count +=
        format_line(burst->bytes + burst->count, LOG_RECORD, format, args);
    va_end(args);
}

void log_burst_end(struct log_burst *burst)
{
    struct log_burst ended = *burst;

    *burst = (struct log_burst){0};
    if (ended.size == 0) {
        return;
    }
    atomic_fetch_add_explicit(&burst_bytes, ended.size, memory_order_relaxed);
    if (queued &&
        record_queue_push(&queue, QUEUED_BURST, &ended, sizeof(ended), 0)) {
        wake_writer();
        return;
    }
    lose(queued ? log_sink_count(ended.bytes, ended.count)
                : log_sink_write(ended.bytes, ended.count));
    burst_free(&ended);
}

/* ---- values ---- */

/* A reader that splits a line at white space and '=' takes the others as they
 * are, and a backslash as the start of an escape if it knows no better. */
static bool is_plain(uint32_t character)
{
    return character != '"' && character != '=' && character != '\\' &&
           !utf8_is_space(character) && !utf8_is_control(character);
}

static bool needs_quotes(const char *value)
{
    const char *at = value;
    uint32_t character;
    size_t length, left;

    /* Nearly always all of it: each connection's line has such values. */
    while (*at > ' ' && *at < 0x7f && *at != '"' && *at != '=' && *at != '\\') {
        at++;
    }
    for (left = strlen(at); left > 0; at += length, left -= length) {
        length = utf8_read(at, left, &character);
        if (length == 0 || !is_plain(character)) {
            return true;
        }
    }
    return value[0] == '\0';
}

/* How the character stands in quotes. length 0: bytes that are none. Returns
 * the bytes of the text, which has no final zero. */
static size_t escape(const char *at, size_t length, uint32_t character,
                     char text[8])
{
    if (length == 0) {
        character = 0xfffd; /* the replacement character */
    } else if (character == '"' || character == '\\') {
        text[0] = '\\';
        text[1] = *at;
        return 2;
    } else if (character == '\n' || character == '\r' || character == '\t') {
        text[0] = '\\';
        text[1] = character == '\n' ? 'n' : character == '\r' ? 'r' : 't';
        return 2;
    } else if (!utf8_is_control(character)) {
        memcpy(text, at, length);
        return length;
    }
    return (size_t)snprintf(text, 8, "\\u%04x", (unsigned)character);
}

const char *log_escape(const char *value, char *buffer, size_t size)
{
    size_t left = strlen(value);
    size_t used = 0;
    size_t length, count;
    uint32_t character = 0;
    char text[8];

    for (const char *at = value; left > 0; at += length, left -= length) {
        length = utf8_read(at, left, &character);
        count = escape(at, length, character, text);
        if (used + count >= size) {
            break;
        }
        memcpy(buffer + used, text, count);
        used += count;
        length = length == 0 ? 1 : length;
    }
    buffer[used] = '\0';
    return buffer;
}

const char *log_quote(const char *value, char *buffer, size_t size)
{
    assert(size >= 3);
    if (!needs_quotes(value)) {
        return value;
    }
    buffer[0] = '"';
    log_escape(value, buffer + 1, size - 2);
    return strcat(buffer, "\"");
}
