#include "control/cgroup.h"

#include "base/base.h"
#include "base/value.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

/* Version 1 writes "no limit" as a number near 2^63. */
#define MEMORY_MAX (UINT64_C(1) << 60)

#define TEXT_MAX 128

/* Reads the first line of a file. False: there is none. */
static bool read_line(const char *folder, const char *name, char text[TEXT_MAX])
{
    char path[PATH_MAX];
    bool read;
    FILE *file;

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >=
        (int)sizeof(path)) {
        return false;
    }
    file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    read = fgets(text, TEXT_MAX, file) != NULL;
    fclose(file);
    text[read ? strcspn(text, "\n") : 0] = '\0';
    return read;
}

static void limit_processors(struct cgroup_limits *limits, const char *quota,
                             const char *period)
{
    uint64_t quota_us, period_us;

    if (value_number(quota, 1, UINT32_MAX, &quota_us) == NULL &&
        value_number(period, 1, UINT32_MAX, &period_us) == NULL) {
        limits->processors =
            MIN(limits->processors, (quota_us + period_us - 1) / period_us);
    }
}

static void limit_memory(struct cgroup_limits *limits, const char *text)
{
    uint64_t bytes;

    if (value_number(text, 1, MEMORY_MAX, &bytes) == NULL) {
        limits->memory_bytes = MIN(limits->memory_bytes, bytes);
    }
}

/* The limits of one group, by the files of both versions: a folder has those of
 * one. */
static void read_group(const char *folder, struct cgroup_limits *limits)
{
    char text[TEXT_MAX], period[TEXT_MAX];

    if (read_line(folder, "cpu.max", text)) { /* "QUOTA PERIOD" or "max ..." */
        char *space = strchr(text, ' ');

        if (space != NULL) {
            *space = '\0';
            limit_processors(limits, text, space + 1);
        }
    }
    if (read_line(folder, "cpu.cfs_quota_us", text) &&
        read_line(folder, "cpu.cfs_period_us", period)) {
        limit_processors(limits, text, period);
    }
    if (read_line(folder, "memory.max", text) ||
        read_line(folder, "memory.limit_in_bytes", text)) {
        limit_memory(limits, text);
    }
}

/* The group of that path below the mount of its controllers, and those above
 * it. In a container the path may be the host's, and only the mount's own
 * folder be there. */
static void read_groups(const char *mount, const char *controllers,
                        const char *path, struct cgroup_limits *limits)
{
    char folder[PATH_MAX];
    size_t top;
    int length = snprintf(folder, sizeof(folder), "%s/%s", mount, controllers);

    if (length < 0 || (size_t)length >= sizeof(folder)) {
        return;
    }
    top = (size_t)length;
    if (snprintf(folder + top, sizeof(folder) - top, "%s", path) >=
        (int)(sizeof(folder) - top)) {
        folder[top] = '\0';
    }
    for (;;) {
        char *slash = strrchr(folder + top, '/');

        read_group(folder, limits);
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

/* Splits "ID:CONTROLLERS:PATH" in place. Version 2 has no controllers there. */
static void read_membership(char *line, const char *mount,
                            struct cgroup_limits *limits)
{
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    char *one, *rest;

    if (path == NULL) {
        return;
    }
    *controllers++ = '\0';
    *path++ = '\0';
    if (*controllers == '\0') {
        read_groups(mount, "", path, limits);
        read_groups(mount, "unified", path, limits); /* beside version 1 */
    }
    for (one = strtok_r(controllers, ",", &rest); one != NULL;
         one = strtok_r(NULL, ",", &rest)) {
        if (strcmp(one, "cpu") == 0 || strcmp(one, "memory") == 0) {
            read_groups(mount, one, path, limits);
        }
    }
}

void cgroup_read(const char *membership, const char *mount,
                 struct cgroup_limits *limits)
{
    FILE *file = fopen(membership, "re");
    char line[PATH_MAX + TEXT_MAX];

    *limits = (struct cgroup_limits){UINT64_MAX, UINT64_MAX};
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        read_membership(line, mount, limits);
    }
    fclose(file);
}

void cgroup_read_own(struct cgroup_limits *limits)
{
    cgroup_read("/proc/self/cgroup", "/sys/fs/cgroup", limits);
}
