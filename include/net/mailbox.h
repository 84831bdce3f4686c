/*
 * mailbox: commands to one thread, from any thread.
 *
 * A message is a struct that the sender gives away; the reader gets all
 * messages that have come, in order. Posting wakes the reader by an eventfd
 * once for each batch.
 */
#ifndef EVPROXY_NET_MAILBOX_H
#define EVPROXY_NET_MAILBOX_H

#include "base/base.h"
#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct message {
    struct list link;
    int type; /* the reader's to interpret */
};

struct mailbox {
    pthread_mutex_t lock;
    struct list messages; /* under the lock */
    int fd;               /* eventfd: to be watched by the reader */
};

int mailbox_open(struct mailbox *mailbox) WARN_UNUSED;
void mailbox_close(struct mailbox *mailbox);

/* Any thread. A message that is in a mailbox already is left where it is, which
 * makes a message that is embedded in its sender a flag that wakes. */
void mailbox_post(struct mailbox *mailbox, struct message *message);

/* The reader: the oldest message, or NULL when there are none left and the
 * eventfd is clear. */
struct message *mailbox_next(struct mailbox *mailbox);

#endif
