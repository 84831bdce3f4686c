/*
 * mailbox: commands to one thread, from any thread.
 *
 * A letter is a struct that the sender gives away; the reader gets all letters
 * that have come, in order. Posting wakes the reader by an eventfd once for
 * each batch.
 */
#ifndef EVPROXY_NET_MAILBOX_H
#define EVPROXY_NET_MAILBOX_H

#include "base/base.h"
#include "base/list.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct letter {
    struct list link;
    int subject; /* the reader's to interpret */
};

struct mailbox {
    pthread_mutex_t lock;
    struct list letters; /* under the lock */
    int fd;              /* eventfd: to be watched by the reader */
};

int mailbox_open(struct mailbox *mailbox) WARN_UNUSED;
void mailbox_close(struct mailbox *mailbox);

/* Any thread. A letter that is in a mailbox already is left where it is, which
 * makes a letter that is embedded in its sender a flag that wakes. */
void mailbox_post(struct mailbox *mailbox, struct letter *letter);

/* The reader: the oldest letter, or NULL when there are none left and the
 * eventfd is clear. */
struct letter *mailbox_take(struct mailbox *mailbox);

#endif
