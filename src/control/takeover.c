#include "control/takeover.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/name_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS (int)(UPGRADE_SILENCE_NS / NS_PER_MS)

static const char out_of_memory[] = "out of memory";
static const char protocol_error[] = "the old process does not keep to the "
                                     "protocol";

/* ---- the beginning ---- */

static bool is_open(int fd)
{
    return fd > STDERR_FILENO && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

/* Up to here standard error is a pipe that only the old process reads. */
void takeover_open(struct takeover *takeover)
{
    const char *variable = getenv(UPGRADE_VARIABLE);
    int channel, log_fd;
    char rest;

    takeover->channel = -1;
    if (variable != NULL &&
        sscanf(variable, "%d,%d%c", &channel, &log_fd, &rest) == 2 &&
        is_open(channel) && is_open(log_fd)) {
        takeover->channel = channel;
        (void)dup2(log_fd, STDERR_FILENO);
        close(log_fd);
    }
    unsetenv(UPGRADE_VARIABLE);
}

static const char *failed(const char *what, int error)
{
    static char sentence[160];

    snprintf(sentence, sizeof(sentence), "%s: %s", what, strerror(error));
    return sentence;
}

/* ---- messages ---- */

static const char *say(struct takeover *takeover, struct record_writer *writer)
{
    struct pollfd out = {.fd = takeover->channel, .events = POLLOUT};

    takeover->out.count = writer->used;
    if (writer->failed || poll(&out, 1, SILENCE_MS) < 0 ||
        channel_send(takeover->channel, &takeover->out) < 0) {
        return failed("cannot answer the old process", errno);
    }
    return NULL;
}

static const char *say_word(struct takeover *takeover, unsigned tag)
{
    struct record_writer writer = upgrade_message_writer(&takeover->out);

    record_put(&writer, tag, NULL, 0);
    return say(takeover, &writer);
}

static const char *say_hello(struct takeover *takeover)
{
    struct record_writer writer = upgrade_message_writer(&takeover->out);
    const struct hello hello = {
        EVPROXY_VERSION,
        .least = UPGRADE_FORMAT_LEAST,
        .announces = 1,
    };

    hello_write(&writer, &hello);
    return say(takeover, &writer);
}

/* Waits for the next message. */
static const char *hear(struct takeover *takeover)
{
    int result = channel_receive(takeover->channel, &takeover->in, SILENCE_MS);

    if (result == 0) {
        return "the old process has ended";
    }
    return result < 0 ? failed("cannot hear the old process", errno) : NULL;
}

/* A record that this version does not know. */
static const char *skip(const struct record *record)
{
    return record_may_be_skipped(record) ? NULL : protocol_error;
}

typedef const char *(*read_fn)(struct takeover *takeover,
                               const struct record *record);

struct reading {
    struct takeover *takeover;
    read_fn read;
    const char *error;
};

static bool read_one(const struct record *record, void *arg)
{
    struct reading *reading = arg;

    reading->error = reading->read(reading->takeover, record);
    return reading->error == NULL;
}

/* Reads each record of the message that has come. */
static const char *read_message(struct takeover *takeover, read_fn read)
{
    struct reading reading = {takeover, read, NULL};

    return record_each(upgrade_message_reader(&takeover->in), read_one,
                       &reading) ||
                   reading.error != NULL
               ? reading.error
               : protocol_error;
}

/* At the end of a message: its sessions go to the workers. */
static const char *flush(struct takeover *takeover)
{
    return takeover->taker.batches == NULL
               ? NULL
               : session_taker_flush(&takeover->taker);
}

/* 1: the message ends what is read; 0: it does not; -1: it is malformed. All
 * sessions end twice if they are announced. */
static int is_last(const struct takeover *takeover, unsigned last)
{
    struct record_reader reader = upgrade_message_reader(&takeover->in);
    int result = record_find(reader, last);

    return result == 0 && last == UPGRADE_SESSIONS_END
               ? record_find(reader, UPGRADE_ANNOUNCED_END)
               : result;
}

/* Reads messages until a record with that tag has come, and answers each with
 * NEXT but the last: at once, so that the old process writes the next one
 * meanwhile. */
static const char *read_until(struct takeover *takeover, unsigned last,
                              read_fn read)
{
    const char *error;
    int done = 0;

    do {
        error = hear(takeover);
        if (error == NULL) {
            done = is_last(takeover, last);
            error = done < 0   ? protocol_error
                    : done > 0 ? NULL
                               : say_word(takeover, UPGRADE_NEXT);
        }
        if (error == NULL) {
            error = read_message(takeover, read);
        }
        if (error == NULL) {
            error = flush(takeover);
        }
        channel_close_fds(&takeover->in); /* that nobody took */
    } while (error == NULL && done == 0);
    return error;
}

/* ---- the greeting ---- */

static const char *read_hello(struct takeover *takeover,
                              const struct record *hello)
{
    if (hello->tag != UPGRADE_HELLO) {
        return skip(hello);
    }
    if (!hello_read(hello, &takeover->old)) {
        return "the old process has a state that this version does not know";
    }
    return takeover->old.least > UPGRADE_FORMAT || takeover->old.least == 0 ||
                   takeover->old.workers == 0
               ? "the old process has a newer format"
               : NULL;
}

static const char *read_estate(struct takeover *takeover,
                               const struct record *record)
{
    struct channel_message *in = &takeover->in;
    int fd;

    switch (record->tag) {
    case UPGRADE_NAME:
        return name_record_read(record, takeover->names) ? NULL
                                                         : protocol_error;
    case UPGRADE_SOCKET:
        if (in->fd_count == 0) {
            return protocol_error;
        }
        fd = in->fds[0];
        memmove(in->fds, in->fds + 1, --in->fd_count * sizeof(fd));
        return handed_read(&takeover->handed, record, fd) ? NULL
                                                          : protocol_error;
    case UPGRADE_ESTATE_END:
        return NULL;
    default:
        return skip(record);
    }
}

const char *takeover_begin(struct takeover *takeover, struct names *names,
                           struct inherited *inherited)
{
    const char *error = read_until(takeover, UPGRADE_HELLO, read_hello);

    takeover->names = names;
    if (error == NULL) {
        error = say_hello(takeover);
    }
    if (error == NULL) {
        error = read_until(takeover, UPGRADE_ESTATE_END, read_estate);
    }
    if (error == NULL && !handed_move_inherited(&takeover->handed, inherited)) {
        error = out_of_memory;
    }
    return error;
}

void takeover_configure(const struct takeover *takeover, struct config *config)
{
    const char *key = NULL;

    if (workers_wanted(config) != takeover->old.workers) {
        key = "workers";
        config->workers = (uint32_t)takeover->old.workers;
    }
    if (config->buffer_size != takeover->old.buffer_size &&
        takeover->old.buffer_size != 0) {
        key = "buffer_size";
        config->buffer_size = (uint32_t)takeover->old.buffer_size;
    }
    if (key != NULL) {
        log_write(LOG_WARN,
                  "upgrade key=%s warning=\"a change needs a restart\"", key);
    }
}

/* ---- states and counters ---- */

static const char *read_ledger(struct takeover *takeover,
                               const struct record *record)
{
    if (record->tag == UPGRADE_LEDGER_END) {
        return NULL;
    }
    return ledger_read(&takeover->ledger, record) ? NULL : protocol_error;
}

const char *takeover_read(struct takeover *takeover,
                          struct generations *generations)
{
    const char *error;

    takeover->ledger = (struct ledger_reader){
        .generation = generations->prepared,
        .removed = &generations->removed,
    };
    error = say_word(takeover, UPGRADE_NEXT);
    return error != NULL
               ? error
               : read_until(takeover, UPGRADE_LEDGER_END, read_ledger);
}

/* ---- connections ---- */

const char *takeover_freeze(struct takeover *takeover)
{
    takeover->taker = (struct session_taker){
        .loop = takeover->loop,
        .workers = takeover->workers,
        .ledger = &takeover->ledger,
    };
    return session_taker_freeze(&takeover->taker);
}

static const char *read_session(struct takeover *takeover,
                                const struct record *record)
{
    struct session_taker *taker = &takeover->taker;

    switch (record->tag) {
    case UPGRADE_SESSIONS:
        return session_taker_check(record);
    case UPGRADE_BYTES_UP:
        return session_taker_add_bytes(&taker->bytes[UP], record);
    case UPGRADE_BYTES_DOWN:
        return session_taker_add_bytes(&taker->bytes[DOWN], record);
    case UPGRADE_SESSION:
        return session_taker_take(taker, record, &takeover->in);
    case UPGRADE_ANNOUNCED:
        return session_taker_announced(taker, record, &takeover->in);
    case UPGRADE_ANNOUNCED_END:
        if (takeover->announced) {
            return protocol_error;
        }
        takeover->announced = true;
        return NULL;
    case UPGRADE_SESSIONS_END:
        return NULL;
    default:
        return read_ledger(takeover, record);
    }
}

/* Tells which sessions stay in the old process. */
static const char *say_stays(struct takeover *takeover)
{
    const struct session_taker *taker = &takeover->taker;
    const char *error = NULL;
    size_t at = 0;

    while (error == NULL && at < taker->stay_count) {
        struct record_writer writer = upgrade_message_writer(&takeover->out);
        size_t begun = record_begin(&writer, UPGRADE_STAYS);

        for (; at < taker->stay_count &&
               writer.size - writer.used > 2 * RECORD_HEADER_BYTES;
             at++) {
            record_put_number(&writer, UPGRADE_STAYS_NUMBER, taker->stays[at]);
        }
        record_end(&writer, begun);
        error = say(takeover, &writer);
    }
    return error;
}

static bool read_commit_part(const struct record *part, void *arg)
{
    struct takeover *takeover = arg;

    return part->tag == UPGRADE_COMMIT_FROZEN_NS
               ? record_number(part, UINT64_MAX, &takeover->frozen_ns)
               : record_may_be_skipped(part);
}

static const char *read_commit(struct takeover *takeover,
                               const struct record *commit)
{
    if (commit->tag != UPGRADE_COMMIT) {
        return skip(commit);
    }
    return record_each(record_enter(commit), read_commit_part, takeover)
               ? NULL
               : protocol_error;
}

/* This process holds everything. If the old one is gone, no other process has
 * it. */
static const char *await_commit(struct takeover *takeover)
{
    const char *error = say_word(takeover, UPGRADE_READY);
    int result;

    if (error != NULL) {
        return errno == EPIPE ? NULL : error;
    }
    result = channel_receive(takeover->channel, &takeover->in, SILENCE_MS);
    if (result > 0) {
        channel_close_fds(&takeover->in);
        error = record_find(upgrade_message_reader(&takeover->in),
                            UPGRADE_COMMIT) > 0
                    ? read_message(takeover, read_commit)
                    : protocol_error;
        return error != NULL || say_word(takeover, UPGRADE_STARTED) == NULL ||
                       errno == EPIPE
                   ? error
                   : failed("cannot answer the old process", errno);
    }
    return result == 0 ? NULL : failed("no COMMIT has come", errno);
}

static const char *read_sessions(struct takeover *takeover)
{
    const char *error = say_word(takeover, UPGRADE_PREPARED);

    if (error == NULL) {
        error = read_until(takeover, UPGRADE_SESSIONS_END, read_session);
    }
    return error == NULL ? session_taker_await(&takeover->taker) : error;
}

const char *takeover_move(struct takeover *takeover, struct health *health)
{
    const char *error = read_sessions(takeover);

    if (error == NULL && takeover->announced) { /* they have their places */
        error = read_sessions(takeover);
    }
    if (error == NULL) {
        error = say_stays(takeover);
    }
    if (error == NULL) {
        ledger_restore_streaks(&takeover->ledger, health);
        error = await_commit(takeover);
    }
    return error;
}

void takeover_start(struct takeover *takeover)
{
    const struct session_taker *taker = &takeover->taker;
    uint64_t pause_ns;

    session_taker_start(&takeover->taker);
    pause_ns =
        takeover->frozen_ns == 0 ? 0 : clock_now_ns() - takeover->frozen_ns;
    log_write(LOG_INFO,
              "upgraded version=%s from=%s connections=%" PRIu32
              " pause_ms=%" PRIu64,
              EVPROXY_VERSION,
              takeover->old.version[0] == '\0' ? "-" : takeover->old.version,
              taker->count - (uint32_t)taker->stay_count, pause_ns / NS_PER_MS);
    handed_close(&takeover->handed);
}

void takeover_fail(struct takeover *takeover, const char *reason)
{
    struct record_writer writer = upgrade_message_writer(&takeover->out);

    record_put_text(&writer, UPGRADE_FAILED, reason);
    (void)!say(takeover, &writer);
}

/* ---- afterwards ---- */

/* The old process is gone. What it did not tell has ended with it. */
static void close_channel(struct takeover *takeover)
{
    uint64_t lost =
        takeover->goodbye ? 0 : ledger_reader_balance(&takeover->ledger);

    if (lost > 0) {
        log_write(LOG_WARN, "the old process is lost connections=%" PRIu64,
                  lost);
    }
    poller_remove(&takeover->loop->poller, takeover->channel);
    close(takeover->channel);
    takeover->channel = -1;
    ledger_reader_fini(&takeover->ledger);
}

static const char *read_told(struct takeover *takeover,
                             const struct record *record)
{
    takeover->goodbye |= record->tag == UPGRADE_GOODBYE;
    return ledger_read(&takeover->ledger, record) ? NULL : protocol_error;
}

void takeover_event(struct takeover *takeover)
{
    int result;

    while (takeover->channel >= 0 &&
           (result = channel_receive(takeover->channel, &takeover->in, 0)) !=
               -1) {
        channel_close_fds(&takeover->in);
        if (result == 0) {
            close_channel(takeover);
        } else if (read_message(takeover, read_told) != NULL) {
            log_write(LOG_WARN, "%s", protocol_error);
            close_channel(takeover);
        }
    }
}

void takeover_fini(struct takeover *takeover)
{
    if (takeover->channel >= 0) {
        close(takeover->channel);
        takeover->channel = -1;
    }
    handed_close(&takeover->handed);
    ledger_reader_fini(&takeover->ledger);
}
