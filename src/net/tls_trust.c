#include "net/tls_trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct tls_trust {
    char *path; /* NULL: those of the system */
    X509_STORE *store;
};

static void destroy(struct tls_trust *trust)
{
    X509_STORE_free(trust->store);
    free(trust->path);
    free(trust);
}

void tls_trusts_fini(struct tls_trusts *trusts)
{
    for (size_t i = 0; i < trusts->count; i++) {
        destroy(trusts->list[i]);
    }
    free(trusts->list);
    *trusts = (struct tls_trusts){0};
}

/* ---- reading ---- */

/* Refuses a certificate with a password, as a daemon cannot ask for one. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return -1;
}

/* False: nothing in the list is an authority, or a list of revoked ones. */
static bool add_list(X509_STORE *store, const STACK_OF(X509_INFO) * list)
{
    int added = 0;

    for (int i = 0; i < sk_X509_INFO_num(list); i++) {
        const X509_INFO *info = sk_X509_INFO_value(list, i);

        if (info->x509 != NULL) {
            added += X509_STORE_add_cert(store, info->x509) == 1;
        }
        if (info->crl != NULL) {
            added += X509_STORE_add_crl(store, info->crl) == 1;
        }
    }
    if (added == 0) {
        ERR_raise(ERR_LIB_X509, X509_R_NO_CERTIFICATE_OR_CRL_FOUND);
    }
    return added > 0;
}

static bool add_file(X509_STORE *store, const char *path)
{
    BIO *bio = tls_file_open(path);
    STACK_OF(X509_INFO) *list =
        bio == NULL ? NULL
                    : PEM_X509_INFO_read_bio(bio, NULL, no_password, NULL);
    bool added = list != NULL && add_list(store, list);

    BIO_free(bio);
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    return added;
}

/* A file and a directory, as OpenSSL has been told; both may be missing. What
 * is in the directory is looked up when a certificate asks for it. */
static bool add_system(X509_STORE *store)
{
    const char *path = secure_getenv(X509_get_default_cert_file_env());
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_hash_dir());

    (void)add_file(store, path != NULL ? path : X509_get_default_cert_file());
    ERR_clear_error();
    return lookup != NULL &&
           X509_LOOKUP_add_dir(lookup, NULL, X509_FILETYPE_DEFAULT) == 1;
}

static struct tls_trust *load(const char *path, struct tls_fault_report *report)
{
    struct tls_trust *trust = calloc(1, sizeof(*trust));
    bool loaded;

    ERR_clear_error();
    if (trust == NULL) {
        return NULL;
    }
    trust->path = path == NULL ? NULL : strdup(path);
    trust->store = X509_STORE_new();
    loaded = trust->store != NULL && (path == NULL || trust->path != NULL) &&
             (path == NULL ? add_system(trust->store)
                           : add_file(trust->store, path));
    if (!loaded) {
        tls_file_report(report, TLS_FAULT_CA, path);
        destroy(trust);
        return NULL;
    }
    return trust;
}

static bool is_of(const struct tls_trust *trust, const char *path)
{
    return path == NULL || trust->path == NULL ? trust->path == path
                                               : strcmp(trust->path, path) == 0;
}

const struct tls_trust *tls_trusts_get(struct tls_trusts *trusts,
                                       const char *path,
                                       struct tls_fault_report *report)
{
    struct tls_trust **list;

    for (size_t i = 0; i < trusts->count; i++) {
        if (is_of(trusts->list[i], path)) {
            return trusts->list[i];
        }
    }
    list = realloc(trusts->list, (trusts->count + 1) * sizeof(*list));
    if (list == NULL) {
        return NULL;
    }
    trusts->list = list;
    list[trusts->count] = load(path, report);
    return list[trusts->count] == NULL ? NULL : list[trusts->count++];
}

/* ---- using ---- */

void tls_trust_use(const struct tls_trust *trust, SSL_CTX *context)
{
    SSL_CTX_set1_cert_store(context, trust->store);
}

int tls_trust_name(const struct tls_trust *trust, SSL_CTX *context)
{
    STACK_OF(X509_OBJECT) *list = X509_STORE_get0_objects(trust->store);

    for (int i = 0; i < sk_X509_OBJECT_num(list); i++) {
        X509 *x509 = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(list, i));

        if (x509 != NULL && SSL_CTX_add_client_CA(context, x509) != 1) {
            return -1;
        }
    }
    return 0;
}
