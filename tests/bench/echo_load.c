/*
 * echo_load: a TCP echo server and client that use little memory, to measure
 * proxies with very many connections.
 *
 *      echo_load server PORT [ADDRESSES]
 *
 * echoes on 127.0.1.1 .. 127.0.1.ADDRESSES, with two threads. It keeps no state
 * for a connection: what was read is sent back at once, and a connection that
 * does not accept all of it is closed and counted. On SIGTERM it prints the
 * counters as a line of JSON.
 *
 *      echo_load client HOST PORT N SECONDS RATE SIZE MINGAP MAXGAP [IDLE_S]
 *
 * 1. Opens N connections, at most RATE a second, from 127.0.2.1 .. 127.0.2.250
 *    in turn. Each sends a message and waits for its echo, so a connection that
 *    only the kernel has accepted does not count.
 * 2. Prints "echo_load: idle ..." on standard error, and is idle for IDLE_S.
 * 3. Prints "echo_load: hold ...". For SECONDS, each connection sends a message
 *    of SIZE bytes after a random pause of MINGAP..MAXGAP seconds since its
 * last echo. Every byte that comes back is compared (see echo_message.h). With
 *    MAXGAP 0 there are no more messages.
 * 4. Prints "echo_load: end ..." and one line of JSON on standard output. The
 *    latencies are those of step 3, or of the first messages if MAXGAP is 0.
 *
 * Exit status: 0 if all N connections were held and every byte was right, 1 if
 * not, 2 if the set-up failed.
 */
#include "echo_load.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

noreturn void echo_die(const char *format, ...)
{
    va_list arguments;

    fputs("echo_load: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

double echo_number(const char *what, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= min && value <= max)) {
        echo_die("%s: %s is not a number from %g to %g", what, text, min, max);
    }
    return value;
}

void echo_nodelay(int fd)
{
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void allow_many_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    allow_many_files();
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "server") == 0) {
        return echo_server(argc - 2, argv + 2);
    }
    if ((argc == 10 || argc == 11) && strcmp(argv[1], "client") == 0) {
        return echo_client(argc - 2, argv + 2);
    }
    echo_die("usage: echo_load server PORT [ADDRESSES]\n"
             "       echo_load client HOST PORT N SECONDS RATE SIZE "
             "MINGAP MAXGAP [IDLE_S]");
}
