#include "identity.h"

#include "file.h"
#include "test.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define DAY_S (24L * 60 * 60)

/* ---- files ---- */

static struct identity name_files(const char *name)
{
    struct identity identity;
    char file[64];

    snprintf(file, sizeof(file), "%.50s.pem", name);
    snprintf(identity.certificate, sizeof(identity.certificate), "%s",
             file_path(file));
    snprintf(file, sizeof(file), "%.50s.key", name);
    snprintf(identity.key, sizeof(identity.key), "%s", file_path(file));
    return identity;
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);

    assert_non_null(file);
    return file;
}

static EVP_PKEY *read_key(const struct identity *identity)
{
    FILE *file = open_file(identity->key, "re");
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);

    fclose(file);
    assert_non_null(key);
    return key;
}

static X509 *read_certificate(const struct identity *identity)
{
    FILE *file = open_file(identity->certificate, "re");
    X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);

    fclose(file);
    assert_non_null(certificate);
    return certificate;
}

static void write_files(const struct identity *identity, X509 *certificate,
                        EVP_PKEY *key)
{
    FILE *file = open_file(identity->certificate, "we");
    int done;

    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    file = open_file(identity->key, "we");
    done = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    assert_int_equal(done, 1);
    fclose(file);
}

static void append_file(const char *to, const char *from)
{
    char text[8192];
    FILE *in = open_file(from, "re");
    FILE *out = open_file(to, "ae");
    size_t count = fread(text, 1, sizeof(text), in);

    assert_in_range(count, 1, sizeof(text) - 1);
    assert_int_equal(fwrite(text, 1, count, out), count);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* ---- certificates ---- */

static void add_extension(X509 *certificate, int kind, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, kind, value);

    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* All but the issuer's name and signature. */
static X509 *draft(const char *name, const struct identity_options *options,
                   EVP_PKEY *key)
{
    static long serial;
    X509 *certificate = X509_new();

    assert_non_null(certificate);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -2 * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate),
                    options->expired ? -DAY_S : DAY_S);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN",
                               MBSTRING_UTF8, (const unsigned char *)name, -1,
                               -1, 0);
    X509_set_pubkey(certificate, key);
    add_extension(certificate, NID_basic_constraints,
                  options->authority ? "critical,CA:TRUE"
                                     : "critical,CA:FALSE");
    if (options->names != NULL) {
        add_extension(certificate, NID_subject_alt_name, options->names);
    }
    return certificate;
}

static void sign(X509 *certificate, X509 *issuer, EVP_PKEY *key)
{
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
}

static void sign_by(X509 *certificate, const struct identity *issuer)
{
    X509 *issuer_certificate = read_certificate(issuer);
    EVP_PKEY *issuer_key = read_key(issuer);

    sign(certificate, issuer_certificate, issuer_key);
    X509_free(issuer_certificate);
    EVP_PKEY_free(issuer_key);
}

struct identity identity_new(const char *name,
                             const struct identity_options *options)
{
    struct identity identity = name_files(name);
    EVP_PKEY *key = options->rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
    X509 *certificate;

    assert_non_null(key);
    certificate = draft(name, options, key);
    if (options->issuer != NULL) {
        sign_by(certificate, options->issuer);
    } else {
        sign(certificate, certificate, key);
    }
    write_files(&identity, certificate, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return identity;
}

const struct identity *identity_authority(void)
{
    static struct identity authority;

    if (authority.certificate[0] == '\0') {
        const struct identity_options options = {.authority = true};

        authority = identity_new("authority", &options);
    }
    return &authority;
}

struct identity identity_for(const char *name, const char *names)
{
    const struct identity_options options = {.names = names,
                                             .issuer = identity_authority()};

    return identity_new(name, &options);
}

void identity_append_issuer(const struct identity *identity,
                            const struct identity *issuer)
{
    append_file(identity->certificate, issuer->certificate);
}

void identity_append_key(const struct identity *identity)
{
    append_file(identity->certificate, identity->key);
}
