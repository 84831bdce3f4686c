/*
 * tls_trust: the authorities that peers' certificates are verified by. Parsing
 * a bundle of them takes tens of milliseconds and megabytes, so the contexts
 * that are made together share one store for each file. The control thread
 * makes it; then it is never changed, except by OpenSSL, which has a lock.
 */
#ifndef EVPROXY_NET_TLS_TRUST_H
#define EVPROXY_NET_TLS_TRUST_H

#include "base/base.h"
#include "net/tls_file.h"

#include <stddef.h>

struct tls_trust;

/* Those read so far, for the contexts of one configuration. All-zero: none. */
struct tls_trusts {
    struct tls_trust **list;
    size_t count;
};

/* The contexts keep what they use. */
void tls_trusts_fini(struct tls_trusts *trusts);

/* The authorities in the file, or those of the system (NULL). The file is read
 * at its first call. NULL, with a report. */
const struct tls_trust *
tls_trusts_get(struct tls_trusts *trusts, const char *path,
               struct tls_fault_report *report) WARN_UNUSED;

/* The context verifies by them. */
void tls_trust_use(const struct tls_trust *trust, struct ssl_ctx_st *context);

/* A server's context names them to its clients, which choose a certificate by
 * that. -1: no memory. */
int tls_trust_name(const struct tls_trust *trust,
                   struct ssl_ctx_st *context) WARN_UNUSED;

#endif
