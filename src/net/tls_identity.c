#include "net/tls_identity.h"

#include <ctype.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void tls_identities_fini(struct tls_identities *identities)
{
    for (size_t i = 0; i < identities->name_count; i++) {
        free(identities->names[i].text);
    }
    for (size_t i = 0; i < identities->count; i++) {
        SSL_CTX_free(identities->list[i].context);
    }
    free(identities->names);
    free(identities->list);
    *identities = (struct tls_identities){0};
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct tls_name *)a)->text,
                  ((const struct tls_name *)b)->text);
}

static SSL_CTX *find_exact(const struct tls_identities *identities,
                           const char *text)
{
    struct tls_name key = {.text = (char *)text};
    const struct tls_name *found =
        identities->name_count == 0
            ? NULL
            : bsearch(&key, identities->names, identities->name_count,
                      sizeof(key), compare_names);

    return found == NULL ? NULL : found->context;
}

SSL_CTX *tls_identities_find(const struct tls_identities *identities,
                             const char *name)
{
    char text[256];
    size_t length = strlen(name);
    SSL_CTX *found;
    char *dot;

    if (length >= sizeof(text)) {
        return NULL;
    }
    for (size_t i = 0; i <= length; i++) {
        text[i] = (char)tolower((unsigned char)name[i]);
    }
    found = find_exact(identities, text);
    dot = strchr(text, '.');
    if (found != NULL || dot == NULL || dot == text) {
        return found;
    }
    *--dot = '*';
    return find_exact(identities, dot);
}

/* In lower case; NULL: no memory. */
static char *copy_name(const ASN1_STRING *text)
{
    char *copy = strndup((const char *)ASN1_STRING_get0_data(text),
                         (size_t)ASN1_STRING_length(text));

    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    return copy;
}

/* Called with a name of a certificate; owner is the context to ask about. */
typedef int (*name_fn)(struct tls_identities *identities, SSL_CTX *owner,
                       const ASN1_STRING *text);

/* A certificate without alternative names is known by its common name (RFC
 * 6125, section 6.4.4). */
static int common_name(struct tls_identities *identities, SSL_CTX *owner,
                       X509 *x509, name_fn fn)
{
    X509_NAME *subject = X509_get_subject_name(x509);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at < 0) {
        return 0;
    }
    return fn(identities, owner,
              X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* Calls fn with each name of the certificate until it answers other than 0, and
 * returns the last answer. */
static int each_name(struct tls_identities *identities, SSL_CTX *owner,
                     X509 *x509, name_fn fn)
{
    GENERAL_NAMES *list =
        X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    bool any = false;
    int result = 0;

    for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_DNS) {
            any = true;
            result = fn(identities, owner, name->d.dNSName);
        }
    }
    GENERAL_NAMES_free(list);
    return any ? result : common_name(identities, owner, x509, fn);
}

/* A name_fn: gives the name to owner, unless another context has it. */
static int add_name(struct tls_identities *identities, SSL_CTX *owner,
                    const ASN1_STRING *text)
{
    size_t count = identities->name_count;
    struct tls_name *names;
    char *copy;

    names = realloc(identities->names, (count + 1) * sizeof(*names));
    if (names == NULL) {
        return -1;
    }
    identities->names = names;
    copy = copy_name(text);
    if (copy == NULL) {
        return -1;
    }
    if (find_exact(identities, copy) != NULL) {
        free(copy);
        return 0;
    }
    names[count] = (struct tls_name){.text = copy, .context = owner};
    identities->name_count++;
    qsort(names, identities->name_count, sizeof(*names), compare_names);
    return 0;
}

/* A name_fn: 0 if owner has the name, else 1. */
static int lacks_name(struct tls_identities *identities, SSL_CTX *owner,
                      const ASN1_STRING *text)
{
    char *copy = copy_name(text);
    bool has = copy != NULL && find_exact(identities, copy) == owner;

    free(copy);
    return has ? 0 : 1;
}

/* ---- identities ---- */

static unsigned key_type(const X509 *x509)
{
    switch (EVP_PKEY_get_base_id(X509_get0_pubkey(x509))) {
    case EVP_PKEY_RSA:
        return 1;
    case EVP_PKEY_EC:
        return 2;
    case EVP_PKEY_ED25519:
        return 4;
    case EVP_PKEY_ED448:
        return 8;
    default:
        return 16;
    }
}

int tls_identities_add(struct tls_identities *identities, SSL_CTX *context)
{
    size_t count = identities->count;
    X509 *x509 = SSL_CTX_get0_certificate(context);
    struct tls_identity *list;

    list = realloc(identities->list, (count + 1) * sizeof(*list));
    if (list == NULL) {
        SSL_CTX_free(context);
        return -1;
    }
    list[count] =
        (struct tls_identity){.context = context, .key_types = key_type(x509)};
    identities->list = list;
    identities->count++;
    return each_name(identities, context, x509, add_name);
}

SSL_CTX *tls_identities_join(struct tls_identities *identities,
                             const SSL_CTX *context)
{
    X509 *x509 = SSL_CTX_get0_certificate(context);

    for (size_t i = 0; i < identities->count; i++) {
        struct tls_identity *identity = &identities->list[i];

        if (!(identity->key_types & key_type(x509)) &&
            each_name(identities, identity->context, x509, lacks_name) == 0) {
            identity->key_types |= key_type(x509);
            return identity->context;
        }
    }
    return NULL;
}
