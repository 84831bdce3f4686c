/*
 * tls_fixture: the fixture with TLS between clients and the proxy. Main thread
 * only.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_FIXTURE_H
#define EVPROXY_TESTS_E2E_TLS_FIXTURE_H

#include "fixture.h"
#include "pair.h"
#include "tls_options.h"

#include <stdbool.h>

#define TLS_VERSIONS 2

/* 1.2 and 1.3, as OpenSSL numbers them. */
extern const int tls_versions[TLS_VERSIONS];

/* The lines tls_certificate and tls_key; valid for eight more calls. */
const char *tls_fixture_keys(const struct identity *identity);

/* The line tls_client_ca; valid for two more calls. */
const char *tls_fixture_client_ca(const struct identity *ca);

/* The service's identity, "server": for a.example and 127.0.0.1. */
const struct identity *tls_fixture_identity(void);

/* service: lines that follow the keys of that identity. */
void tls_fixture_open(struct fixture *fixture, const char *global,
                      const char *service);
void tls_fixture_reload(struct fixture *fixture, const char *service);

/* A client that speaks the version (0: both) and expects that identity. */
struct tls_options tls_fixture_client(int version);

struct pair tls_pair_connect(const struct fixture *fixture,
                             const struct tls_options *client);
struct pair tls_pair_connect_narrow(const struct fixture *fixture,
                                    const struct tls_options *client);

/* A session that can be resumed, from one connection; to be freed. */
SSL_SESSION *tls_fixture_session(const struct fixture *fixture,
                                 const struct tls_options *client);

/* A new client that has the session resumes it, or makes a full handshake.
 * Answers the session that it has then, to be freed. */
SSL_SESSION *tls_fixture_resume(const struct fixture *fixture,
                                const struct tls_options *client,
                                SSL_SESSION *session, bool resumed);
void tls_fixture_expect_resumed(const struct fixture *fixture,
                                const struct tls_options *client,
                                SSL_SESSION *session, bool resumed);

/* A new client is shown the certificate of that common name. */
void tls_fixture_expect_certificate(const struct fixture *fixture,
                                    const char *common_name);

/* Runs the part once in each version, each time with a new proxy, which must
 * have no buffer lent in the end. */
typedef void (*tls_part_fn)(struct fixture *fixture,
                            const struct tls_options *options);
void tls_fixture_each_version(const char *global, const char *service,
                              tls_part_fn part);

#endif
