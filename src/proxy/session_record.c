#include "proxy/session_record.h"

/* A tag never changes its meaning. Those that a reader must know have
 * RECORD_CRITICAL when they are written. */
enum session_tag {
    TAG_SERVICE = 1 | RECORD_CRITICAL,
    TAG_UPSTREAM = 2 | RECORD_CRITICAL,
    TAG_CLIENT_FAMILY = 3,
    TAG_CLIENT_PORT = 4,
    TAG_CLIENT_IP = 5,
    TAG_FINISHED = 6,
    TAG_BORN_NS = 7,
    TAG_CONNECT_US = 8,
    TAG_SOCK = 9 | RECORD_CRITICAL,   /* twice: ready, options */
    TAG_RELAY = 10 | RECORD_CRITICAL, /* twice */
    TAG_PLACE = 11 | RECORD_CRITICAL,
};

enum sock_tag {
    TAG_READY = 1 | RECORD_CRITICAL,
    TAG_OPTIONS = 2,
};

enum relay_tag {
    TAG_BYTES = 1,
    TAG_MOVED_NS = 2,
    TAG_RATE_FULL_NS = 3,
    TAG_WAIT = 4 | RECORD_CRITICAL,
    TAG_BULK = 5,
    TAG_HELD = 6 | RECORD_CRITICAL,
    TAG_PIPED = 7 | RECORD_CRITICAL, /* bytes in a pipe that travels too */
    TAG_GROWTH = 8,
    TAG_SOURCE_FULL_NS = 9,
};

/* ---- writing ---- */

static void write_sock(struct record_writer *writer, const struct sock *sock)
{
    size_t begun = record_begin(writer, TAG_SOCK);

    record_put_number(writer, TAG_READY, sock->ready);
    record_put_number(writer, TAG_OPTIONS, sock->options);
    record_end(writer, begun);
}

static void write_relay(struct record_writer *writer,
                        const struct relay_image *relay)
{
    size_t begun = record_begin(writer, TAG_RELAY);

    record_put_number(writer, TAG_BYTES, relay->bytes);
    record_put_number(writer, TAG_MOVED_NS, relay->moved_ns);
    record_put_number(writer, TAG_RATE_FULL_NS, relay->rate_full_ns);
    if (relay->source_full_ns != 0) {
        record_put_number(writer, TAG_SOURCE_FULL_NS, relay->source_full_ns);
    }
    record_put_number(writer, TAG_WAIT, relay->wait);
    record_put_number(writer, TAG_BULK, relay->bulk);
    record_put_number(writer, TAG_GROWTH, receive_growth_save(&relay->growth));
    record_put_number(writer, TAG_HELD, relay->held);
    if (relay->pipe.read_fd >= 0) {
        record_put_number(writer, TAG_PIPED, relay->pipe.bytes);
    }
    record_end(writer, begun);
}

static unsigned list_fds(const struct session_record *session,
                         int fds[SESSION_RECORD_FDS_MAX])
{
    const struct session_image *image = &session->image;
    unsigned count = 0;

    for (enum direction i = UP;
         i < DIRECTIONS && session->place == SESSION_RECORD_NO_PLACE; i++) {
        fds[count++] = image->sock[i].fd;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        const struct pipe *pipe = &image->relay[i].pipe;

        if (pipe->read_fd >= 0) {
            fds[count++] = pipe->read_fd;
            fds[count++] = pipe->write_fd;
        }
    }
    return count;
}

unsigned session_record_write(struct record_writer *writer, unsigned tag,
                              const struct session_record *session,
                              int fds[SESSION_RECORD_FDS_MAX])
{
    const struct session_image *image = &session->image;
    size_t begun = record_begin(writer, tag);

    record_put_number(writer, TAG_SERVICE, session->service);
    record_put_number(writer, TAG_UPSTREAM, session->upstream);
    if (session->place != SESSION_RECORD_NO_PLACE) {
        record_put_number(writer, TAG_PLACE, session->place);
    }
    record_put_number(writer, TAG_CLIENT_FAMILY, image->client.family);
    record_put_number(writer, TAG_CLIENT_PORT, image->client.port);
    record_put(writer, TAG_CLIENT_IP, image->client.ip,
               sizeof(image->client.ip));
    record_put_number(writer, TAG_FINISHED, image->finished);
    record_put_number(writer, TAG_BORN_NS, image->born_ns);
    record_put_number(writer, TAG_CONNECT_US, image->connect_us);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        write_sock(writer, &image->sock[i]);
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        write_relay(writer, &image->relay[i]);
    }
    record_end(writer, begun);
    return list_fds(session, fds);
}

/* ---- reading ---- */

/* Reads a number into a field of any unsigned type. */
#define READ_NUMBER(record, field)                                             \
    (record_number((record), (__typeof__(field))-1, &number) &&                \
     ((field) = (__typeof__(field))number, true))

