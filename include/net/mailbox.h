/*
 * mailbox: messages to one thread, from any thread.
 *
 * A message is a struct that passes to the reader when it is posted. The reader
 * gets the messages in order. An eventfd wakes it, once for all messages that
 * arrive before it has read the last one.
 *
 * Epochs tell a sender what the reader has been sent before. A message that is
 * posted within an epoch is read after the message that began it and before the
 * one that begins the next.
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
    int type; /* what it is; the reader defines the numbers */
};

struct mailbox {
    pthread_mutex_t lock;
    struct list messages; /* under the lock */
    uint64_t epoch;       /* likewise; 0: none */
    int fd;               /* the eventfd, which the reader polls */
};

int mailbox_open(struct mailbox *mailbox) WARN_UNUSED;
void mailbox_close(struct mailbox *mailbox);

/* Any thread. A message that is in a mailbox stays where it is, so one that is
 * embedded in its sender can be posted at any time, as a flag that wakes. */
void mailbox_post(struct mailbox *mailbox, struct message *message);

/* The same, and the message begins that epoch; 0: the last one ends with it. */
void mailbox_post_epoch(struct mailbox *mailbox, struct message *message,
                        uint64_t epoch);

/* A message that is in no mailbox. False: it is another epoch, and the message
 * stays the caller's. epoch: not 0. */
bool mailbox_post_within(struct mailbox *mailbox, struct message *message,
                         uint64_t epoch) WARN_UNUSED;

/* The reader: takes the oldest message; NULL: there is none, and the eventfd is
 * cleared. */
struct message *mailbox_next(struct mailbox *mailbox);

#endif
