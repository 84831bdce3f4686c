#include "delay.h"

#include "test.h"
#include "wait.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

#define THREADS_MAX 1024

/* The threads seen so far. One that has ended keeps its delay in the sums. */
static struct {
    int thread;
    int64_t ns;
} seen[THREADS_MAX];
static unsigned seen_count;

static int64_t request_ns;
static int64_t all_ns;

/* How much the delay of the thread has grown since it was asked last. */
static int64_t growth_ns(int thread, int64_t ns)
{
    int64_t before;
    unsigned i = 0;

    while (i < seen_count && seen[i].thread != thread) {
        i++;
    }
    if (i == THREADS_MAX) {
        return 0;
    }
    if (i == seen_count) {
        seen[seen_count++].thread = thread;
    }
    before = seen[i].ns;
    seen[i].ns = ns;
    return ns < before ? ns : ns - before; /* smaller: the number is reused */
}

/* The second number of a schedstat: nanoseconds on a run queue. */
static int64_t of_thread_ns(int pid, int thread)
{
    long long delay = 0;
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/schedstat", pid, thread);
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %lld", &delay) != 1) {
        delay = 0;
    }
    fclose(file);
    return growth_ns(thread, delay);
}

static void add_process(int pid)
{
    struct dirent *entry;
    char path[64];
    DIR *threads;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    threads = opendir(path);
    if (threads == NULL) {
        return;
    }
    while ((entry = readdir(threads)) != NULL) {
        int thread = atoi(entry->d_name);
        int64_t ns = thread == 0 ? 0 : of_thread_ns(pid, thread);

        all_ns += ns;
        request_ns += pid != getpid() || thread == pid ? ns : 0;
    }
    closedir(threads);
}

/* The main thread is the one that starts the children. */
static void add_all(void)
{
    char path[64];
    FILE *file;
    int pid;

    add_process(getpid());
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    while (fscanf(file, "%d", &pid) == 1) {
        add_process(pid);
    }
    fclose(file);
}

int64_t delay_of_request_ms(void)
{
    add_all();
    return request_ns / 1000000;
}

int64_t delay_of_all_ms(void)
{
    add_all();
    return all_ns / 1000000;
}

struct stopwatch stopwatch_start(void)
{
    return (struct stopwatch){wait_now_ms(), delay_of_all_ms()};
}

int64_t stopwatch_ms(const struct stopwatch *watch)
{
    return wait_now_ms() - watch->began_ms;
}

int64_t stopwatch_own_ms(const struct stopwatch *watch)
{
    int64_t took = stopwatch_ms(watch);
    int64_t delay = delay_of_all_ms() - watch->delay_ms;

    return MAX(took - delay, 0);
}

void stopwatch_expect(const struct stopwatch *watch, int64_t least_ms,
                      int64_t most_ms)
{
    int64_t took = stopwatch_ms(watch);
    int64_t own = stopwatch_own_ms(watch);

    if (took < least_ms || own > (test_slow() ? 10 * most_ms : most_ms)) {
        fail_msg("%d ms, %d of them without delay, instead of %d to %d",
                 (int)took, (int)own, (int)least_ms, (int)most_ms);
    }
}
