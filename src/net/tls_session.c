#include "net/tls_session.h"

#include <openssl/ssl.h>
#include <stdint.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

/* Before OpenSSL 3.3 there is only a function that 3.4 deprecates. */
#if !OPENSSL_VERSION_PREREQ(3, 3)
#define SSL_SESSION_get_time_ex SSL_SESSION_get_time
#endif

/* In seconds since 1970. */
static int64_t end_of_certificate(const X509 *x509)
{
    struct tm end;

    return ASN1_TIME_to_tm(X509_get0_notAfter(x509), &end) == 1
               ? (int64_t)timegm(&end)
               : 0;
}

/* What a full handshake stands for. */
static int64_t end_of_handshake(const SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int64_t end = (int64_t)time(NULL) + TLS_SESSION_LIFETIME_S;

    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
        for (int i = 0; i < sk_X509_num(chain); i++) {
            end = MIN(end, end_of_certificate(sk_X509_value(chain, i)));
        }
    }
    return end;
}

bool tls_session_limit(SSL *ssl, SSL_SESSION *session)
{
    void *data = NULL;
    size_t size = 0;
    int64_t end;
    long left;

    /* The end goes with the session, through its tickets and renewals. */
    (void)SSL_SESSION_get0_ticket_appdata(session, &data, &size);
    if (size == sizeof(end)) {
        memcpy(&end, data, sizeof(end));
    } else {
        end = end_of_handshake(ssl);
        if (SSL_SESSION_set1_ticket_appdata(session, &end, sizeof(end)) != 1) {
            return false;
        }
    }
    left = (long)(end - SSL_SESSION_get_time_ex(session));
    SSL_SESSION_set_timeout(session, MAX(left, 0));
    return true;
}

bool tls_session_is_over(const SSL_SESSION *session)
{
    return time(NULL) >=
           SSL_SESSION_get_time_ex(session) + SSL_SESSION_get_timeout(session);
}

/* OpenSSL is about to send a ticket. 0: failure. */
static int on_ticket_sent(SSL *ssl, void *arg)
{
    (void)arg;
    return tls_session_limit(ssl, SSL_get_session(ssl)) ? 1 : 0;
}

void tls_session_limit_tickets(SSL_CTX *context)
{
    SSL_CTX_set_timeout(context, TLS_SESSION_LIFETIME_S);
    SSL_CTX_set_session_ticket_cb(context, on_ticket_sent, NULL, NULL);
}
