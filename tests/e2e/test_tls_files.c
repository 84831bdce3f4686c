/*
 * The files of TLS at a start and at a reload: none makes the process wait, and
 * the authorities that many services name are read once.
 */
#include "command.h"
#include "file.h"
#include "fixture.h"
#include "identity.h"
#include "proxy.h"
#include "teardown.h"
#include "tls_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- files without an end ---- */

enum { KEYS = 4 };

/* The lines of one service, each of which names the file by another key. */
static void lines_naming(const char *file, char lines[KEYS][1024])
{
    const struct identity *good = tls_fixture_identity();

    snprintf(lines[0], 1024, "tls_certificate = %s\ntls_key = %s\n", file,
             good->key);
    snprintf(lines[1], 1024, "tls_key = %s\ntls_certificate = %s\n", file,
             good->certificate);
    snprintf(lines[2], 1024, "tls_client_ca = %s\n%s", file,
             tls_fixture_keys(good));
    snprintf(lines[3], 1024, "upstream_tls_ca = %s\nupstream_tls = yes\n",
             file);
}

static void expect_refused_by_reload(struct fixture *fixture, const char *lines,
                                     const char *reason)
{
    char line[256];

    proxy_configure(fixture->proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s",
                    fixture->front.text, fixture->back.text, lines);
    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGHUP);
    snprintf(line, sizeof(line), "^reload refused: [^ ]*[.]ini:4: .*%s",
             reason);
    proxy_line(fixture->proxy, line);
}

static void a_file_without_an_end_is_refused_at_once(void **state)
{
    static char large[(4 << 20) + 2];
    char fifo[200];
    char big[200];
    char lines[KEYS][1024];
    struct fixture fixture;

    (void)state;
    memset(large, '\n', sizeof(large) - 1);
    snprintf(big, sizeof(big), "%s", file_write("large.pem", large));
    snprintf(fifo, sizeof(fifo), "%s", file_path("fifo.pem"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    const struct {
        const char *path;
        const char *reason;
    } files[] = {{fifo, "not a regular file"},
                 {"/dev/zero", "not a regular file"},
                 {big, "larger than 4 MiB"}};
    tls_fixture_open(&fixture, "", "");
    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) {
        lines_naming(files[i].path, lines);
        for (unsigned j = 0; j < KEYS; j++) {
            command_expect_error(lines[j], files[i].reason);
            expect_refused_by_reload(&fixture, lines[j], files[i].reason);
        }
    }
    fixture_close(&fixture);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        E2E(a_file_without_an_end_is_refused_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
