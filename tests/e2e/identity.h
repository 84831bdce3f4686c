/*
 * identity: certificates with their keys, made while the tests run, as PEM
 * files in the test's directory. Main thread only; what goes wrong fails the
 * test.
 */
#ifndef EVPROXY_TESTS_E2E_IDENTITY_H
#define EVPROXY_TESTS_E2E_IDENTITY_H

#include <stdbool.h>

/* Paths. */
struct identity {
    char certificate[160];
    char key[160];
};

/* All zero: signed by itself, ECDSA with P-256, valid for a day, no names. */
struct identity_options {
    const char *names; /* "DNS:a.example, IP:127.0.0.1" */
    const struct identity *issuer;
    bool authority; /* it may sign others */
    bool rsa;
    bool expired;
};

/* Its subject is CN = name, and its files are called so. */
struct identity identity_new(const char *name,
                             const struct identity_options *options);

/* The authority that the tests trust, made once; and one that it has signed. */
const struct identity *identity_authority(void);
struct identity identity_for(const char *name, const char *names);

/* Appends to the certificate's file: the issuer's certificate, or the key. */
void identity_append_issuer(const struct identity *identity,
                            const struct identity *issuer);
void identity_append_key(const struct identity *identity);

#endif
