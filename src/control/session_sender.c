#include "control/session_sender.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* How often a message is sent again, as more of its sessions have ended. */
#define REPLACE_MAX 100

/* How many there are goes before them: the new process may have no room for
 * their descriptors. */
static void write_counts(struct session_sender *sender, struct ledger *ledger,
                         struct workers *workers, struct record_writer *writer)
{
    writer->size -= UPGRADE_SUMMARY_BYTES;
    sender->counts_sent = sender->announces || ledger_write(ledger, writer);
    writer->size += UPGRADE_SUMMARY_BYTES;
    sender->count = upgrade_write_summary(workers, writer);
}

static bool write_sessions(struct session_sender *sender,
                           struct workers *workers,
                           struct record_writer *writer,
                           struct channel_message *message)
{
    bool announces = sender->announces;
    bool complete = upgrade_write_sessions(
        &sender->cursor, workers,
        announces ? UPGRADE_ANNOUNCED : UPGRADE_SESSION, writer, message);

    if (complete) {
        record_put(writer,
                   announces ? UPGRADE_ANNOUNCED_END : UPGRADE_SESSIONS_END,
                   NULL, 0);
    }
    return complete;
}

/* -1: it does not fit into any message. */
static int write_next(struct session_sender *sender, struct ledger *ledger,
                      struct workers *workers, struct channel_message *message)
{
    struct record_writer writer = upgrade_message_writer(message);

    if (!sender->counts_sent) {
        write_counts(sender, ledger, workers, &writer);
    } else {
        sender->complete = write_sessions(sender, workers, &writer, message);
    }
    message->count = writer.used;
    sender->pending = true;
    errno = EMSGSIZE;
    return writer.failed || writer.used == 0 ? -1 : 0;
}

/* An announced session may have ended since. Its number may even be that of
 * another file now: then that one travels. In either case nothing fills the
 * place. */
static void replace_closed(struct channel_message *message)
{
    for (size_t i = 0; i < message->fd_count; i++) {
        if (fcntl(message->fds[i], F_GETFD) < 0) {
            message->fds[i] = STDIN_FILENO;
        }
    }
}

static int send_message(const struct session_sender *sender, int channel,
                        struct channel_message *message)
{
    int result = channel_send(channel, message);

    for (int i = 0;
         result < 0 && errno == EBADF && sender->announces && i < REPLACE_MAX;
         i++) {
        replace_closed(message);
        result = channel_send(channel, message);
    }
    return result;
}

/* 0: the message must wait for an answer. After EPIPE the other process's end
 * tells more. */
static int flush(struct session_sender *sender, int channel,
                 struct channel_message *message)
{
    if (send_message(sender, channel, message) < 0 && errno != EPIPE) {
        return sender->under_way > 0 &&
                       (errno == EAGAIN || errno == ETOOMANYREFS)
                   ? 0
                   : -1;
    }
    sender->pending = false;
    sender->under_way++;
    return 1;
}

int session_sender_send(struct session_sender *sender, struct ledger *ledger,
                        struct workers *workers, int channel,
                        struct channel_message *message)
{
    int result = 1;

    while (result > 0 && sender->under_way < SESSION_SENDER_WINDOW &&
           (sender->pending || !sender->complete)) {
        if (!sender->pending &&
            write_next(sender, ledger, workers, message) < 0) {
            return -1;
        }
        result = flush(sender, channel, message);
    }
    return result < 0 ? -1 : 0;
}

bool session_sender_answered(struct session_sender *sender)
{
    bool last = sender->complete && !sender->pending;

    if (sender->under_way <= last) {
        return false;
    }
    sender->under_way--;
    return true;
}
