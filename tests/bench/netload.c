/*
 * netload: the small servers and clients that the benchmark needs and that wrk
 * and iperf3 do not offer.
 *
 *      netload MODE ADDRESS:PORT [-c connections] [-n total] [-d seconds]
 *              [-b bytes] [-s sources] [-k burst] [-w window] [-p ms]
 *              [-g]
 *
 * Servers, until killed:
 *   echo   sends back what arrives
 *   push   after the first byte, sends without end
 *   udpecho  sends a datagram back, or as much of it as was asked for
 * Clients; each prints one line of JSON. Those with phases print READY, and go
 * on when a line, or the end, of standard input has come:
 *   rate   one HTTP request a connection, -c in flight, for -d seconds or until
 *          -n connections
 *   reqs   -n requests over -c connections that stay. Phases: all are connected
 *          and warm; all requests are done
 *   ping   -n round trips of -b bytes to an echo server, one by one
 *   hold   -c connections, each has -b bytes echoed, then is idle. Phases: all
 *          are connected; all are closed
 *   storm  -c connections to a push server, each reads -b bytes, then nothing.
 *          Phases as for hold
 *   udp    -c clients send bursts of -k datagrams of -b bytes, as long as fewer
 *          than -w of them are without their answer (see load_udp.c). Phases:
 *          each had an answer; -d seconds, or -n datagrams, are over
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct mode {
    const char *name;
    int (*run)(void);
} modes[] = {
    {"echo", load_serve_echo}, {"push", load_serve_push},
    {"rate", load_run_rate},   {"reqs", load_run_requests},
    {"ping", load_run_ping},   {"hold", load_run_hold},
    {"storm", load_run_storm}, {"udpecho", load_serve_udp},
    {"udp", load_run_udp},
};

static bool parse_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "c:n:d:b:s:k:w:p:g")) != -1) {
        switch (option) {
        case 'k':
            load.burst = atol(optarg);
            break;
        case 'w':
            load.window = atol(optarg);
            break;
        case 'p':
            load.patience_ms = atol(optarg);
            break;
        case 'g':
            load.joined = true;
            break;
        default:
            if (!load_take_option(option)) {
                return false;
            }
        }
    }
    return load.connections > 0 && load.sources > 0 && load.bytes > 0 &&
           load.bytes <= LOAD_BUFFER_BYTES && load.burst > 0 &&
           load.window > 0 && load.patience_ms > 0;
}

int main(int argc, char **argv)
{
    optind = 3; /* after the mode and the address */
    if (argc < 3 || !load_take_address(argv[2]) || !parse_options(argc, argv)) {
        fputs("usage: netload MODE ADDRESS:PORT [-c connections] [-n total] "
              "[-d seconds] [-b bytes] [-s sources] [-k burst] [-w window] "
              "[-p ms] [-g]\n",
              stderr);
        return 2;
    }
    load_prepare();
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (strcmp(argv[1], modes[i].name) == 0) {
            return modes[i].run();
        }
    }
    fprintf(stderr, "netload: unknown mode %s\n", argv[1]);
    return 2;
}
