/*
 * pair: a connection through the proxy, with both of its ends in the test.
 * Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_PAIR_H
#define EVPROXY_TESTS_E2E_PAIR_H

#include "fixture.h"
#include "stream.h"

struct pair {
    int client;
    int upstream;
};

/* A client, and its connection as the fixture's listener gets it. */
struct pair pair_connect(const struct fixture *fixture);
struct pair pair_connect_from(const struct fixture *fixture,
                              const char *source);
struct pair pair_connect_narrow(const struct fixture *fixture);

/* And a byte has passed each way, so the proxy knows of both connections. */
struct pair pair_establish(const struct fixture *fixture);

void pair_close(const struct pair *pair);

/* A byte each way. */
void pair_ping(const struct pair *pair);

/* The same many times, and 99 of 100 take less than 20 ms, without the time
 * that other processes had the processor. A slow run only pings. */
void pair_expect_prompt(const struct pair *pair);

/* The same while the two busy pairs carry so many bytes, one in each direction,
 * as fast as they can. */
void pair_expect_prompt_beside(const struct pair *pair,
                               const struct pair busy[2], size_t bytes);

/* Streams of this kind both ways at once, each with its own bytes. */
void pair_exchange(const struct pair *pair, const struct stream *way);

#endif
