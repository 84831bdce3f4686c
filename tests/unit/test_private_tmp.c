/* Paths that the service manager hides, by tables of mounts. */
#include "control/private_tmp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOT "21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
#define TMP                                                                    \
    "90 21 254:0 /tmp/systemd-private-0a1b-evproxy.service-x7/tmp /tmp rw "    \
    "master:1 - ext4 /dev/vda rw\n"
#define TMP_ON_TMPFS                                                           \
    "91 21 0:35 /systemd-private-0a1b-evproxy.service-x7/tmp /tmp rw - tmpfs " \
    "tmpfs rw\n"
#define VAR_TMP                                                                \
    "92 21 254:0 /var/tmp/systemd-private-0a1b-evproxy.service-x8/tmp "        \
    "/var/tmp rw - ext4 /dev/vda rw\n"
#define PUBLIC "93 21 0:35 / /tmp rw - tmpfs tmpfs rw\n"

static bool hides(const char *table, const char *path)
{
    char name[] = "/tmp/test_private_tmp.XXXXXX";
    int fd = mkstemp(name);
    bool result;

    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%s", table) >= 0);
    result = private_tmp_hides(name, path);
    unlink(name);
    close(fd);
    return result;
}

static void a_private_folder_hides_what_is_in_it(void **state)
{
    (void)state;
    assert_true(hides(ROOT TMP, "/tmp/a.sock"));
    assert_true(hides(ROOT TMP_ON_TMPFS, "/tmp/a/b.sock"));
    assert_true(hides(ROOT TMP VAR_TMP, "/var/tmp/a.sock"));
    assert_true(hides(ROOT PUBLIC TMP_ON_TMPFS, "/tmp/a.sock"));
}

static void nothing_else_is_hidden(void **state)
{
    (void)state;
    assert_false(hides(ROOT, "/tmp/a.sock"));
    assert_false(hides(ROOT PUBLIC, "/tmp/a.sock"));
    assert_false(hides(ROOT TMP PUBLIC, "/tmp/a.sock"));
    assert_false(hides(ROOT VAR_TMP, "/tmp/a.sock"));
    assert_false(hides(ROOT TMP, "/var/tmp/a.sock"));
    assert_false(hides(ROOT TMP, "/tmpfile"));
    assert_false(hides(ROOT TMP VAR_TMP, "/run/evproxy/a.sock"));
    assert_false(hides("", "/tmp/a.sock"));
    assert_false(private_tmp_hides("/nonexistent", "/tmp/a.sock"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_private_folder_hides_what_is_in_it),
        cmocka_unit_test(nothing_else_is_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
