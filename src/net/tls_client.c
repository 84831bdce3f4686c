#include "net/tls_client.h"

#include "net/tls_session.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- sessions ---- */

/* The upstream has sent a session or a ticket. 1: the reference is taken over;
 * 0: it is not kept. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION *_Atomic *place = SSL_get_app_data(ssl);

    if (!tls_session_limit(ssl, session)) {
        return 0;
    }
    SSL_SESSION_free(atomic_exchange(place, session));
    return 1;
}

/* Resumes the session in the place. It is taken out meanwhile, so that no other
 * thread frees it; one that was stored in the meantime is newer and stays. */
static void resume(SSL *ssl, SSL_SESSION *_Atomic *place)
{
    SSL_SESSION *session = atomic_exchange(place, NULL);
    SSL_SESSION *none = NULL;

    SSL_set_app_data(ssl, (void *)place);
    if (session == NULL) {
        return;
    }
    if (tls_session_is_over(session)) {
        SSL_SESSION_free(session);
        return;
    }
    SSL_set_session(ssl, session);
    if (!atomic_compare_exchange_strong(place, &none, session)) {
        SSL_SESSION_free(session);
    }
}

/* ---- the context ---- */

static int finish(struct tls_context *context,
                  const struct tls_client_options *options,
                  struct tls_fault_report *report)
{
    SSL_CTX *made = tls_context_new_ssl_ctx(TLS_client_method());
    const struct tls_trust *trust;

    if (made == NULL) {
        return -1;
    }
    context->start = made;
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT |
                                             SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(made, on_session);
    if (options->pair.certificate != NULL &&
        tls_file_load_pair(made, &options->pair, report) < 0) {
        return -1;
    }
    if (options->unverified) {
        return 0;
    }
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    trust = tls_trusts_get(options->trusts, options->ca, report);
    if (trust == NULL) {
        return -1;
    }
    tls_trust_use(trust, made);
    return 0;
}

struct tls_context *tls_client_create(const struct tls_client_options *options,
                                      struct tls_fault_report *report)
{
    struct tls_context *context =
        tls_context_create(options->alpn, options->alpn_count);

    *report = (struct tls_fault_report){.fault = TLS_FAULT_OTHER};
    if (context == NULL) {
        goto fail;
    }
    context->sessions = calloc(options->places + 1, sizeof(SSL_SESSION *));
    if (context->sessions == NULL) {
        goto fail;
    }
    context->places = options->places;
    if (finish(context, options, report) == 0) {
        return context;
    }
fail:
    tls_file_report(report, TLS_FAULT_OTHER, NULL);
    tls_context_destroy(context);
    return NULL;
}

/* ---- connections ---- */

/* Requires the name in the certificate. The server name that is sent may be no
 * IP address (RFC 6066, section 3). */
static bool require_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    X509_VERIFY_PARAM_set_hostflags(param,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return true;
    }
    ERR_clear_error();
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* Offers what the client has agreed on with us, as it speaks that to the
 * upstream; without TLS on its side, all protocols of the service. */
static bool offer_protocols(const struct tls_context *context, SSL *ssl,
                            const SSL *client)
{
    unsigned char list[1 + TLS_PROTOCOL_BYTES_MAX];
    const unsigned char *chosen;
    unsigned length;

    if (client == NULL) {
        return context->protocols == NULL ||
               SSL_set_alpn_protos(ssl, context->protocols,
                                   (unsigned)context->protocols_bytes) == 0;
    }
    SSL_get0_alpn_selected(client, &chosen, &length);
    if (length == 0) {
        return true;
    }
    list[0] = (unsigned char)length;
    memcpy(&list[1], chosen, length);
    return SSL_set_alpn_protos(ssl, list, 1 + length) == 0;
}

struct ssl_st *tls_client_connection(const struct tls_context *context,
                                     const char *name, size_t place,
                                     const struct ssl_st *client)
{
    SSL *ssl = SSL_new(context->start);

    if (ssl == NULL) {
        return NULL;
    }
    SSL_set_connect_state(ssl);
    if ((name != NULL && !require_name(ssl, name)) ||
        !offer_protocols(context, ssl, client)) {
        SSL_free(ssl);
        return NULL;
    }
    resume(ssl, &context->sessions[place]);
    return ssl;
}
