/*
 * lookups: keeps the table of names (control/names.h) up to date: has each name
 * looked up when it is due (control/resolver.h), and takes the answers. Control
 * thread, in its loop; nothing here waits.
 *
 * A name whose state or addresses change is one line of the log:
 *
 *      resolve name=api.example.net addresses=3 added=1 removed=1
 *      resolve name=api.example.net error="Name or service not known"
 */
#ifndef EVPROXY_CONTROL_LOOKUPS_H
#define EVPROXY_CONTROL_LOOKUPS_H

#include "control/names.h"
#include "control/resolver.h"
#include "net/loop.h"

#include <stdbool.h>

struct lookups {
    struct loop *loop;
    struct names names;
    struct resolver *resolver; /* NULL: closed */
    struct wheel_timer timer;  /* to the next look-up */
    bool changed; /* the current generation lacks an answer of the table */
    bool failed;  /* a name has begun to fail; cleared by the caller */
};

/* timer_kind: in the loop; message_type: of its messages. -1 with errno. */
int lookups_open(struct lookups *lookups, struct loop *loop,
                 unsigned timer_kind, int message_type) WARN_UNUSED;

/* No name is looked up any more. The table stays until lookups_fini. */
void lookups_close(struct lookups *lookups);
void lookups_fini(struct lookups *lookups);

/* Has the names looked up that are due, and arms the timer for the others. To
 * be called by the timer, and after names_keep. */
void lookups_begin(struct lookups *lookups);

/* The current generation has all answers of the table: writes their lines. */
void lookups_applied(struct lookups *lookups);

/* Takes an answer. Also after lookups_close. */
void lookups_take(struct lookups *lookups, struct message *message);

#endif
