#include "control/session_sender.h"

#include <errno.h>

/* How many there are goes before them: the new process may have no room for
 * their descriptors. */
static void write_counts(struct session_sender *sender, struct ledger *ledger,
                         struct workers *workers, struct record_writer *writer)
{
    writer->size -= UPGRADE_SUMMARY_BYTES;
    sender->ledger_sent = ledger_write(ledger, writer);
    writer->size += UPGRADE_SUMMARY_BYTES;
    sender->count = upgrade_write_summary(workers, writer);
}

/* -1: it does not fit into any message. */
static int write_next(struct session_sender *sender, struct ledger *ledger,
                      struct workers *workers, struct channel_message *message)
{
    struct record_writer writer = upgrade_message_writer(message);

    if (!sender->ledger_sent) {
        write_counts(sender, ledger, workers, &writer);
    } else if (upgrade_write_sessions(&sender->cursor, workers, &writer,
                                      message)) {
        record_put(&writer, UPGRADE_SESSIONS_END, NULL, 0);
        sender->complete = true;
    }
    message->count = writer.used;
    sender->pending = true;
    errno = EMSGSIZE;
    return writer.failed || writer.used == 0 ? -1 : 0;
}

/* 0: the message must wait for an answer. After EPIPE the other process's end
 * tells more. */
static int flush(struct session_sender *sender, int channel,
                 const struct channel_message *message)
{
    if (channel_send(channel, message) < 0 && errno != EPIPE) {
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
