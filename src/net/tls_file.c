#include "net/tls_file.h"

#include "base/file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* Errors of base/file in OpenSSL's queue, with their sentences. */
#define FILE_ERRORS ERR_LIB_USER

/* The first error in OpenSSL's queue is the cause; the others name its callers.
 */
static const char *library_text(void)
{
    const char *text;
    unsigned long error = ERR_peek_error_all(NULL, NULL, NULL, &text, NULL);

    if (ERR_GET_LIB(error) != FILE_ERRORS) {
        text = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                                       : ERR_reason_error_string(error);
    }
    return text == NULL ? "no memory is left" : text;
}

void tls_file_report(struct tls_fault_report *report, enum tls_fault fault,
                     const char *path)
{
    static _Thread_local char sentence[512];

    if (report->text != NULL) {
        return;
    }
    report->fault = fault;
    snprintf(sentence, sizeof(sentence), "%s%s%s", path == NULL ? "" : path,
             path == NULL ? "" : ": ", library_text());
    report->text = sentence;
}

void tls_file_raise(const char *format, ...)
{
    char sentence[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    ERR_raise_data(FILE_ERRORS, 1, "%s", sentence);
}

BIO *tls_file_open(const char *path)
{
    const char *why;
    size_t count;
    char *bytes;
    BIO *bio;

    ERR_clear_error();
    bytes = file_read(path, TLS_FILE_MIB, &count, &why);
    if (bytes == NULL) {
        tls_file_raise("%s", why);
        return NULL;
    }
    bio = BIO_new(BIO_s_secmem());
    if (bio != NULL && count > 0 &&
        BIO_write(bio, bytes, (int)count) != (int)count) {
        BIO_free(bio);
        bio = NULL;
    }
    OPENSSL_cleanse(bytes, count);
    free(bytes);
    return bio;
}

/* How the labels of PEM blocks end. */
#define CERTIFICATE_LABEL "CERTIFICATE-----"
#define KEY_LABEL         "PRIVATE KEY-----"

static bool bio_has(BIO *bio, const char *text)
{
    char *bytes;
    long count = BIO_get_mem_data(bio, &bytes);

    return count > 0 &&
           memmem(bytes, (size_t)count, text, strlen(text)) != NULL;
}

/* A sentence on a file that cannot hold what is looked for, or NULL. */
static const char *wrong_content(BIO *bio, bool key)
{
    char *bytes;
    long count = BIO_get_mem_data(bio, &bytes);

    if (count > 0 && bytes[0] == 0x30 && !bio_has(bio, "-----BEGIN")) {
        return "it is DER, and PEM is needed";
    }
    if (!key && !bio_has(bio, CERTIFICATE_LABEL) && bio_has(bio, KEY_LABEL)) {
        return "it is a private key and has no certificate";
    }
    if (key && !bio_has(bio, KEY_LABEL) && bio_has(bio, CERTIFICATE_LABEL)) {
        return "it is a certificate and has no private key";
    }
    if (key && (bio_has(bio, "ENCRYPTED " KEY_LABEL) ||
                bio_has(bio, "Proc-Type: 4,ENCRYPTED"))) {
        return "the private key has a pass phrase, and must have none";
    }
    return NULL;
}

/* The file, to be read for a certificate or a key. NULL, with an error in the
 * queue: it cannot be read, or holds something else. */
static BIO *open_for(const char *path, bool key)
{
    BIO *bio = tls_file_open(path);
    const char *why = bio == NULL ? NULL : wrong_content(bio, key);

    if (why != NULL) {
        tls_file_raise("%s", why);
        BIO_free(bio);
        bio = NULL;
    }
    return bio;
}

/* Reads the certificates behind the first one. False: one is wrong. */
static bool use_chain(SSL_CTX *context, BIO *bio)
{
    pem_password_cb *password = SSL_CTX_get_default_passwd_cb(context);
    unsigned long error;
    X509 *next;

    SSL_CTX_clear_chain_certs(context);
    while ((next = PEM_read_bio_X509(bio, NULL, password, NULL)) != NULL) {
        if (SSL_CTX_add0_chain_cert(context, next) != 1) {
            X509_free(next);
            return false;
        }
    }
    error = ERR_peek_last_error();
    if (ERR_GET_LIB(error) != ERR_LIB_PEM ||
        ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
        return false;
    }
    ERR_clear_error(); /* it was the end of the file */
    return true;
}

static bool use_certificate(SSL_CTX *context, BIO *bio)
{
    pem_password_cb *password = SSL_CTX_get_default_passwd_cb(context);
    X509 *first =
        bio == NULL ? NULL : PEM_read_bio_X509_AUX(bio, NULL, password, NULL);
    bool used = first != NULL && SSL_CTX_use_certificate(context, first) == 1 &&
                ERR_peek_error() == 0 && use_chain(context, bio);

    X509_free(first);
    BIO_free(bio);
    return used;
}

static bool use_key(SSL_CTX *context, BIO *bio)
{
    pem_password_cb *password = SSL_CTX_get_default_passwd_cb(context);
    EVP_PKEY *key =
        bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, password, NULL);
    bool used = key != NULL && SSL_CTX_use_PrivateKey(context, key) == 1 &&
                SSL_CTX_check_private_key(context) == 1;

    EVP_PKEY_free(key);
    BIO_free(bio);
    return used;
}

int tls_file_load_pair(struct ssl_ctx_st *context, const struct tls_pair *pair,
                       struct tls_fault_report *report)
{
    /* Before the key is in memory: no core dump has it, and no other process of
     * the user reads it (ptrace, /proc/PID/mem). */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (!use_certificate(context, open_for(pair->certificate, false))) {
        tls_file_report(report, TLS_FAULT_CERTIFICATE, pair->certificate);
        return -1;
    }
    if (!use_key(context, open_for(pair->key, true))) {
        tls_file_report(report, TLS_FAULT_KEY, pair->key);
        return -1;
    }
    return 0;
}

static const char *date_sentence(const char *path, const char *is,
                                 const ASN1_TIME *time)
{
    static char sentence[512];
    char day[16] = "an unknown day";
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) == 1) {
        strftime(day, sizeof(day), "%Y-%m-%d", &tm);
    }
    snprintf(sentence, sizeof(sentence), "%s: a certificate %s %s", path, is,
             day);
    return sentence;
}

const char *tls_file_date_fault(const char *path)
{
    BIO *file = tls_file_open(path);
    const char *fault = NULL;
    X509 *x509;

    while (file != NULL && fault == NULL &&
           (x509 = PEM_read_bio_X509(file, NULL, NULL, NULL)) != NULL) {
        if (X509_cmp_current_time(X509_get0_notAfter(x509)) < 0) {
            fault = date_sentence(path, "expired on", X509_get0_notAfter(x509));
        } else if (X509_cmp_current_time(X509_get0_notBefore(x509)) > 0) {
            fault = date_sentence(path, "is not valid before",
                                  X509_get0_notBefore(x509));
        }
        X509_free(x509);
    }
    BIO_free(file);
    ERR_clear_error(); /* the end of the file */
    return fault;
}
