/*
 * tls_file: certificates and keys, loaded from PEM files into OpenSSL's
 * contexts, and what is wrong with a file that cannot be loaded. No file
 * makes the caller wait: see base/file. Control thread.
 */
#ifndef EVPROXY_NET_TLS_FILE_H
#define EVPROXY_NET_TLS_FILE_H

#include "base/base.h"

#include <stddef.h>

/* OpenSSL's SSL_CTX and BIO. */
struct ssl_ctx_st;
struct bio_st;

/* The bundle of a distribution has 150 authorities in 220 KB. */
#define TLS_FILE_MIB 4

/* Paths of a certificate and its key. */
struct tls_pair {
    const char *certificate; /* and those between it and a root */
    const char *key;         /* may be the same file */
};

/* What a context could not be made of. */
enum tls_fault {
    TLS_FAULT_OTHER, /* no memory, or the library itself */
    TLS_FAULT_CERTIFICATE,
    TLS_FAULT_KEY,
    TLS_FAULT_CA,
    TLS_FAULT_TICKET_KEYS,
};

struct tls_fault_report {
    enum tls_fault fault;
    size_t pair;      /* the number of the pair with the fault */
    const char *text; /* without a final stop; lives until the next call */
};

/* Fills the report from OpenSSL's first error, unless it has a text already.
 * path: the file, or NULL. */
void tls_file_report(struct tls_fault_report *report, enum tls_fault fault,
                     const char *path);

/* Puts a sentence of ours into OpenSSL's queue. */
void tls_file_raise(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/* The bytes of a file, which BIO_free wipes. NULL, with the reason in OpenSSL's
 * queue. */
struct bio_st *tls_file_open(const char *path) WARN_UNUSED;

/* Loads a certificate with its key. From the first call on the kernel makes no
 * core dump of this process, and lets only root look into it. -1 with a report.
 */
int tls_file_load_pair(struct ssl_ctx_st *context, const struct tls_pair *pair,
                       struct tls_fault_report *report) WARN_UNUSED;

/* NULL if the certificates in a file are all valid today, or the file cannot be
 * read; else a sentence that lives until the next call. */
const char *tls_file_date_fault(const char *path);

#endif
