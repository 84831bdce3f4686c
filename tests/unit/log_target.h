/*
 * log_target: the pipe, socket or file that the log of a test writes to, and
 * threads that write lines.
 */
#ifndef EVPROXY_TESTS_LOG_TARGET_H
#define EVPROXY_TESTS_LOG_TARGET_H

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>

#define TARGET_DEADLINE_S 60 /* then SIGALRM ends a write that blocks */

#define TARGET_THREADS 4
#define TARGET_LINES   500 /* of each thread */

/* A test with that setup: target_pipe or target_socket. */
#define TARGET(setup, test)                                                    \
    cmocka_unit_test_setup_teardown(test, setup, target_close)

extern int target_ends[2]; /* of the pipe or socket pair: read, write */

/* Ends the log, however long its thread takes on a slow machine. */
void target_stop(void);

/* Makes the log report the lines that earlier tests have lost, to /dev/null. */
void target_forget_lost(void);

int target_pipe(void **state);
int target_socket(void **state);
int target_close(void **state);

/* Whether there are bytes to read. */
bool target_has_bytes(void);

/* Writes bytes until the pipe or socket is full. */
void target_fill(void);

/* An unnamed file, opened without O_APPEND. */
int target_file(void);

/* Checks that this is the whole text of the file. */
void target_check_file(int fd, const char *wanted);

/* Sets the size limit of files; answers the previous one. */
rlim_t target_limit_files(rlim_t bytes);

/* Threads that write TARGET_LINES lines each. */
void target_start_writers(pthread_t threads[TARGET_THREADS]);
void target_join_writers(const pthread_t threads[TARGET_THREADS]);

/* Checks that each thread's lines are whole and in order, up to so many lines
 * or the end; answers their number. */
unsigned target_check_lines(FILE *stream, unsigned most);

#endif
