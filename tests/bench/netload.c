/*
 * netload: small servers and clients for the benchmark, which wrk and iperf3 do
 * not offer.
 *
 *      netload MODE ADDRESS:PORT [-c connections] [-n total] [-d seconds]
 *              [-b bytes] [-s sources] [-k burst] [-w window] [-p ms]
 *              [-g]
 *
 * Servers, until killed:
 *   echo   sends back what arrives
 *   push   sends without end after the first byte
 *   udpecho  sends a datagram back, or the part of it that was requested
 * Clients; each prints one line of JSON. A mode with phases prints READY
 * between them, and waits for a line on standard input or its end.
 *
 *   rate   one HTTP request for each connection, -c in flight, for -d
 *          seconds or until -n connections
 *   reqs   -n requests over -c persistent connections. Phases: all are
 *          connected and warm; all requests are done
 *   ping   -n round trips of -b bytes to an echo server, one at a time
 *   hold   -c connections, each has -b bytes echoed and is then idle.
 *          Phases: all are connected; all are closed
 *   storm  -c connections to a push server, each reads -b bytes and then
 *          stops. Phases as for hold
 *   udp    -c clients send bursts of -k datagrams of -b bytes while fewer
 *          than -w bursts are unanswered (see load_udp.c). -g sends a burst
 *          as one GSO batch, -p is the timeout of an answer in ms. Phases:
 *          each client had an answer; -d seconds or -n datagrams are over
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
            load.timeout_ms = atol(optarg);
            break;
        case 'g':
            load.gso = true;
            break;
        default:
            if (!load_set_option(option)) {
                return false;
            }
        }
    }
    return load.connections > 0 && load.sources > 0 && load.bytes > 0 &&
           load.bytes <= LOAD_BUFFER_BYTES && load.burst > 0 &&
           load.window > 0 && load.timeout_ms > 0;
}

int main(int argc, char **argv)
{
    optind = 3; /* after the mode and the address */
    if (argc < 3 || !load_set_target(argv[2]) || !parse_options(argc, argv)) {
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
