/*
 * ledger_sender: tells the process that has taken over what is counted here
 * afterwards: the later passes of a ledger (control/ledger.h), and in the end
 * GOODBYE. There are no answers. Control thread.
 */
#ifndef EVPROXY_CONTROL_LEDGER_SENDER_H
#define EVPROXY_CONTROL_LEDGER_SENDER_H

#include "control/ledger.h"
#include "net/channel.h"

#include <stdbool.h>

struct ledger_sender {
    struct ledger *ledger;
    struct channel_message *message; /* count > 0: it is to be sent still */
    int channel;
    bool farewell; /* GOODBYE follows the last pass */
    bool silent;   /* the other process is gone */
};

/* Sends what has been counted since. False: not all of it yet, as the other
 * process has not read what was sent before. */
bool ledger_sender_tell(struct ledger_sender *sender) WARN_UNUSED;

#endif
