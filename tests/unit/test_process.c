#include "control/process.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

/* One, but under qemu-user, which has a thread of its own. */
static unsigned tasks(void)
{
    DIR *folder = opendir("/proc/self/task");
    unsigned count = 0;

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

static void the_figures_are_those_of_this_process(void **state)
{
    struct process_figures figures;

    (void)state;
    process_read(&figures, 0);
    assert_true(figures.resident_bytes > 100 * 1024);
    assert_true(figures.virtual_bytes >= figures.resident_bytes);
    assert_int_equal(figures.threads, tasks());
    assert_true(figures.max_descriptors > 2);
}

static void open_descriptors_are_counted(void **state)
{
    struct process_figures before, after;
    int fd;

    (void)state;
    process_read(&before, 0);
    fd = dup(0);
    process_read(&after, 0);
    close(fd);
    assert_true(before.open_descriptors > 0);
    assert_int_equal(after.open_descriptors, before.open_descriptors + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_figures_are_those_of_this_process),
        cmocka_unit_test(open_descriptors_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
