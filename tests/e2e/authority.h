/*
 * authority: certificates for the tests, made while they run, as PEM files in
 * the test's directory. Main thread only; what goes wrong fails the test.
 */
#ifndef EVPROXY_TESTS_E2E_AUTHORITY_H
#define EVPROXY_TESTS_E2E_AUTHORITY_H

#include <stdbool.h>

/* The paths of a certificate and of its key. */
struct identity {
    char certificate[160];
    char key[160];
};

struct identity_wish {
    const char *names; /* "DNS:a.example, IP:127.0.0.1"; NULL: none */
    const struct identity *issuer; /* NULL: it signs itself */
    bool authority;                /* it may sign others */
    bool rsa;                      /* else ECDSA with P-256 */
    bool expired;
};

/* Its type is CN = name, and its files are called so. */
struct identity identity_new(const char *name,
                             const struct identity_wish *wish);

/* The one that all trust, made once; and what it signs. */
const struct identity *authority(void);
struct identity identity_for(const char *name, const char *names);

/* The issuer's certificate behind it, in the same file; its own key too. */
void identity_append(const struct identity *identity,
                     const struct identity *issuer);
void identity_join(const struct identity *identity);

#endif
