#include "control/machine.h"

#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <unistd.h>

static FILE *open_file(const char *proc, const char *name)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", proc, name) >=
        (int)sizeof(path)) {
        return NULL;
    }
    return fopen(path, "re");
}

/* Reads the numbers that the file begins with. Returns how many. */
static int read_numbers(const char *proc, const char *name, uint64_t numbers[3])
{
    FILE *file = open_file(proc, name);
    int count;

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

static void read_ports(struct machine *machine, const char *proc)
{
    uint64_t range[3];
    FILE *file;

    if (read_numbers(proc, "sys/net/ipv4/ip_local_port_range", range) != 2 ||
        range[0] > range[1]) {
        return;
    }
    machine->ports = range[1] - range[0] + 1;
    file = open_file(proc, "sys/net/ipv4/ip_local_reserved_ports");
    if (file != NULL) {
        machine->ports -= reserved_ports(file, range[0], range[1]);
        fclose(file);
    }
}

/* MACHINE_UNKNOWN: too many. */
static uint64_t bytes_of_pages(uint64_t pages)
{
    uint64_t bytes;

    return __builtin_mul_overflow(pages, (uint64_t)sysconf(_SC_PAGESIZE),
                                  &bytes)
               ? MACHINE_UNKNOWN
               : bytes;
}

/* The number behind "mem" in "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3". */
static uint64_t read_used_pages(FILE *file)
{
    static const char begin[] = "TCP:", name[] = " mem ";
    char line[256];
    const char *at = NULL;
    uint64_t pages;
    char *end;

    while (at == NULL) {
        if (fgets(line, sizeof(line), file) == NULL) {
            return MACHINE_UNKNOWN;
        }
        if (strncmp(line, begin, strlen(begin)) == 0) {
            at = line;
        }
    }
    at = strstr(at, name);
    if (at == NULL || !isdigit((unsigned char)at[strlen(name)])) {
        return MACHINE_UNKNOWN;
    }
    pages = strtoull(at + strlen(name), &end, 10);
    return *end == '\n' || *end == ' ' ? pages : MACHINE_UNKNOWN;
}

void machine_read_tcp(struct machine_tcp *tcp, const char *proc)
{
    FILE *file = open_file(proc, "net/sockstat");
    uint64_t numbers[3];

    *tcp = (struct machine_tcp){.used_bytes = MACHINE_UNKNOWN};
    if (file != NULL) {
        tcp->used_bytes = bytes_of_pages(read_used_pages(file));
        fclose(file);
    }
    if (read_numbers(proc, "sys/net/ipv4/tcp_mem", numbers) == 3) {
        tcp->low_bytes = bytes_of_pages(numbers[0]);
        tcp->pressure_bytes = bytes_of_pages(numbers[1]);
        tcp->memory_bytes = bytes_of_pages(numbers[2]);
    }
}

uint64_t machine_descriptors_max(const char *proc)
{
    uint64_t numbers[3];

    return read_numbers(proc, "sys/fs/nr_open", numbers) > 0 ? numbers[0]
                                                             : MACHINE_UNKNOWN;
}

void machine_read(struct machine *machine, const char *proc)
{
    struct rlimit limit;
    uint64_t numbers[3];

    *machine =
        (struct machine){.descriptors_max = machine_descriptors_max(proc)};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        machine->descriptors = limit.rlim_max;
    }
    read_ports(machine, proc);
    machine_read_tcp(&machine->tcp, proc);
    /* Of each of these the least, the default, and the most. */
    if (read_numbers(proc, "sys/net/ipv4/tcp_rmem", numbers) == 3) {
        machine->tcp_receive_bytes = numbers[1];
    }
    if (read_numbers(proc, "sys/net/ipv4/tcp_wmem", numbers) == 3) {
        machine->tcp_send_bytes = numbers[1];
    }
}
