/*
 * versions: preloaded into evproxy, makes it another version: it writes what it
 * says in an upgrade as that one would. UPGRADE_VERSION is
 *
 *      newer       each record, and each message, has more than this version
 *                  knows, which a reader may skip
 *      older       records lack what the first version did not write
 *      demanding   HELLO has a part that a reader must know
 *      strange     so has each session
 *      distant     its format cannot be read by this version
 */
#include "base/record.h"
#include "control/ledger.h"
#include "control/upgrade_message.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Tags that no version has. */
#define PLAIN    0x7001
#define CRITICAL (0x7002 | RECORD_CRITICAL)

/* What a session's record has parts in, and a name's. */
#define SOCK  (9 | RECORD_CRITICAL)
#define RELAY (10 | RECORD_CRITICAL)
#define SRV   3

static const char *version;

__attribute__((constructor)) static void read_version(void)
{
    version = getenv("UPGRADE_VERSION");
}

static bool is(const char *name)
{
    return strcmp(version, name) == 0;
}

/* Whether the value of that record is records; in: 0, or the tag of the record
 * that it is a part of. */
static bool has_parts(unsigned in, unsigned tag)
{
    switch (in) {
    case 0:
        return tag == UPGRADE_HELLO || tag == UPGRADE_NAME ||
               tag == UPGRADE_SOCKET || tag == UPGRADE_SESSIONS ||
               tag == UPGRADE_SESSION || tag == UPGRADE_ANNOUNCED ||
               tag == UPGRADE_COMMIT || tag == LEDGER_PROCESS ||
               tag == LEDGER_SERVICE || tag == LEDGER_UPSTREAM;
    case UPGRADE_NAME:
        return tag == SRV;
    case UPGRADE_SESSION:
    case UPGRADE_ANNOUNCED:
        return tag == SOCK || tag == RELAY;
    default:
        return false;
    }
}

/* Whether the first version wrote it. */
static bool is_first(unsigned in, unsigned tag)
{
    return !(in == UPGRADE_HELLO && (tag & ~RECORD_CRITICAL) > 6) &&
           !(in == LEDGER_UPSTREAM && tag == LEDGER_RESET_NS);
}

static void put_more(struct record_writer *writer, unsigned in)
{
    if (is("newer")) {
        record_put_text(writer, PLAIN, "more");
    }
    if ((is("demanding") && in == UPGRADE_HELLO) ||
        (is("strange") && in == UPGRADE_SESSION)) {
        record_put_number(writer, CRITICAL, 1);
    }
}

/* Writes what the other version would. */
static void rewrite(struct record_reader reader, unsigned in,
                    struct record_writer *writer)
{
    struct record record;

    while (record_next(&reader, &record) > 0) {
        if (is("older") && !is_first(in, record.tag)) {
            continue;
        }
        if (is("distant") && in == UPGRADE_HELLO &&
            record.tag == UPGRADE_HELLO_LEAST) {
            record_put_number(writer, record.tag, UPGRADE_FORMAT + 1);
        } else if (has_parts(in, record.tag)) {
            size_t begun = record_begin(writer, record.tag);

            rewrite(record_enter(&record), record.tag, writer);
            put_more(writer, record.tag);
            record_end(writer, begun);
        } else {
            record_put(writer, record.tag, record.value, record.count);
        }
    }
}

static bool is_channel(int fd)
{
    socklen_t size = sizeof(int);
    int type = 0;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
           type == SOCK_SEQPACKET;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    static ssize_t (*next)(int, const struct msghdr *, int);
    static unsigned char bytes[CHANNEL_BYTES_MAX];
    struct record_writer writer = {bytes, sizeof(bytes), 0, false};
    struct msghdr other = *message;
    struct iovec vector = {bytes, 0};

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "sendmsg");
    }
    if (version == NULL || !is_channel(fd)) {
        return next(fd, message, flags);
    }
    if (is("newer")) { /* and before the rest */
        record_put_text(&writer, PLAIN, "more");
    }
    rewrite((struct record_reader){message->msg_iov->iov_base,
                                   message->msg_iov->iov_len},
            0, &writer);
    put_more(&writer, 0);
    if (writer.failed) { /* the message is full */
        return next(fd, message, flags);
    }
    vector.iov_len = writer.used;
    other.msg_iov = &vector;
    return next(fd, &other, flags);
}
