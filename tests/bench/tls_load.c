/*
 * tls_load: TLS clients for what netload, wrk and iperf3 do not offer. The
 * server behind the proxy is netload's echo.
 *
 *      tls_load MODE ADDRESS:PORT [-c connections] [-n total] [-d seconds]
 *               [-b bytes] [-s sources] [-2] [-r] [-k]
 *
 *   -2   TLS 1.2, not the newest version that both have
 *   -r   each connection resumes the session of the one before
 *   -k   kernel TLS where available
 *
 * Each mode prints one line of JSON. A mode with phases prints READY between
 * them, and waits for a line on standard input or its end:
 *   rate    connects, has -b bytes echoed and closes, -c at a time, for -d
 *           seconds or until -n connections
 *   hold    -c connections, each has -b bytes echoed and is then idle. Phases:
 *           all are connected; all are closed
 *   reqs    as hold, then -b bytes there and back on each without a pause, for
 *           -d seconds or until -n. Phases: all are connected; all is done
 *   stream  -c connections, -n bytes in both directions at once on each, every
 *           byte compared. Exit status 1 if a byte was lost, or a stream ended
 *           without a close_notify
 */
#include "tls_load.h"
#include "load.h"
#include "tls_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct mode {
    const char *name;
    int (*run)(void);
} modes[] = {
    {"rate", tls_run_rate},
    {"hold", tls_run_hold},
    {"reqs", tls_run_requests},
    {"stream", tls_run_stream},
};

static bool parse_options(int argc, char **argv,
                          struct tls_link_options *options)
{
    int option;

    while ((option = getopt(argc, argv, "c:n:d:b:s:2rk")) != -1) {
        switch (option) {
        case '2':
            options->version = TLS1_2_VERSION;
            break;
        case 'r':
            options->resume = true;
            break;
        case 'k':
            options->kernel = true;
            break;
        default:
            if (!load_set_option(option)) {
                return false;
            }
        }
    }
    return load.connections > 0 && load.sources > 0 && load.bytes > 0 &&
           load.bytes <= LOAD_BUFFER_BYTES;
}

int main(int argc, char **argv)
{
    struct tls_link_options options = {0};

    optind = 3; /* after the mode and the address */
    if (argc < 3 || !load_set_target(argv[2]) ||
        !parse_options(argc, argv, &options)) {
        fputs("usage: tls_load MODE ADDRESS:PORT [-c connections] [-n total] "
              "[-d seconds] [-b bytes] [-s sources] [-2] [-r] [-k]\n",
              stderr);
        return 2;
    }
    load_prepare();
    tls_link_set_up(&options);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            return modes[i].run();
        }
    }
    fprintf(stderr, "tls_load: unknown mode %s\n", argv[1]);
    return 2;
}
