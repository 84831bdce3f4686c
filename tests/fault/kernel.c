#include "kernel.h"

#include "base/hash.h"
#include "courier.h"
#include "file.h"
#include "path.h"
#include "stream.h"
#include "tube.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define EVENTS_MAX   1024
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
    file_forget_all();
    stream_forget_all();
    tube_forget_all();
    courier_forget_all();
    path_forget_all();
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

void kernel_run_due(void)
{
    while (event_due(kernel.now_ns)) {
        kernel_step();
    }
}

void kernel_sleep(uint64_t until_ns)
{
    if (event_due(until_ns)) {
        kernel_step();
    } else {
        kernel.now_ns = until_ns + kernel_below(60000);
    }
}

void kernel_enter(void)
{
    kernel.now_ns += kernel_below(2048);
    kernel_run_due();
}
