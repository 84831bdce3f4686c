#include "control/private_tmp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* systemd mounts /tmp/systemd-private-ID-UNIT-RANDOM/tmp, or the same of
 * /var/tmp, over the folder. */
#define MARK "/systemd-private-"

static bool is_inside(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && path[length] == '/';
}

bool private_tmp_hides(const char *mounts, const char *path)
{
    FILE *file;
    char *row = NULL;
    size_t size = 0;
    bool hides = false;

    if (!is_inside(path, "/tmp") && !is_inside(path, "/var/tmp")) {
        return false;
    }
    file = fopen(mounts, "re");
    while (file != NULL && getline(&row, &size, file) > 0) {
        char root[512], point[16];

        /* A later mount on the same folder covers an earlier one. */
        if (sscanf(row, "%*u %*u %*s %511s %15s", root, point) == 2 &&
            (strcmp(point, "/tmp") == 0 || strcmp(point, "/var/tmp") == 0) &&
            is_inside(path, point)) {
            hides = strstr(root, MARK) != NULL;
        }
    }
    free(row);
    if (file != NULL) {
        fclose(file);
    }
    return hides;
}
