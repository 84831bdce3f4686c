#include "proc.h"

#include "socket.h"
#include "test.h"
#include "wait.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DESCRIPTORS_SEARCHED 256

/* ---- figures ---- */

static FILE *open_file(const struct proxy *proxy, const char *name)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)proxy_pid(proxy), name);
    file = fopen(path, "re");
    assert_non_null(file);
    return file;
}

uint64_t proc_status(const struct proxy *proxy, const char *key)
{
    FILE *file = open_file(proxy, "status");
    size_t length = strlen(key);
    uint64_t value = 0;
    bool found = false;
    char line[256];

    while (!found && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, length) == 0 && line[length] == ':') {
            value = strtoull(line + length + 1, NULL, 10);
            found = true;
        }
    }
    fclose(file);
    assert_true(found);
    return value;
}

uint64_t proc_resident(const struct proxy *proxy)
{
    return proc_status(proxy, "VmRSS") * 1024;
}

uint64_t proc_await_resident(const struct proxy *proxy, uint64_t most)
{
    int64_t limit = wait_now_ms() + 5000;
    uint64_t now = proc_resident(proxy);

    while (now > most && wait_now_ms() < limit) {
        wait_tick();
        now = proc_resident(proxy);
    }
    return now;
}

uint64_t proc_settled_resident(const struct proxy *proxy)
{
    int64_t limit = wait_now_ms() + 500;
    uint64_t least = UINT64_MAX;

    while (wait_now_ms() < limit) {
        uint64_t now = proc_resident(proxy);

        least = now < least ? now : least;
        wait_tick();
    }
    return least;
}

uint64_t proc_cpu_ms(const struct proxy *proxy)
{
    FILE *file = open_file(proxy, "stat");
    unsigned long user = 0;
    unsigned long system = 0;
    int found = fscanf(file,
                       "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u "
                       "%*u %lu %lu",
                       &user, &system);

    fclose(file);
    assert_int_equal(found, 2);
    return (user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

unsigned proc_entries(const struct proxy *proxy, const char *directory)
{
    char path[64];
    unsigned count = 0;
    DIR *list;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)proxy_pid(proxy),
             directory);
    list = opendir(path);
    assert_non_null(list);
    while (readdir(list) != NULL) {
        count++;
    }
    closedir(list);
    return count - 2; /* . and .. */
}

rlim_t proc_limit_descriptors(const struct proxy *proxy, rlim_t soft)
{
    pid_t pid = proxy_pid(proxy);
    struct rlimit limit;
    rlim_t before;

    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    before = limit.rlim_cur;
    limit.rlim_cur = soft;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
    return before;
}

/* ---- sockets ---- */

static bool has_address(int fd, const struct socket_address *wanted,
                        bool remote)
{
    struct socket_address found;
    struct sockaddr *address = (struct sockaddr *)&found.storage;
    int error;

    memset(&found, 0, sizeof(found));
    found.length = sizeof(found.storage);
    error = remote ? getpeername(fd, address, &found.length)
                   : getsockname(fd, address, &found.length);
    return error == 0 && found.length == wanted->length &&
           memcmp(&found.storage, &wanted->storage, wanted->length) == 0;
}

int proc_socket(const struct proxy *proxy, const struct loopback *address,
                bool remote)
{
    struct socket_address wanted = loopback_resolve(address);
    int pidfd = (int)syscall(SYS_pidfd_open, proxy_pid(proxy), 0);
    int found = -1;

    for (int n = 0; pidfd >= 0 && n < DESCRIPTORS_SEARCHED && found < 0; n++) {
        int fd = (int)syscall(SYS_pidfd_getfd, pidfd, n, 0);

        if (fd < 0) {
            continue;
        }
        if (has_address(fd, &wanted, remote)) {
            found = socket_adopt(fd);
        } else {
            close(fd);
        }
    }
    if (pidfd >= 0) {
        close(pidfd);
    }
    return found;
}
