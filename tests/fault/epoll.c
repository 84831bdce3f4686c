#include "file.h"

#include "courier.h"
#include "stream.h"

#include <assert.h>
#include <errno.h>

#define TOKENS_MAX 4096
/* The limit of a wait without a timeout, so that a run ends. */
#define FOREVER_MS 1000000

/* Epoll data that was given to a file. */
struct token {
    int epoll_fd;
    uint64_t data;
    uint64_t file; /* its number */
};

static struct {
    struct token list[TOKENS_MAX];
    unsigned count;
} tokens;

void epoll_forget_all(void)
{
    tokens.count = 0;
}

static void unwatch(struct watch *watch)
{
    list_remove(&watch->link);
    watch->epoll = NULL;
}

/* The file's watch by that epoll; by NULL: one that is free. NULL: none. */
static struct watch *watch_by(struct file *file, const struct file *epoll)
{
    for (unsigned i = 0; i < FILE_WATCHES; i++) {
        if (file->watches[i].epoll == epoll) {
            return &file->watches[i];
        }
    }
    return NULL;
}

void epoll_forget(struct file *file)
{
    struct file *watched;

    for (unsigned i = 0; i < FILE_WATCHES; i++) {
        unwatch(&file->watches[i]);
    }
    for (unsigned i = 0;
         file->kind == FILE_EPOLL && (watched = file_next(&i)) != NULL; i++) {
        struct watch *watch = watch_by(watched, file);

        if (watch != NULL) {
            unwatch(watch);
        }
    }
}

/* What it is ready for now. */
uint32_t file_poll(struct file *file)
{
    switch (file->kind) {
    case FILE_STREAM:
        return stream_poll(file->stream);
    case FILE_COURIER:
        return courier_poll(file);
    case FILE_EVENT:
        return EPOLLOUT | (file->counter > 0 ? (uint32_t)EPOLLIN : 0);
    default:
        return 0;
    }
}

static void make_ready(struct watch *watch)
{
    if (!list_linked(&watch->link)) {
        list_append(&watch->epoll->ready, &watch->link);
    }
}

void file_wake(struct file *file, uint32_t key)
{
    for (unsigned i = 0; i < FILE_WATCHES; i++) {
        struct watch *watch = &file->watches[i];

        if (watch->epoll != NULL && (key == 0 || (key & watch->events))) {
            make_ready(watch);
        }
    }
}

int file_epoll_create(void)
{
    struct file *file = file_open(FILE_EPOLL);

    if (file == NULL) {
        return -1;
    }
    /* Those of one that had the descriptor before are none of it. */
    for (unsigned i = 0; i < tokens.count; i++) {
        if (tokens.list[i].epoll_fd == file->fd) {
            tokens.list[i--] = tokens.list[--tokens.count];
        }
    }
    return file->fd;
}

/* A token must not be used twice: its second user would take a late event of
 * the first for one of its own. */
static void note_token(const struct file *epoll, const struct file *file,
                       uint64_t data)
{
    for (unsigned i = 0; i < tokens.count; i++) {
        const struct token *token = &tokens.list[i];

        if (token->data == data && token->epoll_fd == epoll->fd &&
            token->file != file->number) {
            kernel_trace("fd %d gets the token of another", file->fd);
            kernel_record()->tokens_used_twice++;
        }
    }
    if (tokens.count < TOKENS_MAX) {
        tokens.list[tokens.count++] =
            (struct token){epoll->fd, data, file->number};
    }
}

static int watch_file(struct file *epoll, struct file *file,
                      struct watch *watch, const struct epoll_event *event)
{
    if (kernel_chance(kernel_faults()->watch)) {
        kernel_record()->watches++;
        errno = ENOMEM;
        return -1;
    }
    note_token(epoll, file, event->data.u64);
    *watch = (struct watch){
        .file = file,
        .epoll = epoll,
        .events = event->events | EPOLLERR | EPOLLHUP,
        .data = event->data,
    };
    if (file_poll(file) & watch->events) {
        make_ready(watch);
    }
    return 0;
}

int file_epoll_ctl(int epoll_fd, int operation, int fd,
                   const struct epoll_event *event)
{
    struct file *epoll = file_at(epoll_fd);
    struct file *file = file_at(fd);
    struct watch *watch;

    if (epoll == NULL || file == NULL) {
        errno = EBADF;
        return -1;
    }
    watch = watch_by(file, epoll);
    if (operation == EPOLL_CTL_ADD && watch != NULL) {
        errno = EEXIST;
        return -1;
    }
    if (operation != EPOLL_CTL_ADD && watch == NULL) {
        errno = ENOENT;
        return -1;
    }
    if (watch != NULL) {
        unwatch(watch);
    }
    if (operation == EPOLL_CTL_DEL) {
        return 0;
    }
    watch = watch_by(file, NULL);
    assert(watch != NULL); /* two pollers are enough for what is tested here */
    return watch_file(epoll, file, watch, event);
}

/* Reports what is on the ready list and still wanted; a level-triggered one
 * goes to its end again, to be asked anew next time. */
static int harvest(struct file *epoll, struct epoll_event *events, int size)
{
    struct list turn = {0};
    struct list *link;
    int count = 0;

    list_splice(&turn, &epoll->ready);
    while (count < size && (link = list_pop(&turn)) != NULL) {
        struct watch *watch = container_of(link, struct watch, link);
        struct file *file = watch->file;
        uint32_t mask = file_poll(file) & watch->events;

        if (mask != 0) {
            events[count++] =
                (struct epoll_event){.events = mask, .data = watch->data};
            kernel_trace(
                "epoll    fd %d:%s%s%s%s%s%s", file->fd,
                mask & EPOLLIN ? " IN" : "", mask & EPOLLOUT ? " OUT" : "",
                mask & EPOLLRDHUP ? " RDHUP" : "",
                mask & EPOLLHUP ? " HUP" : "", mask & EPOLLERR ? " ERR" : "",
                mask & EPOLLPRI ? " PRI" : "");
        }
        if (mask != 0 && !(watch->events & EPOLLET)) {
            make_ready(watch);
        }
    }
    list_splice(&turn, &epoll->ready);
    list_splice(&epoll->ready, &turn);
    return count;
}

int file_epoll_wait(int epoll_fd, struct epoll_event *events, int size,
                    int timeout_ms)
{
    struct file *epoll = file_at(epoll_fd);
    uint64_t wait_ms = timeout_ms < 0 ? FOREVER_MS : (uint64_t)timeout_ms;
    uint64_t deadline_ns = kernel_now_ns() + wait_ms * NS_PER_MS;
    int count;

    assert(epoll != NULL && epoll->kind == FILE_EPOLL && size > 0);
    if (kernel_chance(kernel_faults()->interrupted)) {
        errno = EINTR;
        return -1;
    }
    /* Sometimes the batch is cut where it would have been complete. */
    if (kernel_chance(4)) {
        size = 1 + (int)kernel_below(4 < size ? 4 : (uint64_t)size);
    }
    for (;;) {
        kernel_run_due();
        count = harvest(epoll, events, size);
        if (count > 0 || kernel_now_ns() >= deadline_ns) {
            return count;
        }
        kernel_sleep(deadline_ns);
    }
}
