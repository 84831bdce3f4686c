#include "delay.h"

#include "test.h"
#include "wait.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

/* The second number of a schedstat: nanoseconds on a run queue. A thread that
 * has ended has none. */
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
    return delay;
}

static int64_t of_process_ns(int pid)
{
    int64_t delay = 0;
    struct dirent *entry;
    char path[64];
    DIR *threads;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    threads = opendir(path);
    if (threads == NULL) {
        return 0;
    }
    while ((entry = readdir(threads)) != NULL) {
        delay += of_thread_ns(pid, atoi(entry->d_name));
    }
    closedir(threads);
    return delay;
}

/* The main thread is the one that starts them. */
static int64_t of_children_ns(void)
{
    int64_t delay = 0;
    char path[64];
    FILE *file;
    int pid;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    while (fscanf(file, "%d", &pid) == 1) {
        delay += of_process_ns(pid);
    }
    fclose(file);
    return delay;
}

int64_t delay_of_request_ms(void)
{
    return (of_thread_ns(getpid(), getpid()) + of_children_ns()) / 1000000;
}

int64_t delay_of_all_ms(void)
{
    return (of_process_ns(getpid()) + of_children_ns()) / 1000000;
}

struct stopwatch stopwatch_start(void)
{
    return (struct stopwatch){wait_now_ms(), delay_of_all_ms()};
}

int64_t stopwatch_ms(const struct stopwatch *watch)
{
    return wait_now_ms() - watch->began_ms;
}

/* A thread that has ended takes its delay out of the sum. */
int64_t stopwatch_own_ms(const struct stopwatch *watch)
{
    int64_t took = stopwatch_ms(watch);
    int64_t delay = delay_of_all_ms() - watch->delay_ms;

    return MAX(took - MAX(delay, 0), 0);
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
