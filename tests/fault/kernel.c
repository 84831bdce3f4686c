#include "kernel.h"

#include "base/hash.h"
#include "stream.h"
#include "tube.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 1024
/* Who waits for ever would never be seen again; the run has a limit. */
#define FOREVER_MS   1000000
#define BEGINNING_NS (UINT64_C(1000) * NS_PER_S)

/* Something that will happen. */
struct event {
    uint64_t due_ns;
    uint64_t number; /* of its making: first come first served */
    kernel_fn fn;
    void *arg;
    uint64_t tag;
};

static struct kernel {
    bool running;
    bool trace;
    uint64_t now_ns;
    uint64_t random;
    struct kernel_faults faults;
    struct kernel_record record;
    struct event events[EVENTS_MAX]; /* a heap: the next one is the first */
    unsigned event_count;
    uint64_t event_number;
    struct file files[KERNEL_FILES];
    unsigned file_end; /* those from here on were never used */
    unsigned file_count;
    unsigned file_limit;
} kernel;

void kernel_start(uint64_t seed, const struct kernel_faults *faults)
{
    kernel.running = true;
    kernel.now_ns = BEGINNING_NS;
    kernel.random = hash_mix(seed);
    kernel.faults = *faults;
    kernel.record = (struct kernel_record){0};
    kernel.event_count = 0;
    kernel.event_number = 0;
    memset(kernel.files, 0, kernel.file_end * sizeof(kernel.files[0]));
    kernel.file_end = 0;
    kernel.file_count = 0;
    kernel.file_limit = KERNEL_FILES;
    stream_forget_all();
    tube_forget_all();
}

void kernel_set_faults(const struct kernel_faults *faults)
{
    kernel.faults = *faults;
}

void kernel_stop(void)
{
    kernel.running = false;
}

bool kernel_running(void)
{
    return kernel.running;
}

struct kernel_record *kernel_record(void)
{
    return &kernel.record;
}

const struct kernel_faults *kernel_faults(void)
{
    return &kernel.faults;
}

void kernel_set_trace(bool on)
{
    kernel.trace = on;
}

