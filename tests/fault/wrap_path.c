#include "wrap.h"

#include "path.h"

#include <sys/stat.h>
#include <unistd.h>

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
