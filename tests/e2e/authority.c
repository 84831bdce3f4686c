#include "authority.h"

#include "harness.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { DAY_S = 24 * 60 * 60 };

static struct identity files_of(const char *name)
{
    struct identity files;
    char file[64];
    snprintf(file, sizeof file, "%.50s.pem", name);
    snprintf(files.certificate, sizeof files.certificate, "%s",
             file_path(file));
    snprintf(file, sizeof file, "%.50s.key", name);
    snprintf(files.key, sizeof files.key, "%s", file_path(file));
    return files;
}

static FILE *file_open(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    assert_non_null(file);
    return file;
}

static EVP_PKEY *key_read(const char *path)
{
    FILE *file = file_open(path, "re");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(key);
    return key;
}

static X509 *certificate_read(const char *path)
{
    FILE *file = file_open(path, "re");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    assert_non_null(certificate);
    return certificate;
}

static void files_write(const struct identity *files, X509 *certificate,
                        EVP_PKEY *key)
{
    FILE *file = file_open(files->certificate, "we");
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    file = file_open(files->key, "we");
    int done = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    assert_int_equal(done, 1);
    fclose(file);
}

static void extend(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* All but the issuer's name and signature. */
static X509 *certificate_draft(const char *name,
                               const struct identity_wish *wish, EVP_PKEY *key)
{
    static long serial;
    X509 *draft = X509_new();
    assert_non_null(draft);
    X509_NAME *type = X509_get_subject_name(draft);
    X509_set_version(draft, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(draft), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(draft), -2 * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(draft), wish->expired ? -DAY_S : DAY_S);
    X509_NAME_add_entry_by_txt(type, "CN", MBSTRING_UTF8,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_pubkey(draft, key);
    extend(draft, NID_basic_constraints,
           wish->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (wish->names) {
        extend(draft, NID_subject_alt_name, wish->names);
    }
    return draft;
}

struct identity identity_new(const char *name, const struct identity_wish *wish)
{
    struct identity files = files_of(name);
    EVP_PKEY *key = wish->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    assert_non_null(key);
    X509 *certificate = certificate_draft(name, wish, key);
    X509 *issuer = certificate;
    EVP_PKEY *signing = key;
    if (wish->issuer) {
        issuer = certificate_read(wish->issuer->certificate);
        signing = key_read(wish->issuer->key);
    }
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    assert_true(X509_sign(certificate, signing, EVP_sha256()) > 0);
    files_write(&files, certificate, key);
    if (wish->issuer) {
        X509_free(issuer);
        EVP_PKEY_free(signing);
    }
    X509_free(certificate);
    EVP_PKEY_free(key);
    return files;
}

const struct identity *authority(void)
{
    static struct identity made;
    if (!*made.certificate) {
        made = identity_new("authority",
                            &(struct identity_wish){.authority = true});
    }
    return &made;
}

struct identity identity_for(const char *name, const char *names)
{
    return identity_new(
        name, &(struct identity_wish){.names = names, .issuer = authority()});
}

static void file_append(const char *to, const char *from)
{
    char text[8192];
    FILE *in = file_open(from, "re");
    FILE *out = file_open(to, "ae");
    size_t count = fread(text, 1, sizeof text, in);
    assert_in_range(count, 1, sizeof text - 1);
    assert_int_equal(fwrite(text, 1, count, out), count);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

void identity_append(const struct identity *identity,
                     const struct identity *issuer)
{
    file_append(identity->certificate, issuer->certificate);
}

void identity_join(const struct identity *identity)
{
    file_append(identity->certificate, identity->key);
}
