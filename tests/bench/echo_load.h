/*
 * echo_load: what the server and the client share. Each is one process, which
 * ends with status 2 if its set-up fails.
 */
#ifndef EVPROXY_BENCH_ECHO_LOAD_H
#define EVPROXY_BENCH_ECHO_LOAD_H

#include <stdint.h>
#include <stdnoreturn.h>

noreturn __attribute__((format(printf, 1, 2))) void echo_die(const char *format,
                                                             ...);

/* Parses a number; ends the program unless it is from min to max. */
double echo_number(const char *what, const char *text, double min, double max);

/* Turns Nagle's algorithm off. */
void echo_nodelay(int fd);

/* They take the arguments after the mode and return the exit status. */
int echo_server(int argc, char **argv);
int echo_client(int argc, char **argv);

#endif
