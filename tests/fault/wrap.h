/*
 * wrap: the system calls of the code under test, turned to the simulated kernel
 * by the linker (--wrap: see wrap.mk). A call that names a real descriptor, or
 * comes while no simulation runs, goes on to libc.
 *
 *      wrap.c           what all share; sockets
 *      wrap_bytes.c     calls that move bytes; pipes
 *      wrap_datagram.c  the same of datagrams
 *      wrap_wait.c      epoll, eventfd, time, random numbers
 *      wrap_path.c      socket files; /proc, which is not there
 *      wrap_memory.c    allocations
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
struct file *wrap_file_of(int fd, const char *call);
/* The same, where it must be a socket. */
struct stream *wrap_stream_of(int fd, const char *call);
/* Records a call on a stranger's descriptor. */
void wrap_note_stranger(int fd, const char *call);

/* For a function __wrap_x, which is call x. */
#define wrap_file(fd)   wrap_file_of(fd, __func__ + sizeof("__wrap_") - 1)
#define wrap_stream(fd) wrap_stream_of(fd, __func__ + sizeof("__wrap_") - 1)

/* True if this call is the one that is to fail: see fail.h. Sets errno. */
bool wrap_may_fail(int error);

/* What happens while a call of poll waits: it is called again and again. */
typedef void (*wrap_idle_fn)(void);
void wrap_set_idle(wrap_idle_fn fn);

/* -1 with errno. */
int wrap_failed(int error);

/* Writes the result of a call to the trace, and answers it. */
ssize_t wrap_traced(const char *call, int fd, ssize_t result);

#endif
