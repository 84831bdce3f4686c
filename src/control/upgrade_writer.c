#include "control/upgrade_writer.h"

#include "control/name_record.h"
#include "proxy/handover.h"
#include "proxy/session_record.h"

#include <string.h>
#include <sys/param.h>

/* Fewer bytes are not worth a record of their own. */
#define CHUNK_MIN 512

void upgrade_write_commit(struct record_writer *writer, uint64_t frozen_ns)
{
    size_t begun = record_begin(writer, UPGRADE_COMMIT);

    record_put_number(writer, UPGRADE_COMMIT_FROZEN_NS, frozen_ns);
    record_end(writer, begun);
}

/* ---- names and sockets ---- */

int upgrade_collect_sockets(struct handed *handed,
                            const struct generation *generation,
                            const struct http_listener *http,
                            const struct inherited *inherited)
{
    const struct handed_socket socket = {
        .fd = http->fd,
        .type = SOCK_STREAM,
        .owner = HANDED_HTTP,
        .endpoint = http->endpoint,
    };

    return handed_collect(handed, generation, &socket, inherited);
}

static void write_one(size_t at, const struct names *names,
                      const struct handed *handed, struct record_writer *writer,
                      struct channel_message *message)
{
    if (at < names->count) {
        name_record_write(names->list[at], UPGRADE_NAME, writer);
    } else {
        handed_write(&handed->list[at - names->count], UPGRADE_SOCKET, writer);
        message->fds[message->fd_count] = handed->list[at - names->count].fd;
        message->fd_count += !writer->failed;
    }
}

bool upgrade_write_estate(size_t *at, const struct names *names,
                          const struct handed *handed,
                          struct record_writer *writer,
                          struct channel_message *message)
{
    writer->size -= RECORD_HEADER_BYTES; /* for the record of the end */
    for (; *at < names->count + handed->count; ++*at) {
        size_t before = writer->used;

        if (message->fd_count == CHANNEL_FDS_MAX) {
            break;
        }
        write_one(*at, names, handed, writer, message);
        if (writer->failed) {
            writer->used = before;
            writer->failed = before == 0; /* it will never fit */
            break;
        }
    }
    writer->size += RECORD_HEADER_BYTES;
    return *at == names->count + handed->count;
}

/* ---- sessions ---- */

static unsigned count_fds(const struct handover_session *session)
{
    unsigned count = session->place == HANDOVER_NO_PLACE ? DIRECTIONS : 0;

    for (enum direction i = UP; i < DIRECTIONS; i++) {
        count += session->image.relay[i].pipe.read_fd >= 0 ? 2 : 0;
    }
    return count;
}

uint32_t upgrade_write_summary(struct workers *workers,
                               struct record_writer *writer)
{
    size_t begun = record_begin(writer, UPGRADE_SESSIONS);
    uint32_t sessions = 0;
    uint64_t fds = 0;

    for (unsigned i = 0; i < workers->count; i++) {
        const struct handover *handover = worker_handover(workers->list[i]);

        sessions += handover->count;
        for (uint32_t j = 0; j < handover->count; j++) {
            fds += count_fds(&handover->list[j]);
        }
    }
    record_put_number(writer, UPGRADE_SESSIONS_COUNT, sessions);
    record_put_number(writer, UPGRADE_SESSIONS_DESCRIPTORS, fds);
    record_end(writer, begun);
    return sessions;
}

static size_t room(const struct record_writer *writer)
{
    return writer->size - writer->used;
}

/* Writes the bytes that the relays hold. False: not all fit. */
static bool write_bytes(struct upgrade_cursor *cursor,
                        const struct session_image *image,
                        struct record_writer *writer)
{
    while (cursor->direction < DIRECTIONS) {
        const struct relay_image *relay = &image->relay[cursor->direction];
        uint32_t left = relay->held - cursor->bytes;

        if (left > 0) {
            size_t most = room(writer) > RECORD_HEADER_BYTES
                              ? room(writer) - RECORD_HEADER_BYTES
                              : 0;
            size_t count = MIN(left, most);

            if (count < left && count < CHUNK_MIN) {
                return false;
            }
            record_put(
                writer,
                cursor->direction == UP ? UPGRADE_BYTES_UP : UPGRADE_BYTES_DOWN,
                (const unsigned char *)relay->block + cursor->bytes, count);
            cursor->bytes += (uint32_t)count;
        }
        if (cursor->bytes == relay->held) {
            cursor->direction++;
            cursor->bytes = 0;
        }
    }
    return true;
}

/* False: it does not fit, or only a part of it. */
static bool write_session(struct upgrade_cursor *cursor,
                          const struct handover_session *session, unsigned tag,
                          struct record_writer *writer,
                          struct channel_message *message)
{
    const struct session_image *image = &session->image;
    const struct session_record record = {
        .image = *image,
        .service = image->service->state->number,
        .upstream = image->upstream->number,
        .place = session->place == HANDOVER_NO_PLACE
                     ? SESSION_RECORD_NO_PLACE
                     : (uint64_t)cursor->places + session->place,
    };

    if (!write_bytes(cursor, image, writer) ||
        room(writer) < SESSION_RECORD_BYTES_MAX ||
        message->fd_count + SESSION_RECORD_FDS_MAX > CHANNEL_FDS_MAX) {
        return false;
    }
    message->fd_count += session_record_write(writer, tag, &record,
                                              message->fds + message->fd_count);
    cursor->direction = 0;
    return true;
}

bool upgrade_write_sessions(struct upgrade_cursor *cursor,
                            struct workers *workers, unsigned tag,
                            struct record_writer *writer,
                            struct channel_message *message)
{
    bool fits = true;

    if (room(writer) < RECORD_HEADER_BYTES) {
        return false;
    }
    writer->size -= RECORD_HEADER_BYTES;
    while (fits && cursor->worker < workers->count) {
        const struct handover *handover =
            worker_handover(workers->list[cursor->worker]);

        if (cursor->session == handover->count) {
            cursor->places += handover->announced;
            cursor->worker++;
            cursor->session = 0;
            continue;
        }
        fits = write_session(cursor, &handover->list[cursor->session], tag,
                             writer, message);
        cursor->session += fits;
    }
    writer->size += RECORD_HEADER_BYTES;
    return fits;
}

/* In the order in which the sessions were written. */
static struct handover_session *find_session(struct workers *workers,
                                             uint64_t number)
{
    for (unsigned i = 0; i < workers->count; i++) {
        struct handover *handover = worker_handover(workers->list[i]);

        if (number < handover->count) {
            return &handover->list[number];
        }
        number -= handover->count;
    }
    return NULL;
}

struct staying {
    struct workers *workers;
    uint32_t *count;
};

static bool read_stay(const struct record *part, void *arg)
{
    struct staying *staying = arg;
    struct handover_session *session;
    uint64_t number;

    if (part->tag != UPGRADE_STAYS_NUMBER ||
        !record_number(part, UINT32_MAX, &number)) {
        return false;
    }
    session = find_session(staying->workers, number);
    if (session == NULL || session->stays) {
        return false;
    }
    session->stays = true;
    ++*staying->count;
    return true;
}

bool upgrade_let_stay(struct workers *workers, const struct record *stays,
                      uint32_t *count)
{
    struct staying staying = {workers, count};

    return record_each(record_enter(stays), read_stay, &staying);
}
