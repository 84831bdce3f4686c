#include "net/tls_server.h"

#include "net/tls_session.h"
#include "net/tls_ticket.h"

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

/* OpenSSL asks which context has the client's server name. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_context *context = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *found =
        name == NULL ? NULL : tls_identities_find(&context->identities, name);

    (void)alert;
    if (found == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL asks which of the client's protocols is chosen. */
static int on_alpn(SSL *ssl, const unsigned char **chosen,
                   unsigned char *chosen_bytes, const unsigned char *offered,
                   unsigned offered_bytes, void *arg)
{
    const struct tls_context *context = arg;
    unsigned char *found;

    (void)ssl;
    if (SSL_select_next_proto(&found, chosen_bytes, context->protocols,
                              (unsigned)context->protocols_bytes, offered,
                              offered_bytes) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_ssl_ctx(struct tls_context *context,
                            const struct tls_server_options *options)
{
    SSL_CTX *made = tls_context_new_ssl_ctx(TLS_server_method());

    if (made == NULL) {
        return NULL;
    }
    if (options->only_1_3) {
        SSL_CTX_set_min_proto_version(made, TLS1_3_VERSION);
    }
    if (options->client_ca != NULL) {
        SSL_CTX_set_verify(
            made, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (context->protocols != NULL) {
        SSL_CTX_set_alpn_select_cb(made, on_alpn, context);
    }
    /* One ticket is enough, as it is replaced when it is used, and each costs a
     * hash, an encryption and a record. */
    SSL_CTX_set_num_tickets(made, 1);
    SSL_CTX_set_tlsext_servername_callback(made, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(made, context);
    tls_ticket_use(made, context->ticket_keys);
    tls_session_limit_tickets(made);
    return made;
}

static int use_client_ca(SSL_CTX *made,
                         const struct tls_server_options *options,
                         struct tls_fault_report *report)
{
    const struct tls_trust *trust;

    if (options->client_ca == NULL) {
        return 0;
    }
    trust = tls_trusts_get(options->trusts, options->client_ca, report);
    if (trust == NULL) {
        return -1;
    }
    tls_trust_use(trust, made);
    return tls_trust_name(trust, made);
}

static int add_pair(struct tls_context *context,
                    const struct tls_server_options *options, size_t i,
                    struct tls_fault_report *report)
{
    const struct tls_pair *pair = &options->pairs[i];
    SSL_CTX *made = new_ssl_ctx(context, options);
    SSL_CTX *other;

    report->pair = i;
    if (made == NULL || tls_file_load_pair(made, pair, report) < 0 ||
        use_client_ca(made, options, report) < 0) {
        SSL_CTX_free(made);
        return -1;
    }
    other = tls_identities_join(&context->identities, made);
    if (other != NULL) {
        SSL_CTX_free(made);
        return tls_file_load_pair(other, pair, report);
    }
    return tls_identities_add(&context->identities, made);
}

/* A hash of the scope's name and of the authorities' certificates. */
static bool hash_scope(const char *scope, SSL_CTX *first,
                       unsigned char hash[EVP_MAX_MD_SIZE], unsigned *size)
{
    STACK_OF(X509_OBJECT) *trusted =
        X509_STORE_get0_objects(SSL_CTX_get_cert_store(first));
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned count;
    bool good = digest != NULL &&
                EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(digest, scope, strlen(scope)) == 1;

    for (int i = 0; good && i < sk_X509_OBJECT_num(trusted); i++) {
        X509 *x509 = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(trusted, i));

        good = x509 == NULL ||
               (X509_digest(x509, EVP_sha256(), bytes, &count) == 1 &&
                EVP_DigestUpdate(digest, bytes, count) == 1);
    }
    good = good && EVP_DigestFinal_ex(digest, hash, size) == 1;
    EVP_MD_CTX_free(digest);
    return good;
}

/* After all pairs: a session is resumed within the scope, by whatever name. */
static int finish(struct tls_context *context, const char *scope)
{
    const struct tls_identities *identities = &context->identities;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size;

    context->start = identities->list[0].context;
    SSL_CTX_up_ref(context->start);
    if (!hash_scope(scope, context->start, hash, &size)) {
        return -1;
    }
    for (size_t i = 0; i < identities->count; i++) {
        SSL_CTX_set_session_id_context(identities->list[i].context, hash, size);
    }
    return 0;
}

struct tls_context *tls_server_create(const struct tls_server_options *options,
                                      struct tls_fault_report *report)
{
    struct tls_context *context =
        tls_context_create(options->alpn, options->alpn_count);

    *report = (struct tls_fault_report){.fault = TLS_FAULT_OTHER};
    if (context == NULL) {
        goto fail;
    }
    if (options->ticket_keys != NULL) {
        context->ticket_keys =
            tls_ticket_set_load(options->ticket_keys, report);
        if (context->ticket_keys == NULL) {
            goto fail;
        }
    }
    for (size_t i = 0; i < options->pair_count; i++) {
        if (add_pair(context, options, i, report) < 0) {
            goto fail;
        }
    }
    if (finish(context, options->scope) == 0) {
        return context;
    }
fail:
    tls_file_report(report, TLS_FAULT_OTHER, NULL);
    tls_context_destroy(context);
    return NULL;
}

struct ssl_st *tls_server_connection(const struct tls_context *context)
{
    SSL *ssl = SSL_new(context->start);

    if (ssl != NULL) {
        SSL_set_accept_state(ssl);
    }
    return ssl;
}
