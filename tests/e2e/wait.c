#include "wait.h"

#include <poll.h>
#include <time.h>

#define LIMIT_MS      30000
#define LIMIT_SLOW_MS 50000
#define TICK_MS       5

int64_t wait_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t wait_limit_ms(void)
{
    return wait_now_ms() + (test_slow() ? LIMIT_SLOW_MS : LIMIT_MS);
}

void wait_sleep(int ms)
{
    struct timespec pause = {ms / 1000, (ms % 1000) * 1000000L};

    nanosleep(&pause, NULL);
}

void wait_tick(void)
{
    wait_sleep(TICK_MS);
}

bool wait_events(int fd, short events, int64_t limit_ms)
{
    for (;;) {
        struct pollfd look = {.fd = fd, .events = events};
        int64_t left = limit_ms - wait_now_ms();
        int found = poll(&look, 1, left > 0 ? (int)left : 0);

        if (found > 0) {
            return true;
        }
        if (found == 0 && left <= 0) {
            return false;
        }
    }
}

bool wait_readable(int fd, int ms)
{
    return wait_events(fd, POLLIN, wait_now_ms() + ms);
}
