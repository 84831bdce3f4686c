/*
 * echo_load: what its server and its client share. Each is one process; a
 * failure to set up ends it with status 2.
 */
#ifndef EVPROXY_BENCH_ECHO_LOAD_H
#define EVPROXY_BENCH_ECHO_LOAD_H

#include <stdint.h>
#include <stdnoreturn.h>

noreturn __attribute__((format(printf, 1, 2))) void echo_die(const char *format,
                                                             ...);

/* The number that the text is; dies unless it is one from min to max. */
double echo_number(const char *what, const char *text, double min, double max);

/* Sends small messages at once. */
void echo_nodelay(int fd);

/* With the arguments after the mode; return the exit status. */
int echo_server(int argc, char **argv);
int echo_client(int argc, char **argv);

#endif