void kernel_trace(const char *format, ...)
{
    va_list args;

    if (!kernel.trace) {
        return;
    }
    fprintf(stderr, "%14.6f  ",
            (double)(kernel.now_ns - BEGINNING_NS) / (double)NS_PER_S);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

uint64_t kernel_now_ns(void)
{
    return kernel.now_ns;
}

uint64_t kernel_random(void)
{
    return hash_random(&kernel.random);
}

uint64_t kernel_below(uint64_t n)
{
    return n == 0 ? 0 : kernel_random() % n;
}

bool kernel_chance(uint32_t n)
{
    return n != 0 && kernel_random() % n == 0;
}

/* ---- events ------------------------------------------------------------ */

static bool event_before(const struct event *a, const struct event *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
                                  : a->number < b->number;
}

void kernel_after(uint64_t delay_ns, kernel_fn fn, void *arg, uint64_t tag)
{
    struct event event = {
        .due_ns = kernel.now_ns + delay_ns,
        .number = kernel.event_number++,
        .fn = fn,
        .arg = arg,
        .tag = tag,
    };
    unsigned at = kernel.event_count++;

    assert(at < EVENTS_MAX);
    while (at > 0 && event_before(&event, &kernel.events[(at - 1) / 2])) {
        kernel.events[at] = kernel.events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    kernel.events[at] = event;
}

/* Takes the first one off the heap. */
static struct event next_event(void)
{
    struct event first = kernel.events[0];
    struct event last = kernel.events[--kernel.event_count];
    unsigned at = 0;

    for (;;) {
        unsigned child = 2 * at + 1;

        if (child + 1 < kernel.event_count &&
            event_before(&kernel.events[child + 1], &kernel.events[child])) {
            child++;
        }
        if (child >= kernel.event_count ||
            event_before(&last, &kernel.events[child])) {
            break;
        }
        kernel.events[at] = kernel.events[child];
        at = child;
    }
    kernel.events[at] = last;
    return first;
}

uint64_t kernel_latency_ns(void)
{
    return kernel_below(kernel.faults.latency_ns);
}

bool kernel_step(void)
{
    struct event event;

    if (kernel.event_count == 0) {
        return false;
    }
    event = next_event();
    if (event.due_ns > kernel.now_ns) {
        kernel.now_ns = event.due_ns;
    }
    event.fn(event.arg, event.tag);
    return true;
}

static bool event_due(uint64_t now_ns)
{
    return kernel.event_count > 0 && kernel.events[0].due_ns <= now_ns;
}

static void run_due(void)
{
    while (event_due(kernel.now_ns)) {
        kernel_step();
    }
}

void kernel_enter(void)
{
    kernel.now_ns += kernel_below(2048);
    run_due();
}

/* ---- descriptors ------------------------------------------------------- */

struct file *file_open(enum file_kind kind)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    unsigned at = 0;

    if (kernel_chance(kernel.faults.descriptor)) {
        kernel.record.descriptors++;
        errno = errors[kernel_below(ARRAY_LEN(errors))];
        return NULL;
    }
    if (kernel.file_count >= kernel.file_limit) {
        kernel.record.descriptors++;
        errno = EMFILE;
        return NULL;
    }
    while (kernel.files[at].kind != FILE_FREE) {
        at++;
    }
    if (at >= kernel.file_end) {
        kernel.file_end = at + 1;
    }
    kernel.file_count++;
    kernel.files[at] =
        (struct file){.kind = kind, .fd = KERNEL_FD_FIRST + (int)at};
    return &kernel.files[at];
}

struct file *file_at(int fd)
{
    struct file *file;

    if (fd < KERNEL_FD_FIRST || fd >= KERNEL_FD_FIRST + KERNEL_FILES) {
        return NULL;
    }
    file = &kernel.files[fd - KERNEL_FD_FIRST];
    return file->kind == FILE_FREE ? NULL : file;
}

void file_close(struct file *file)
{
    list_remove(&file->watch.link);
    for (unsigned i = 0; file->kind == FILE_EPOLL && i < kernel.file_end; i++) {
        struct watch *watch = &kernel.files[i].watch;

        if (watch->epoll == file) {
            list_remove(&watch->link);
            watch->epoll = NULL;
        }
    }
    file->kind = FILE_FREE;
    kernel.file_count--;
}

unsigned kernel_open_files(void)
{
    return kernel.file_count;
}

void kernel_limit_files(unsigned limit)
{
    assert(limit <= KERNEL_FILES);
    kernel.file_limit = limit;
}

/* ---- epoll ------------------------------------------------------------- */

/* What it is ready for now. */
static uint32_t file_poll(struct file *file)
{
    switch (file->kind) {
    case FILE_STREAM:
        return stream_poll(file->stream);
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
    struct watch *watch = &file->watch;

    if (watch->epoll != NULL && (key == 0 || (key & watch->events))) {
        make_ready(watch);
    }
}

int kernel_epoll_create(void)
{
    struct file *file = file_open(FILE_EPOLL);

    return file == NULL ? -1 : file->fd;
}

static int watch_file(struct file *epoll, struct file *file,
                      const struct epoll_event *event)
{
    if (kernel_chance(kernel.faults.watch)) {
        kernel.record.watches++;
        errno = ENOMEM;
        return -1;
    }
    file->watch.epoll = epoll;
    file->watch.events = event->events | EPOLLERR | EPOLLHUP;
    file->watch.data = event->data;
    if (file_poll(file) & file->watch.events) {
        make_ready(&file->watch);
    }
    return 0;
}

int kernel_epoll_ctl(int epoll_fd, int operation, int fd,
                     const struct epoll_event *event)
{
    struct file *epoll = file_at(epoll_fd);
    struct file *file = file_at(fd);

    if (epoll == NULL || file == NULL) {
        errno = EBADF;
        return -1;
    }
    /* One poller is enough for what is tested here. */
    assert(file->watch.epoll == NULL || file->watch.epoll == epoll);
    if (operation == EPOLL_CTL_ADD && file->watch.epoll == epoll) {
        errno = EEXIST;
        return -1;
    }
    if (operation != EPOLL_CTL_ADD && file->watch.epoll == NULL) {
        errno = ENOENT;
        return -1;
    }
    list_remove(&file->watch.link);
    if (operation == EPOLL_CTL_DEL) {
        file->watch.epoll = NULL;
        return 0;
    }
    return watch_file(epoll, file, event);
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
        struct file *file = container_of(watch, struct file, watch);
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

int kernel_epoll_wait(int epoll_fd, struct epoll_event *events, int size,
                      int timeout_ms)
{
    struct file *epoll = file_at(epoll_fd);
    uint64_t wait_ms = timeout_ms < 0 ? FOREVER_MS : (uint64_t)timeout_ms;
    uint64_t deadline_ns = kernel.now_ns + wait_ms * NS_PER_MS;
    int count;

    assert(epoll != NULL && epoll->kind == FILE_EPOLL && size > 0);
    if (kernel_chance(kernel.faults.interrupted)) {
        errno = EINTR;
        return -1;
    }
    /* Sometimes the batch is cut where it would have been complete. */
    if (kernel_chance(4)) {
        size = 1 + (int)kernel_below(4 < size ? 4 : (uint64_t)size);
    }
    for (;;) {
        run_due();
        count = harvest(epoll, events, size);
        if (count > 0 || kernel.now_ns >= deadline_ns) {
            return count;
        }
        if (event_due(deadline_ns)) {
            kernel_step();
        } else {
            kernel.now_ns = deadline_ns + kernel_below(60000);
        }
    }
}

/* ---- eventfd ----------------------------------------------------------- */

int kernel_eventfd(unsigned count)
{
    struct file *file = file_open(FILE_EVENT);

    if (file == NULL) {
        return -1;
    }
    file->counter = count;
    return file->fd;
}

ssize_t kernel_eventfd_read(struct file *file, uint64_t *value)
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

ssize_t kernel_eventfd_write(struct file *file, uint64_t value)
{
    file->counter += value;
    file_wake(file, EPOLLIN);
    return sizeof(value);
}