static bool read_sock_part(const struct record *part, void *arg)
{
    struct sock *sock = arg;
    uint64_t number;

    switch (part->tag) {
    case TAG_READY:
        return READ_NUMBER(part, sock->ready);
    case TAG_OPTIONS:
        return READ_NUMBER(part, sock->options);
    default:
        return record_may_be_skipped(part);
    }
}

static bool read_relay_part(const struct record *part, void *arg)
{
    struct relay_image *relay = arg;
    uint64_t number;

    switch (part->tag) {
    case TAG_BYTES:
        return READ_NUMBER(part, relay->bytes);
    case TAG_MOVED_NS:
        return READ_NUMBER(part, relay->moved_ns);
    case TAG_RATE_FULL_NS:
        return READ_NUMBER(part, relay->rate_full_ns);
    case TAG_SOURCE_FULL_NS:
        return READ_NUMBER(part, relay->source_full_ns);
    case TAG_WAIT:
        return READ_NUMBER(part, relay->wait) &&
               (relay->wait == RELAY_SOURCE || relay->wait == RELAY_ENDED ||
                relay->wait == RELAY_BROKEN);
    case TAG_BULK:
        return READ_NUMBER(part, relay->bulk) && relay->bulk <= RELAY_BULK_MOST;
    case TAG_HELD:
        return READ_NUMBER(part, relay->held);
    case TAG_GROWTH:
        return record_number(part, UINT32_MAX, &number) &&
               receive_growth_restore(&relay->growth, (uint32_t)number);
    case TAG_PIPED:
        relay->pipe.read_fd = 0;
        return READ_NUMBER(part, relay->pipe.bytes);
    default:
        return record_may_be_skipped(part);
    }
}

static bool read_relay(const struct record *record, struct relay_image *relay)
{
    *relay = (struct relay_image){.pipe = {.read_fd = -1, .write_fd = -1}};
    return record_each(record_enter(record), read_relay_part, relay) &&
           (relay->held == 0 || relay->pipe.read_fd < 0);
}

struct progress {
    struct session_record *session;
    unsigned socks; /* that have been read; likewise */
    unsigned relays;
};

static bool read_part(const struct record *part, void *arg)
{
    struct progress *progress = arg;
    struct session_record *session = progress->session;
    struct session_image *image = &session->image;
    uint64_t number;

    switch (part->tag) {
    case TAG_SERVICE:
        return READ_NUMBER(part, session->service);
    case TAG_UPSTREAM:
        return READ_NUMBER(part, session->upstream);
    case TAG_PLACE:
        return record_number(part, UINT32_MAX, &session->place);
    case TAG_CLIENT_FAMILY:
        return READ_NUMBER(part, image->client.family);
    case TAG_CLIENT_PORT:
        return READ_NUMBER(part, image->client.port);
    case TAG_CLIENT_IP:
        return record_copy(part, image->client.ip, sizeof(image->client.ip));
    case TAG_FINISHED:
        return record_number(part, 1, &number) &&
               (image->finished = number, true);
    case TAG_BORN_NS:
        return READ_NUMBER(part, image->born_ns);
    case TAG_CONNECT_US:
        return READ_NUMBER(part, image->connect_us);
    case TAG_SOCK:
        return progress->socks < DIRECTIONS &&
               record_each(record_enter(part), read_sock_part,
                           &image->sock[progress->socks++]);
    case TAG_RELAY:
        return progress->relays < DIRECTIONS &&
               read_relay(part, &image->relay[progress->relays++]);
    default:
        return record_may_be_skipped(part);
    }
}

bool session_record_read(const struct record *record,
                         struct session_record *session)
{
    struct progress progress = {.session = session};

    *session = (struct session_record){
        .service = UINT64_MAX,
        .upstream = UINT64_MAX,
        .place = SESSION_RECORD_NO_PLACE,
    };
    if (!record_each(record_enter(record), read_part, &progress)) {
        return false;
    }
    session->fd_count =
        session->place == SESSION_RECORD_NO_PLACE ? DIRECTIONS : 0;
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        session->image.sock[i].fd = -1;
        session->fd_count += session->image.relay[i].pipe.read_fd >= 0 ? 2 : 0;
    }
    return progress.socks == DIRECTIONS && progress.relays == DIRECTIONS;
}

void session_record_set_fds(struct session_record *session, const int *fds)
{
    struct session_image *image = &session->image;

    for (enum direction i = UP;
         i < DIRECTIONS && session->place == SESSION_RECORD_NO_PLACE; i++) {
        image->sock[i].fd = *fds++;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct pipe *pipe = &image->relay[i].pipe;

        if (pipe->read_fd >= 0) {
            pipe->read_fd = *fds++;
            pipe->write_fd = *fds++;
        }
    }
}
