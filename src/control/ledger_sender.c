#include "control/ledger_sender.h"

#include "control/upgrade_message.h"

#include <errno.h>

/* False: not yet. */
static bool flush(struct ledger_sender *sender)
{
    if (sender->message->count > 0 &&
        channel_send(sender->channel, sender->message) < 0) {
        if (errno == EAGAIN) {
            return false;
        }
        sender->silent = true;
    }
    sender->message->count = 0;
    return true;
}

/* Writes a message. True: it completes the pass. */
static bool write_some(struct ledger_sender *sender)
{
    struct record_writer writer = upgrade_message_writer(sender->message);
    bool complete;

    writer.size -= RECORD_HEADER_BYTES;
    complete = ledger_write(sender->ledger, &writer);
    writer.size += RECORD_HEADER_BYTES;
    if (complete && sender->farewell) {
        record_put(&writer, UPGRADE_GOODBYE, NULL, 0);
    }
    sender->message->count = writer.used;
    return complete;
}

bool ledger_sender_tell(struct ledger_sender *sender)
{
    bool complete = false;

    while (!sender->silent && !complete) {
        if (!flush(sender)) {
            return false;
        }
        if (!sender->silent) {
            complete = write_some(sender);
        }
    }
    return sender->silent || flush(sender);
}
