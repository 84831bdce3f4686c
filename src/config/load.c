#include "config/load.h"

#include "config/check.h"
#include "config/draft.h"
#include "config/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct config *load_text(const char *text, size_t count,
                         struct config_errors *errors)
{
    size_t errors_before = errors->count;
    struct draft draft;

    if (draft_init(&draft, errors) == 0) {
        ini_parse(text, count, draft_event, &draft);
        check_whole(&draft);
        draft_complete(&draft);
    }
    config_errors_sort(errors, errors_before);
    return draft_finish(&draft);
}

/* Reads a regular file to its end. Returns the bytes, to be freed, or NULL with
 * errno; EFBIG if there are more than the parser takes. */
static char *read_all(int fd, size_t *count)
{
    const size_t size = INI_BYTES_MAX + 1;
    char *text = malloc(size);
    size_t used = 0;
    ssize_t got;

    if (text == NULL) {
        return NULL;
    }
    do {
        got = read(fd, text + used, size - used);
        used += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && used < size) || (got < 0 && errno == EINTR));
    if (got >= 0 && used <= INI_BYTES_MAX) {
        *count = used;
        return text;
    }
    free(text);
    errno = got < 0 ? errno : EFBIG;
    return NULL;
}

/* Returns the text of the file, to be freed, or NULL with errno; EINVAL if the
 * path is not a regular file. */
static char *read_file(const char *path, size_t *count)
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
    text = read_all(fd, count);
out:
    error = errno;
    close(fd);
    errno = error;
    return text;
}

struct config *load_file(const char *path, struct config_errors *errors)
{
    struct config *config;
    size_t count;
    char *text = read_file(path, &count);

    if (text != NULL) {
        config = load_text(text, count, errors);
        free(text);
        return config;
    }
    if (errno == EINVAL) {
        config_errors_add(errors, 0, "it is not a regular file");
    } else if (errno == EFBIG) {
        config_errors_add(errors, 0, "it is larger than 1 MiB");
    } else {
        config_errors_add(errors, 0, "cannot be read: %m");
    }
    return NULL;
}
