/*
 * next_binary: a link by which a proxy is started, and that leads somewhere
 * else later: to the binary that an upgrade starts. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_NEXT_BINARY_H
#define EVPROXY_TESTS_E2E_NEXT_BINARY_H

#include "pair.h"

/* The path of the link, which leads to proxy_binary(). Valid until the next
 * call. */
const char *next_binary_link(void);

/* As fixture_open, but the proxy is started by the link, with these variables
 * (NULL-ended, or NULL). */
void next_binary_fixture(struct fixture *fixture,
                         const char *const *environment, const char *service);

/* The link leads to a shell script that ends with the true binary, unless its
 * lines exit before. */
void next_binary_script(const char *lines);

/* It leads to a file with this text. */
void next_binary_text(const char *text);

/* "LD_PRELOAD=" and the path of that program of tests/e2e/preload. */
void next_binary_preload(const char *name, char *variable, size_t size);

/* It leads to proxy_binary() again. */
void next_binary_restore(void);

/* Sends SIGUSR2. The upgrade must fail, with a line that fits; the proxy, and
 * the connection, go on. Answers the line. */
const char *next_binary_expect_failure(struct fixture *fixture,
                                       const struct pair *pair,
                                       const char *regex);

#endif
