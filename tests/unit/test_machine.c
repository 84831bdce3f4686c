/*
 * What the kernel allows, from folders that look like /proc.
 */
#include "control/machine.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct machine read_machine(void)
{
    struct machine machine;

    machine_read(&machine, folder);
    return machine;
}

static uint64_t ports_of(const char *range, const char *reserved)
{
    folder_put("sys/net/ipv4/ip_local_port_range", range);
    folder_put("sys/net/ipv4/ip_local_reserved_ports", reserved);
    return read_machine().ports;
}

static void the_files_are_read(void **state)
{
    struct machine machine;

    (void)state;
    folder_put("sys/fs/nr_open", "1048576\n");
    folder_put("sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
    folder_put("sys/net/ipv4/tcp_mem", "287898\t383867\t575796\n");
    folder_put("sys/net/ipv4/tcp_rmem", "4096\t131072\t33554432\n");
    folder_put("sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n");
    machine = read_machine();
    assert_int_equal(machine.descriptors_max, 1048576);
    assert_int_equal(machine.ports, 28232);
    assert_int_equal(machine.tcp.memory_bytes,
                     575796 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(machine.tcp.pressure_bytes,
                     383867 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(machine.tcp.low_bytes,
                     287898 * (uint64_t)sysconf(_SC_PAGESIZE));
    assert_int_equal(machine.tcp_receive_bytes, 131072);
    assert_int_equal(machine.tcp_send_bytes, 16384);
}

/* In a container only those of its network are there, without tcp_mem. */
static void files_that_are_not_there_are_no_limit(void **state)
{
    struct machine machine = read_machine();
    struct rlimit limit;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(machine.descriptors, limit.rlim_max);
    assert_true(machine.descriptors_max == UINT64_MAX);
    assert_int_equal(machine.ports, 0);
    assert_int_equal(machine.tcp.memory_bytes, 0);
    assert_int_equal(machine.tcp.pressure_bytes, 0);
    assert_true(machine.tcp.used_bytes == MACHINE_UNKNOWN);
    assert_int_equal(machine.tcp_receive_bytes, 0);
    assert_int_equal(machine.tcp_send_bytes, 0);
}

static void files_that_make_no_sense_are_no_limit(void **state)
{
    struct machine machine;

    (void)state;
    folder_put("sys/fs/nr_open", "");
    folder_put("sys/net/ipv4/ip_local_port_range", "60999 32768\n");
    folder_put("sys/net/ipv4/tcp_mem", "1 2\n");
    machine = read_machine();
    assert_true(machine.descriptors_max == UINT64_MAX);
    assert_int_equal(machine.ports, 0);
    assert_int_equal(machine.tcp.memory_bytes, 0);
    assert_int_equal(machine.tcp.pressure_bytes, 0);
}

/* MACHINE_UNKNOWN, or pages. */
static uint64_t used_of(const char *sockstat)
{
    struct machine_tcp tcp;

    folder_put("net/sockstat", sockstat);
    machine_read_tcp(&tcp, folder);
    return tcp.used_bytes == MACHINE_UNKNOWN
               ? MACHINE_UNKNOWN
               : tcp.used_bytes / (uint64_t)sysconf(_SC_PAGESIZE);
}

static void pages_of_sockets_are_those_of_tcp(void **state)
{
    (void)state;
    assert_int_equal(used_of("sockets: used 10\n"
                             "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\n"
                             "UDP: inuse 0 mem 75\n"),
                     3);
    assert_int_equal(used_of("TCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\n"), 0);
    assert_int_equal(used_of("TCP: mem 12 later 9\n"), 12);
}

static void odd_pages_of_sockets_are_not_known(void **state)
{
    static const char *const odd[] = {
        "",
        "TCP:",
        "TCP: inuse 5\nUDP: inuse 0 mem 75\n",
        "UDP: inuse 0 mem 75\n",
        "UDPTCP: mem 4\n",
        "TCP: inuse 5 mem\n",
        "TCP: inuse 5 mem \n",
        "TCP: mem -1\n",
        "TCP: mem x\n",
        "TCP: mem 3x\n",
        "TCP: mem 3",
        "TCP: mem 18446744073709551615\n",
        "TCP: mem 99999999999999999999999\n",
        "TCP: mem 4503599627370496\n",
    };
    char line[600];

    (void)state;
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        if (used_of(odd[i]) != MACHINE_UNKNOWN) {
            fail_msg("known: '%s'", odd[i]);
        }
    }
    /* A number that the end of a buffer could cut. */
    for (int spaces = 240; spaces < 260; spaces++) {
        uint64_t used;

        snprintf(line, sizeof(line), "TCP:%*s mem 123456\n", spaces, "");
        used = used_of(line);
        assert_true(used == MACHINE_UNKNOWN || used == 123456);
    }
}

static void reserved_ports_are_not_counted(void **state)
{
    (void)state;
    assert_int_equal(ports_of("40000\t40099\n", "\n"), 100);
    assert_int_equal(ports_of("40000\t40099\n", "40000\n"), 99);
    assert_int_equal(ports_of("40000\t40099\n", "8080,40010-40019,40050\n"),
                     89);
    assert_int_equal(ports_of("40000\t40099\n", "39990-40009,40090-40200\n"),
                     80);
    assert_int_equal(ports_of("40000\t40099\n", "1-39999,40100-65535\n"), 100);
    assert_int_equal(ports_of("40000\t40099\n", "1-65535\n"), 0);
    assert_int_equal(ports_of("40000\t40000\n", "nonsense\n"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_files_are_read, folder_make,
                                        folder_remove),
        cmocka_unit_test_setup_teardown(files_that_are_not_there_are_no_limit,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(files_that_make_no_sense_are_no_limit,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(pages_of_sockets_are_those_of_tcp,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(odd_pages_of_sockets_are_not_known,
                                        folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(reserved_ports_are_not_counted,
                                        folder_make, folder_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
