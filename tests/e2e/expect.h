/*
 * expect: what must come from a socket next. Anything else, and nothing until
 * the deadline, fails the test. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_EXPECT_H
#define EVPROXY_TESTS_E2E_EXPECT_H

#include "loopback.h"

#include <stddef.h>

/* These bytes; what follows them is not looked at. */
void expect_bytes(int fd, const void *bytes, size_t count);
void expect_text(int fd, const char *text);

void expect_silence(int fd, int ms);

/* The end of the stream, without a byte before it. */
void expect_eof(int fd);
void expect_reset(int fd);
void expect_end(int fd); /* either */

/* Either end, after any bytes. */
void expect_closed(int fd);

/* A reset, of a stream whose end may have come before. */
void expect_reset_after_fin(int fd);

/* Connects, sends the text (or nothing, where it is NULL), and is reset; or
 * connects and comes to either end. */
void expect_connect_reset(const char *source, const struct loopback *address,
                          const char *text);
void expect_connect_ended(const struct loopback *address);

#endif
