#include "base/file.h"

#include "base/value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads to the end. NULL with errno; EFBIG for more than most bytes. */
static char *read_all(int fd, size_t most, size_t *count)
{
    char *text = malloc(most + 1);
    size_t used = 0;
    ssize_t got;

    if (text == NULL) {
        return NULL;
    }
    do {
        got = read(fd, text + used, most + 1 - used);
        used += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && used <= most) || (got < 0 && errno == EINTR));
    if (got >= 0 && used <= most) {
        text[used] = '\0';
        *count = used;
        return text;
    }
    free(text);
    errno = got < 0 ? errno : EFBIG;
    return NULL;
}

/* NULL with errno; EINVAL if the path is not a regular file. */
static char *read_regular(const char *path, size_t most, size_t *count)
{
    /* With O_NONBLOCK a FIFO cannot block a reload. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    char *text = NULL;
    int error;

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        goto out;
    }
    text = read_all(fd, most, count);
out:
    error = errno;
    close(fd);
    errno = error;
    return text;
}

char *file_read(const char *path, unsigned most_mib, size_t *count,
                const char **why)
{
    char *text = read_regular(path, (size_t)most_mib << 20, count);

    if (text != NULL) {
        return text;
    }
    switch (errno) {
    case EINVAL:
        *why = "it is not a regular file";
        break;
    case EFBIG:
        *why = value_sentence("it is larger than %u MiB", most_mib);
        break;
    default:
        *why = value_sentence("cannot be read: %s", strerror(errno));
        break;
    }
    return NULL;
}
