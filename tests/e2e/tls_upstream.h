/*
 * tls_upstream: an upstream that speaks TLS, and the keys of a service that
 * speaks it to upstreams. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_UPSTREAM_H
#define EVPROXY_TESTS_E2E_TLS_UPSTREAM_H

#include "pair.h"
#include "tls_fixture.h"
#include "tls_options.h"

/* The name that a service expects, for upstreams whose address is not in the
 * certificate. */
#define TLS_UPSTREAM_NAMED "upstream_tls_name = up.example\n"

/* Of up.example, other.example, localhost, 127.0.0.1 and ::1. */
const struct identity *tls_upstream_identity(void);
struct tls_options tls_upstream_options(int version);

/* The lines upstream_tls and upstream_tls_ca (NULL: off), and more. Valid for
 * four more calls. */
const char *tls_upstream_keys(const struct identity *ca, const char *more);

/* A client without TLS, and its upstream with it. */
struct pair tls_upstream_pair(const struct fixture *fixture,
                              const struct tls_options *upstream);

/* As tls_fixture_each_version; service: lines that follow upstream_tls_ca, with
 * the authority of the tests. */
void tls_upstream_each_version(const char *service, tls_part_fn part);

#endif
