#include "file.h"

#include "courier.h"
#include "stream.h"
#include "tube.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static struct {
    struct file list[FILES_MAX];
    unsigned end; /* those from here on were never used */
    unsigned count;
    unsigned limit;
    uint64_t number;
    bool reuse_closed;
} files;

void file_forget_all(void)
{
    memset(files.list, 0, files.end * sizeof(files.list[0]));
    files.end = files.count = 0;
    files.limit = FILES_MAX;
    files.number = 0;
    files.reuse_closed = false;
    epoll_forget_all();
}

struct file *file_open(enum file_kind kind)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    unsigned at = 0;

    if (kernel_chance(kernel_faults()->descriptor)) {
        kernel_record()->descriptors++;
        errno = errors[kernel_below(ARRAY_LEN(errors))];
        return NULL;
    }
    if (files.count >= files.limit) {
        kernel_record()->descriptors++;
        errno = EMFILE;
        return NULL;
    }
    while (files.list[at].kind != FILE_FREE) {
        at++;
    }
    if (at >= files.end) {
        files.end = at + 1;
    }
    files.count++;
    files.list[at] = (struct file){
        .kind = kind, .fd = FILE_FD_FIRST + (int)at, .number = ++files.number};
    return &files.list[at];
}

struct file *file_at(int fd)
{
    struct file *file;

    if (fd < FILE_FD_FIRST || fd >= FILE_FD_FIRST + FILES_MAX) {
        return NULL;
    }
    file = &files.list[fd - FILE_FD_FIRST];
    return file->kind == FILE_FREE ? NULL : file;
}

void file_attach(struct file *file, struct stream *stream)
{
    file->stream = stream;
    stream->file = file;
    stream->holders = 1;
}

struct file_share file_share(const struct file *file)
{
    if (file->stream != NULL) {
        file->stream->holders++;
    }
    if (file->tube != NULL) {
        tube_share(file->tube);
    }
    return (struct file_share){file->kind, file->stream, file->tube};
}

struct file *file_open_share(const struct file_share *share)
{
    struct file *file = file_open(share->kind);

    if (file != NULL) {
        file->stream = share->stream;
        file->tube = share->tube;
        /* All others may have been closed while it was under way. */
        if (file->stream != NULL &&
            file->stream->file->stream != file->stream) {
            file->stream->file = file;
        }
    }
    return file;
}

void file_share_drop(const struct file_share *share)
{
    if (share->stream != NULL && --share->stream->holders == 0) {
        stream_close(share->stream);
    }
    if (share->tube != NULL) {
        tube_close(share->tube);
    }
}

struct file *file_duplicate(struct file *file)
{
    struct file_share share = file_share(file);
    struct file *duplicate = file_open_share(&share);

    if (duplicate == NULL) {
        int error = errno;

        file_share_drop(&share);
        errno = error;
    }
    return duplicate;
}

struct file *file_open_stranger(void)
{
    struct file *file = file_open(FILE_STREAM);

    assert(file != NULL);
    file_attach(file, stream_open());
    file->stranger = true;
    return file;
}

void file_reuse_closed(bool on)
{
    files.reuse_closed = on;
}

struct file *file_next(unsigned *at)
{
    while (*at < files.end && files.list[*at].kind == FILE_FREE) {
        ++*at;
    }
    return *at < files.end ? &files.list[*at] : NULL;
}

/* One descriptor of a socket is closed; its last one closes it. */
static void leave_stream(struct file *file, bool watched)
{
    struct stream *stream = file->stream;

    if (--stream->holders == 0) {
        stream_close(stream);
        return;
    }
    /* Linux goes on watching a file that has another descriptor. */
    kernel_record()->watches_left += watched;
    for (unsigned i = 0; i < files.end && stream->file == file; i++) {
        if (files.list[i].kind != FILE_FREE && &files.list[i] != file &&
            files.list[i].stream == stream) {
            stream->file = &files.list[i];
        }
    }
}

void file_close(struct file *file)
{
    bool watched =
        file->watches[0].epoll != NULL || file->watches[1].epoll != NULL;

    epoll_forget(file);
    if (file->stream != NULL) {
        leave_stream(file, watched);
    }
    if (file->tube != NULL) {
        tube_close(file->tube);
    }
    if (file->courier != NULL) {
        courier_close(file);
    }
    file->kind = FILE_FREE;
    files.count--;
    if (files.reuse_closed && !file->stranger) {
        (void)file_open_stranger();
    }
}

void file_wake_all(const struct stream *stream, uint32_t key)
{
    for (unsigned i = 0; i < files.end; i++) {
        if (files.list[i].kind == FILE_STREAM &&
            files.list[i].stream == stream) {
            file_wake(&files.list[i], key);
        }
    }
}

unsigned file_count(void)
{
    return files.count;
}

void file_limit(unsigned limit)
{
    assert(limit <= FILES_MAX);
    files.limit = limit;
}

/* ---- eventfd ----------------------------------------------------------- */

int file_eventfd(unsigned count)
{
    struct file *file = file_open(FILE_EVENT);

    if (file == NULL) {
        return -1;
    }
    file->counter = count;
    return file->fd;
}

ssize_t file_eventfd_read(struct file *file, uint64_t *value)
{
    if (file->counter == 0) {
        errno = EAGAIN;
        return -1;
    }
    *value = file->counter;
    file->counter = 0;
    file_wake(file, EPOLLOUT);
    return sizeof(*value);
}

ssize_t file_eventfd_write(struct file *file, uint64_t value)
{
    file->counter += value;
    file_wake(file, EPOLLIN);
    return sizeof(value);
}
