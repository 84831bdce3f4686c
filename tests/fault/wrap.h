/*
 * wrap: the system calls of the code under test, turned to the simulated kernel
 * by the linker (--wrap: see wrap.mk). A call that names a real descriptor, or
 * comes while no simulation runs, goes on to libc.
 *
 *      wrap.c        what all share; sockets
 *      wrap_bytes.c  calls that move bytes; pipes
 *      wrap_wait.c   epoll, eventfd, time, random numbers
 */
#ifndef EVPROXY_FAULT_WRAP_H
#define EVPROXY_FAULT_WRAP_H

#include "stream.h"

#include <errno.h>

/* The linker's names: __real_x is libc's x, and who calls x gets __wrap_x. */
#define CALL(type, name, ...)                                                  \
    type __real_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__);                                           \
    type __wrap_##name(__VA_ARGS__)

/* A call on that descriptor begins: its simulated file; NULL: a real one. */
struct file *wrap_file(int fd);
/* The same, where it must be a socket. */
struct stream *wrap_stream(int fd);

/* -1 with errno. */
int wrap_failed(int error);

/* Writes the result of a call to the trace, and answers it. */
ssize_t wrap_traced(const char *call, int fd, ssize_t result);

#endif
