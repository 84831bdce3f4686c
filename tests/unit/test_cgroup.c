/*
 * The limits of control groups, from folders that look like the kernel's.
 */
#include "control/cgroup.h"

#include "base/base.h"
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static struct cgroup_limits limits_of(const char *membership)
{
    struct cgroup_limits limits;
    char path[128];

    folder_put("membership", membership);
    snprintf(path, sizeof(path), "%s/membership", folder);
    cgroup_read(path, folder, &limits);
    return limits;
}

static void without_groups_there_is_no_limit(void **state)
{
    struct cgroup_limits limits;

    (void)state;
    cgroup_read("/nowhere", "/nowhere", &limits);
    assert_true(limits.processors == UINT64_MAX);
    assert_true(limits.memory_bytes == UINT64_MAX);
    limits = limits_of("0::/a/b\n");
    assert_true(limits.processors == UINT64_MAX);
    folder_put("a/b/cpu.max", "max 100000\n");
    folder_put("a/b/memory.max", "max\n");
    limits = limits_of("0::/a/b\n");
    assert_true(limits.processors == UINT64_MAX);
    assert_true(limits.memory_bytes == UINT64_MAX);
}

static void a_quota_is_rounded_up(void **state)
{
    (void)state;
    folder_put("a/b/cpu.max", "150000 100000\n");
    assert_int_equal(limits_of("0::/a/b\n").processors, 2);
    folder_put("a/b/cpu.max", "200000 100000\n");
    assert_int_equal(limits_of("0::/a/b\n").processors, 2);
    folder_put("a/b/cpu.max", "1000 100000\n");
    assert_int_equal(limits_of("0::/a/b\n").processors, 1);
}

static void the_least_of_all_groups_above_holds(void **state)
{
    struct cgroup_limits limits;

    (void)state;
    folder_put("a/b/cpu.max", "800000 100000\n");
    folder_put("a/b/memory.max", "900000\n");
    folder_put("a/cpu.max", "300000 100000\n");
    folder_put("a/memory.max", "1000000\n");
    limits = limits_of("0::/a/b\n");
    assert_int_equal(limits.processors, 3);
    assert_int_equal(limits.memory_bytes, 900000);
}

static void in_a_container_the_mount_itself_is_the_group(void **state)
{
    struct cgroup_limits limits;

    (void)state;
    folder_put("cpu.max", "100000 100000\n");
    folder_put("memory.max", "65536\n");
    limits = limits_of("0::/docker/0123456789\n");
    assert_int_equal(limits.processors, 1);
    assert_int_equal(limits.memory_bytes, 65536);
}

static void version_1_has_a_folder_for_each_controller(void **state)
{
    struct cgroup_limits limits;

    (void)state;
    folder_put("cpu/a/cpu.cfs_quota_us", "250000\n");
    folder_put("cpu/a/cpu.cfs_period_us", "100000\n");
    folder_put("cpu/cpu.cfs_quota_us", "-1\n");
    folder_put("cpu/cpu.cfs_period_us", "100000\n");
    folder_put("memory/b/memory.limit_in_bytes", "1048576\n");
    folder_put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    limits = limits_of("9:name=systemd:/\n4:memory:/b\n3:cpuset:/\n"
                       "2:cpuacct,cpu:/a\n0::/\n");
    assert_int_equal(limits.processors, 3);
    assert_int_equal(limits.memory_bytes, 1048576);
    limits = limits_of("4:memory:/\n2:cpu,cpuacct:/\n");
    assert_true(limits.processors == UINT64_MAX);
    assert_true(limits.memory_bytes == UINT64_MAX);
}

static void what_makes_no_sense_sets_no_limit(void **state)
{
    static const char *const memberships[] = {
        "", "\n", "0\n", "0:\n", "0::\n", ":::::\n", "0::a\n", "1:cpu:\n",
    };
    struct cgroup_limits limits;

    (void)state;
    folder_put("a/cpu.max", "100000\n");
    folder_put("a/memory.max", "-5\n");
    limits = limits_of("0::/a\n");
    assert_true(limits.processors == UINT64_MAX);
    assert_true(limits.memory_bytes == UINT64_MAX);
    folder_put("a/cpu.max", "100000 0\n");
    folder_put("a/memory.max", "");
    limits = limits_of("0::/a\n");
    assert_true(limits.processors == UINT64_MAX);
    assert_true(limits.memory_bytes == UINT64_MAX);
    for (size_t i = 0; i < ARRAY_LEN(memberships); i++) {
        assert_true(limits_of(memberships[i]).processors == UINT64_MAX);
    }
}

#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(without_groups_there_is_no_limit),
        CASE(a_quota_is_rounded_up),
        CASE(the_least_of_all_groups_above_holds),
        CASE(in_a_container_the_mount_itself_is_the_group),
        CASE(version_1_has_a_folder_for_each_controller),
        CASE(what_makes_no_sense_sets_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
