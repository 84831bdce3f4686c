#include "path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PATHS_MAX 8

struct path {
    char text[108];
    ino_t inode; /* 0: there is none */
};

static struct path paths[PATHS_MAX];
static ino_t last_inode;

void path_forget_all(void)
{
    memset(paths, 0, sizeof(paths));
    last_inode = 0;
}

bool path_is_simulated(const char *path)
{
    return strncmp(path, PATH_FOLDER, strlen(PATH_FOLDER)) == 0;
}

static struct path *find(const char *path)
{
    for (unsigned i = 0; i < PATHS_MAX; i++) {
        if (paths[i].inode != 0 && strcmp(paths[i].text, path) == 0) {
            return &paths[i];
        }
    }
    return NULL;
}

int path_make(const char *path)
{
    unsigned at = 0;

    if (find(path) != NULL) {
        errno = EADDRINUSE;
        return -1;
    }
    while (at < PATHS_MAX && paths[at].inode != 0) {
        at++;
    }
    if (at == PATHS_MAX) {
        errno = ENOSPC;
        return -1;
    }
    (void)snprintf(paths[at].text, sizeof(paths[at].text), "%s", path);
    paths[at].inode = ++last_inode;
    return 0;
}

int path_stat(const char *path, struct stat *status)
{
    const struct path *found = find(path);

    if (found == NULL) {
        errno = ENOENT;
        return -1;
    }
    *status = (struct stat){.st_ino = found->inode, .st_mode = S_IFSOCK};
    return 0;
}

int path_remove(const char *path)
{
    struct path *found = find(path);

    if (found == NULL) {
        errno = ENOENT;
        return -1;
    }
    found->inode = 0;
    return 0;
}

unsigned path_count(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PATHS_MAX; i++) {
        count += paths[i].inode != 0;
    }
    return count;
}
