#include "net/mailbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_open(struct mailbox *mailbox)
{
    mailbox->messages = (struct list){0};
    mailbox->epoch = 0;
    mailbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->fd < 0) {
        return -1;
    }
    pthread_mutex_init(&mailbox->lock, NULL);
    return 0;
}

void mailbox_close(struct mailbox *mailbox)
{
    close(mailbox->fd);
    mailbox->fd = -1;
    pthread_mutex_destroy(&mailbox->lock);
}

/* Under the lock. */
static void append(struct mailbox *mailbox, struct message *message)
{
    bool first = list_empty(&mailbox->messages);

    if (list_linked(&message->link)) {
        return;
    }
    list_append(&mailbox->messages, &message->link);
    if (first) {
        /* Cannot fail: the counter is never full. */
        (void)!write(mailbox->fd, &(uint64_t){1}, sizeof(uint64_t));
    }
}

void mailbox_post(struct mailbox *mailbox, struct message *message)
{
    pthread_mutex_lock(&mailbox->lock);
    append(mailbox, message);
    pthread_mutex_unlock(&mailbox->lock);
}

void mailbox_post_epoch(struct mailbox *mailbox, struct message *message,
                        uint64_t epoch)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->epoch = epoch;
    append(mailbox, message);
    pthread_mutex_unlock(&mailbox->lock);
}

bool mailbox_post_within(struct mailbox *mailbox, struct message *message,
                         uint64_t epoch)
{
    bool within;

    pthread_mutex_lock(&mailbox->lock);
    within = mailbox->epoch == epoch;
    if (within) {
        append(mailbox, message);
    }
    pthread_mutex_unlock(&mailbox->lock);
    return within;
}

struct message *mailbox_next(struct mailbox *mailbox)
{
    struct list *link;

    pthread_mutex_lock(&mailbox->lock);
    link = list_pop(&mailbox->messages);
    if (link == NULL) {
        /* Under the lock: else it could clear the wake-up of a message that is
         * posted in between. */
        (void)!read(mailbox->fd, &(uint64_t){0}, sizeof(uint64_t));
    }
    pthread_mutex_unlock(&mailbox->lock);
    return link == NULL ? NULL : container_of(link, struct message, link);
}
