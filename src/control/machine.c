#include "control/machine.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads the numbers that the file begins with. Returns how many. */
static int read_numbers(const char *settings, const char *name,
                        uint64_t numbers[3])
{
    char path[PATH_MAX];
    FILE *file;
    int count;

    if (snprintf(path, sizeof(path), "%s/%s", settings, name) >=
        (int)sizeof(path)) {
        return 0;
    }
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    count = fscanf(file, "%" SCNu64 " %" SCNu64 " %" SCNu64, &numbers[0],
                   &numbers[1], &numbers[2]);
    fclose(file);
    return MAX(count, 0);
}

/* How many ports from first to last the file of reserved ones lists: "8080" or
 * "9000-9099", separated by commas, in order, none twice. */
static uint64_t reserved_ports(FILE *file, uint64_t first, uint64_t last)
{
    uint64_t from, to, count = 0;

    while (fscanf(file, "%" SCNu64, &from) == 1) {
        int next = getc(file);

        to = from;
        if (next == '-') {
            if (fscanf(file, "%" SCNu64, &to) != 1) {
                break;
            }
            next = getc(file);
        }
        from = MAX(from, first);
        to = MIN(to, last);
        count += from <= to ? to - from + 1 : 0;
        if (next != ',') {
            break;
        }
    }
    return count;
}

static void read_ports(struct machine *machine, const char *settings)
{
    uint64_t range[3];
    char path[PATH_MAX];
    FILE *file;

    if (read_numbers(settings, "net/ipv4/ip_local_port_range", range) != 2 ||
        range[0] > range[1]) {
        return;
    }
    machine->ports = range[1] - range[0] + 1;
    if (snprintf(path, sizeof(path), "%s/net/ipv4/ip_local_reserved_ports",
                 settings) >= (int)sizeof(path)) {
        return;
    }
    file = fopen(path, "re");
    if (file != NULL) {
        machine->ports -= reserved_ports(file, range[0], range[1]);
        fclose(file);
    }
}

uint64_t machine_descriptors_max(const char *settings)
{
    uint64_t numbers[3];

    return read_numbers(settings, "fs/nr_open", numbers) > 0 ? numbers[0]
                                                             : UINT64_MAX;
}

void machine_read(struct machine *machine, const char *settings)
{
    struct rlimit limit;
    uint64_t numbers[3];

    *machine =
        (struct machine){.descriptors_max = machine_descriptors_max(settings)};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        machine->descriptors = limit.rlim_max;
    }
    read_ports(machine, settings);
    /* Of each of these the least, the default (of tcp_mem: where the kernel
     * begins to save), and the most. */
    if (read_numbers(settings, "net/ipv4/tcp_mem", numbers) == 3) {
        machine->tcp_memory_bytes =
            numbers[2] * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    if (read_numbers(settings, "net/ipv4/tcp_rmem", numbers) == 3) {
        machine->tcp_receive_bytes = numbers[1];
    }
    if (read_numbers(settings, "net/ipv4/tcp_wmem", numbers) == 3) {
        machine->tcp_send_bytes = numbers[1];
    }
}
