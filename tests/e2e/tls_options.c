#include "tls_options.h"

#include "tls_end.h"

/* Keeps the client's list, and chooses the first of ours that is in it. */
static int choose_alpn(SSL *ssl, const unsigned char **chosen,
                       unsigned char *chosen_size, const unsigned char *offer,
                       unsigned offer_size, void *arg)
{
    struct tls_end *end = SSL_get_app_data(ssl);
    unsigned char *found = NULL;

    (void)arg;
    tls_alpn_read(end->offered, offer, offer_size);
    if (end->alpn_size == 0) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    if (SSL_select_next_proto(&found, chosen_size, end->alpn, end->alpn_size,
                              offer, offer_size) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

/* Without a callback OpenSSL does not keep the name. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static bool set_trust(SSL_CTX *context, const struct identity *ca, bool server)
{
    int mode = SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);

    if (ca == NULL) {
        return true;
    }
    SSL_CTX_set_verify(context, mode, NULL);
    return SSL_CTX_load_verify_file(context, ca->certificate) == 1;
}

static bool set_identity(SSL_CTX *context, const struct identity *identity)
{
    return identity == NULL ||
           (SSL_CTX_use_certificate_chain_file(context,
                                               identity->certificate) == 1 &&
            SSL_CTX_use_PrivateKey_file(context, identity->key,
                                        SSL_FILETYPE_PEM) == 1);
}

/* OpenSSL thinks the ciphers of versions before 1.2 too weak by default. */
static bool set_versions(SSL_CTX *context, const struct tls_options *options)
{
    int least = options->version != 0 ? options->version : TLS1_2_VERSION;

    if (least < TLS1_2_VERSION) {
        SSL_CTX_set_security_level(context, 0);
    }
    return SSL_CTX_set_min_proto_version(context, least) == 1 &&
           SSL_CTX_set_max_proto_version(context, options->version) == 1 &&
           (options->ciphers == NULL ||
            SSL_CTX_set_cipher_list(context, options->ciphers) == 1) &&
           (options->signatures == NULL ||
            SSL_CTX_set1_sigalgs_list(context, options->signatures) == 1);
}

SSL_CTX *tls_options_context(const struct tls_options *options, bool server)
{
    SSL_CTX *context =
        SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

    if (context == NULL) {
        return NULL;
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, accept_name);
    if (!set_versions(context, options) ||
        !set_trust(context, options->ca, server) ||
        !set_identity(context, options->identity)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}
