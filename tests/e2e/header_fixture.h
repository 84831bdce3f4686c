/*
 * header_fixture: the fixture with a service that takes PROXY headers. Main
 * thread only.
 */
#ifndef EVPROXY_TESTS_E2E_HEADER_FIXTURE_H
#define EVPROXY_TESTS_E2E_HEADER_FIXTURE_H

#include "fixture.h"
#include "header.h"
#include "pair.h"

/* With an access log; service: lines that follow HEADER_TRUSTED. */
void header_fixture_open(struct fixture *fixture, const char *service);

/* A client that sends the header first, and its upstream. */
struct pair header_pair_connect(const struct fixture *fixture,
                                const struct header *header);

/* A client that sends it is reset. */
void header_expect_reset(const struct fixture *fixture,
                         const struct header *header);

#endif
