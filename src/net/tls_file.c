#include "net/tls_file.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

/* The first error in OpenSSL's queue is the cause; the others name its callers.
 */
static const char *library_text(void)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                                               : ERR_reason_error_string(error);

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

int tls_file_load_pair(struct ssl_ctx_st *context, const struct tls_pair *pair,
                       struct tls_fault_report *report)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, pair->certificate) != 1) {
        tls_file_report(report, TLS_FAULT_CERTIFICATE, pair->certificate);
        return -1;
    }
    if (SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM) !=
            1 ||
        SSL_CTX_check_private_key(context) != 1) {
        tls_file_report(report, TLS_FAULT_KEY, pair->key);
        return -1;
    }
    return 0;
}

int tls_file_load_ca(struct ssl_ctx_st *context, const char *path,
                     struct tls_fault_report *report)
{
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, path) != 1) {
        tls_file_report(report, TLS_FAULT_CA, path);
        return -1;
    }
    return 0;
}
