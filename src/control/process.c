#include "control/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t ns_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_usec * 1000;
}

/* The number behind the first "name:" of /proc/self/status; in it, sizes are in
 * kB. */
static uint64_t value_of(const char *status, const char *name)
{
    const char *at = strstr(status, name);
    uint64_t value = 0;

    if (at == NULL || sscanf(at + strlen(name), ": %" SCNu64, &value) != 1) {
        return 0;
    }
    return value;
}

static void read_status(struct process_figures *figures)
{
    FILE *file = fopen("/proc/self/status", "re");
    char status[4096];
    size_t count;

    if (file == NULL) {
        return;
    }
    count = fread(status, 1, sizeof(status) - 1, file);
    fclose(file);
    status[count] = '\0';
    figures->virtual_bytes = value_of(status, "\nVmSize") * 1024;
    figures->resident_bytes = value_of(status, "\nVmRSS") * 1024;
    figures->threads = value_of(status, "\nThreads");
}

static uint64_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint64_t count = 0;

    if (directory == NULL) {
        return 0;
    }
    while ((entry = readdir(directory)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count - 1; /* that of the directory */
}

static uint64_t open_descriptors(uint64_t likely)
{
    struct stat status;

    if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0) {
        return (uint64_t)status.st_size;
    }
    return likely < PROCESS_COUNTED_MAX ? count_descriptors() : 0;
}

void process_read(struct process_figures *figures, uint64_t likely_descriptors)
{
    struct rusage usage;
    struct rlimit limit;

    *figures = (struct process_figures){0};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        figures->cpu_ns = ns_of(&usage.ru_utime) + ns_of(&usage.ru_stime);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        figures->max_descriptors = limit.rlim_cur;
    }
    read_status(figures);
    figures->open_descriptors = open_descriptors(likely_descriptors);
}
