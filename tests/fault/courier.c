#include "courier.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define ENDS_MAX    8
#define LETTERS_MAX 6 /* that wait at an end; Linux has 11 */
#define BYTES_MAX   65536
#define FDS_MAX     252

struct letter {
    size_t count;
    unsigned fd_count;
    unsigned char bytes[BYTES_MAX];
    struct file_share shares[FDS_MAX];
};

/* One end, and what has come to it. */
struct courier {
    bool open;
    struct file *file;
    unsigned first, count;
    struct letter letters[LETTERS_MAX];
};

static struct courier ends[ENDS_MAX];
static courier_rewrite_fn rewriter;
static unsigned send_fails, receive_fails;

void courier_forget_all(void)
{
    for (unsigned i = 0; i < ENDS_MAX; i++) {
        ends[i].open = false;
        ends[i].count = 0;
    }
    rewriter = NULL;
    send_fails = receive_fails = 0;
}

void courier_rewrite(courier_rewrite_fn rewrite)
{
    rewriter = rewrite;
}

void courier_fail(unsigned send, unsigned receive)
{
    send_fails = send;
    receive_fails = receive;
}

static struct courier *other(struct courier *end)
{
    return &ends[(end - ends) ^ 1];
}

static void attach(struct courier *end, struct file *file)
{
    end->open = true;
    end->first = end->count = 0;
    end->file = file;
    file->courier = end;
}

int courier_open(int fds[2])
{
    struct file *one = file_open(FILE_COURIER);
    struct file *two = one == NULL ? NULL : file_open(FILE_COURIER);
    unsigned at = 0;

    if (two == NULL) {
        if (one != NULL) {
            file_close(one);
        }
        return -1;
    }
    while (ends[at].open || ends[at + 1].open) {
        at += 2;
        assert(at < ENDS_MAX);
    }
    attach(&ends[at], one);
    attach(&ends[at + 1], two);
    fds[0] = one->fd;
    fds[1] = two->fd;
    return 0;
}

static void drop(struct letter *letter)
{
    for (unsigned i = 0; i < letter->fd_count; i++) {
        file_share_drop(&letter->shares[i]);
    }
}

void courier_close(struct file *file)
{
    struct courier *end = file->courier;

    for (; end->count > 0; end->count--, end->first++) {
        drop(&end->letters[end->first % LETTERS_MAX]);
    }
    end->open = false;
    if (other(end)->open) {
        file_wake(other(end)->file, EPOLLIN);
    }
}

uint32_t courier_poll(const struct file *file)
{
    struct courier *end = file->courier;
    bool gone = !other(end)->open;

    return (end->count > 0 || gone ? (uint32_t)EPOLLIN : 0) |
           (gone || other(end)->count < LETTERS_MAX ? (uint32_t)EPOLLOUT : 0);
}

/* The descriptors of a message: how many. */
static unsigned fds_of(const struct msghdr *message, const int **fds)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    unsigned count = 0;

    if (part != NULL) {
        *fds = (const int *)CMSG_DATA(part);
        count = (unsigned)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        assert(count <= FDS_MAX);
    }
    return count;
}

/* Standard input is open in every process, and a terminal here. */
static bool all_open(const struct msghdr *message)
{
    const int *fds = NULL;
    unsigned count = fds_of(message, &fds);

    for (unsigned i = 0; i < count; i++) {
        if (fds[i] != STDIN_FILENO && file_at(fds[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void put_fds(struct letter *letter, const struct msghdr *message)
{
    const int *fds = NULL;

    letter->fd_count = fds_of(message, &fds);
    for (unsigned i = 0; i < letter->fd_count; i++) {
        letter->shares[i] = fds[i] == STDIN_FILENO
                                ? (struct file_share){.kind = FILE_EVENT}
                                : file_share(file_at(fds[i]));
    }
}

ssize_t courier_send(struct file *file, const struct msghdr *message)
{
    struct courier *to = other(file->courier);
    struct letter *letter;

    errno = EPIPE;
    if (!to->open) {
        return -1;
    }
    errno = EBADF;
    if (!all_open(message)) {
        return -1;
    }
    errno = ENOBUFS;
    if (send_fails > 0 && --send_fails == 0) {
        return -1;
    }
    errno = EAGAIN;
    if (to->count == LETTERS_MAX) {
        return -1;
    }
    errno = ETOOMANYREFS;
    if (message->msg_control != NULL && to->count > 0 && kernel_chance(4)) {
        return -1;
    }
    letter = &to->letters[(to->first + to->count++) % LETTERS_MAX];
    letter->count = message->msg_iov->iov_len;
    assert(letter->count > 0 && letter->count <= BYTES_MAX);
    memcpy(letter->bytes, message->msg_iov->iov_base, letter->count);
    put_fds(letter, message);
    if (rewriter != NULL) {
        rewriter(letter->bytes, &letter->count, BYTES_MAX);
    }
    file_wake(to->file, EPOLLIN);
    return (ssize_t)message->msg_iov->iov_len;
}

/* Gives descriptors to those that travel. What it has no number for is gone. */
static void take_fds(struct letter *letter, struct msghdr *message)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    bool fails =
        letter->fd_count > 0 && receive_fails > 0 && --receive_fails == 0;
    unsigned count = 0;
    int fds[FDS_MAX];

    for (unsigned i = 0; i < letter->fd_count; i++) {
        struct file *file = fails && i + 1 == letter->fd_count
                                ? NULL
                                : file_open_share(&letter->shares[i]);

        if (file == NULL) {
            message->msg_flags |= MSG_CTRUNC;
            for (; i < letter->fd_count; i++) {
                file_share_drop(&letter->shares[i]);
            }
            break;
        }
        file->guest = true;
        fds[count++] = file->fd;
    }
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(part), fds, count * sizeof(int));
    message->msg_controllen = count > 0 ? CMSG_SPACE(count * sizeof(int)) : 0;
}

ssize_t courier_receive(struct file *file, struct msghdr *message)
{
    struct courier *end = file->courier;
    struct letter *letter = &end->letters[end->first % LETTERS_MAX];

    message->msg_flags = 0;
    if (end->count == 0) {
        message->msg_controllen = 0;
        errno = EAGAIN;
        return other(end)->open ? -1 : 0;
    }
    assert(letter->count <= message->msg_iov->iov_len);
    memcpy(message->msg_iov->iov_base, letter->bytes, letter->count);
    take_fds(letter, message);
    end->first++;
    end->count--;
    if (other(end)->open) {
        file_wake(other(end)->file, EPOLLOUT);
    }
    return (ssize_t)letter->count;
}
