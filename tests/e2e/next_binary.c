#include "next_binary.h"

#include "file.h"
#include "socket.h"
#include "test.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINK   "evproxy-link"
#define SCRIPT "evproxy-script"

/* By rename, so that the link is there all the time. */
static void lead_to(const char *target)
{
    char temporary[200];

    snprintf(temporary, sizeof(temporary), "%s", file_path(LINK ".new"));
    unlink(temporary);
    assert_int_equal(symlink(target, temporary), 0);
    assert_int_equal(rename(temporary, file_path(LINK)), 0);
}

static const char *true_binary(void)
{
    static char path[PATH_MAX];

    assert_non_null(realpath(proxy_binary(), path));
    return path;
}

void next_binary_preload(const char *name, char *variable, size_t size)
{
    const char *binary = true_binary();

    assert_in_range(
        snprintf(variable, size, "LD_PRELOAD=%.*s/tests/e2e/preload/%s.so",
                 (int)(strrchr(binary, '/') - binary), binary, name),
        1, size - 1);
}

void next_binary_restore(void)
{
    lead_to(true_binary());
}

const char *next_binary_link(void)
{
    next_binary_restore();
    return file_path(LINK);
}

void next_binary_text(const char *text)
{
    char path[200];

    snprintf(path, sizeof(path), "%s", file_write(SCRIPT, text));
    assert_int_equal(chmod(path, 0755), 0);
    lead_to(path);
}

void next_binary_script(const char *lines)
{
    char text[PATH_MAX + 512];

    snprintf(text, sizeof(text), "#!/bin/sh\n%s\nexec %s \"$@\"\n", lines,
             true_binary());
    next_binary_text(text);
}

void next_binary_fixture(struct fixture *fixture,
                         const char *const *environment, const char *service)
{
    struct proxy_options options = {.environment = environment};
    char path[200];

    snprintf(path, sizeof(path), "%s", next_binary_link());
    options.binary = path;
    *fixture =
        (struct fixture){.front = loopback_new(), .back = loopback_new()};
    fixture->listener = socket_listen(&fixture->back);
    fixture->proxy =
        proxy_launch(&options,
                     "[global]\nworkers = 2\n"
                     "[service web]\nlisten = %s\n"
                     "upstream = %s\n%s\n",
                     fixture->front.text, fixture->back.text, service);
}

const char *next_binary_expect_failure(struct fixture *fixture,
                                       const struct pair *pair,
                                       const char *regex)
{
    const char *line;

    proxy_mark(fixture->proxy);
    proxy_signal(fixture->proxy, SIGUSR2);
    pair_ping(pair);
    line = proxy_line(fixture->proxy, "^upgrade (failed|refused) |^upgraded ");
    proxy_line(fixture->proxy, regex);
    pair_ping(pair);
    return line;
}
