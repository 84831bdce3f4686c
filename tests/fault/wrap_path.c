#include "wrap.h"

#include "path.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The real kernel's tables do not know the simulated sockets, and a machine
 * that has many connections is slow to write them. */
CALL(FILE *, fopen, const char *path, const char *mode)
{
    if (kernel_running() && strncmp(path, "/proc/", strlen("/proc/")) == 0) {
        errno = ENOENT;
        return NULL;
    }
    return __real_fopen(path, mode);
}

CALL(int, stat, const char *path, struct stat *status)
{
    if (!kernel_running() || !path_is_simulated(path)) {
        return __real_stat(path, status);
    }
    return path_stat(path, status);
}

CALL(int, lstat, const char *path, struct stat *status)
{
    if (!kernel_running() || !path_is_simulated(path)) {
        return __real_lstat(path, status);
    }
    return path_stat(path, status);
}

CALL(int, unlink, const char *path)
{
    if (!kernel_running() || !path_is_simulated(path)) {
        return __real_unlink(path);
    }
    return path_remove(path);
}
