/*
 * session_sender: the connections of an upgrade on their way from the workers
 * to the messages: those that are announced, with how many they are before
 * them; and once more when they are frozen, then with what was counted until
 * the freeze. Control thread of the old process.
 *
 * Some messages are under way at once, so that neither process waits for the
 * other one. If the kernel takes no more (it counts descriptors that are under
 * way, and bytes), the next one waits for an answer.
 */
#ifndef EVPROXY_CONTROL_SESSION_SENDER_H
#define EVPROXY_CONTROL_SESSION_SENDER_H

#include "control/ledger.h"
#include "control/upgrade_writer.h"

#include <stdbool.h>
#include <stdint.h>

/* Messages under way at once. */
#define SESSION_SENDER_WINDOW 4

/* All-zero: nothing was sent, and they are frozen. */
struct session_sender {
    bool announces;
    struct upgrade_cursor cursor;
    bool
        counts_sent; /* and of the frozen ones, the ledger's pass is complete */
    bool complete;   /* all is written */
    bool pending;    /* the message is written, and is to be sent */
    unsigned under_way;
    uint32_t count; /* sessions */
};

/* Sends as much as may be under way. -1 with errno: the channel is broken, or
 * something will never fit. */
int session_sender_send(struct session_sender *sender, struct ledger *ledger,
                        struct workers *workers, int channel,
                        struct channel_message *message) WARN_UNUSED;

/* The new process has answered one of them. False: it owes no answer; the last
 * message has none. */
bool session_sender_answered(struct session_sender *sender) WARN_UNUSED;

static inline bool session_sender_begun(const struct session_sender *sender)
{
    return sender->counts_sent;
}

/* The new process has read all of them. */
static inline bool session_sender_done(const struct session_sender *sender)
{
    return sender->complete && !sender->pending && sender->under_way == 1;
}

#endif
