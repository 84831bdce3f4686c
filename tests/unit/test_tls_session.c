/* How long sessions are resumed, by clients of ours and by us as a client. The
 * clock is ours here: the code reads it by time, and so does OpenSSL
 * before 3.2, which reads it by gettimeofday since. */
#include "net/tls_client.h"
#include "net/tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SHORT_S = 600, LONG_S = 30 * 86400, HOUR_S = 3600 };

static time_t later_s; /* how far the clock was turned on */

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec + later_s;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

/* ---- certificates ---- */

struct party {
    X509 *x509;
    EVP_PKEY *key;
    char path[64]; /* the certificate and its key */
};

static char directory[] = "/tmp/test_tls_session.XXXXXX";
static struct party ca, brief_ca, server, brief_server, client, brief_client,
    client_of_brief_ca;

static void write_party(struct party *party, const char *name)
{
    FILE *file;

    snprintf(party->path, sizeof(party->path), "%s/%s", directory, name);
    file = fopen(party->path, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, party->x509), 1);
    assert_int_equal(
        PEM_write_PrivateKey(file, party->key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
}

/* issuer NULL: it signs itself, and may sign others. */
static void make(struct party *party, const char *name,
                 const struct party *issuer, long seconds)
{
    X509_EXTENSION *authority =
        X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
                            issuer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    static long serial;
    X509_NAME *subject;

    party->key = EVP_EC_gen("P-256");
    party->x509 = X509_new();
    subject = X509_get_subject_name(party->x509);
    X509_set_version(party->x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(party->x509), ++serial);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_gmtime_adj(X509_getm_notBefore(party->x509), -HOUR_S);
    X509_gmtime_adj(X509_getm_notAfter(party->x509), seconds);
    X509_set_pubkey(party->x509, party->key);
    X509_add_ext(party->x509, authority, -1);
    X509_EXTENSION_free(authority);
    issuer = issuer == NULL ? party : issuer;
    X509_set_issuer_name(party->x509, X509_get_subject_name(issuer->x509));
    assert_true(X509_sign(party->x509, issuer->key, EVP_sha256()) > 0);
    write_party(party, name);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(directory));
    make(&ca, "ca", NULL, LONG_S);
    make(&brief_ca, "brief-ca", NULL, SHORT_S);
    make(&server, "server", &ca, LONG_S);
    make(&brief_server, "brief-server", &ca, SHORT_S);
    make(&client, "client", &ca, LONG_S);
    make(&brief_client, "brief-client", &ca, SHORT_S);
    make(&client_of_brief_ca, "client-of-brief-ca", &brief_ca, LONG_S);
    return 0;
}

static int tear_down(void **state)
{
    struct party *all[] = {&ca,          &brief_ca,     &server,
                           &client,      &brief_client, &client_of_brief_ca,
                           &brief_server};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        unlink(all[i]->path);
        X509_free(all[i]->x509);
        EVP_PKEY_free(all[i]->key);
    }
    return rmdir(directory);
}

static int turn_back(void **state)
{
    (void)state;
    later_s = 0;
    return 0;
}

/* ---- connections without sockets ---- */

/* A handshake, and a byte each way: tickets come before it. False: one side
 * refuses. */
static bool meet(SSL *here, SSL *there)
{
    int left = -1;
    int right = -1;
    BIO *a;
    BIO *b;

    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(here, a, a);
    SSL_set_bio(there, b, b);
    for (int i = 0; i < 8 && (left != 1 || right != 1); i++) {
        left = SSL_do_handshake(here);
        right = SSL_do_handshake(there);
    }
    for (int i = 0; i < 2 && left == 1 && right == 1; i++) {
        SSL *from = i == 0 ? here : there;
        SSL *to = i == 0 ? there : here;
        char byte = 'x';

        left = SSL_write(from, &byte, 1);
        right = SSL_read(to, &byte, 1);
    }
    ERR_clear_error();
    return left == 1 && right == 1;
}

static void part(SSL *here, SSL *there)
{
    SSL_shutdown(here);
    SSL_shutdown(there);
    SSL_free(here);
    SSL_free(there);
}

/* ---- clients of ours ---- */

static struct tls_context *server_of(const char *client_ca)
{
    const struct tls_pair pair = {server.path, server.path};
    struct tls_trusts trusts = {0};
    const struct tls_server_options options = {.pairs = &pair,
                                               .pair_count = 1,
                                               .trusts = &trusts,
                                               .client_ca = client_ca,
                                               .scope = "web"};
    struct tls_fault_report report;
    struct tls_context *made = tls_server_create(&options, &report);

    assert_non_null(made);
    tls_trusts_fini(&trusts);
    return made;
}

/* Connects with the session in *session, which the new one replaces. Whether it
 * was resumed. */
static bool resumes(const struct tls_context *context, const struct party *who,
                    int version, SSL_SESSION **session)
{
    SSL_CTX *made = SSL_CTX_new(TLS_client_method());
    SSL *ours = tls_server_connection(context);
    bool reused = false;
    SSL *theirs;

    assert_non_null(ours);
    SSL_CTX_set_min_proto_version(made, version);
    SSL_CTX_set_max_proto_version(made, version);
    if (who != NULL) {
        SSL_CTX_use_certificate(made, who->x509);
        SSL_CTX_use_PrivateKey(made, who->key);
    }
    theirs = SSL_new(made);
    SSL_CTX_free(made);
    SSL_set_connect_state(theirs);
    if (*session != NULL) {
        SSL_set_session(theirs, *session);
    }
    if (meet(ours, theirs)) {
        reused = SSL_session_reused(ours) == 1;
        SSL_SESSION_free(*session);
        *session = SSL_get1_session(theirs);
    }
    part(ours, theirs);
    return reused;
}

static const int VERSIONS[] = {TLS1_2_VERSION, TLS1_3_VERSION};

/* The session is good just before the end, and not behind it. */
static void expect_end(const char *client_ca, const struct party *who,
                       time_t end_s)
{
    struct tls_context *context = server_of(client_ca);

    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session = NULL;

        later_s = 0;
        assert_false(resumes(context, who, VERSIONS[i], &session));
        assert_non_null(session);
        later_s = end_s - 10;
        assert_true(resumes(context, who, VERSIONS[i], &session));
        later_s = end_s + 10;
        assert_false(resumes(context, who, VERSIONS[i], &session));
        SSL_SESSION_free(session);
    }
    tls_context_destroy(context);
}

static void a_session_ends_after_two_hours_though_it_was_renewed(void **state)
{
    (void)state;
    expect_end(NULL, NULL, 2 * HOUR_S);
    expect_end(ca.path, &client, 2 * HOUR_S);
}

static void a_session_ends_with_the_clients_certificate(void **state)
{
    (void)state;
    expect_end(ca.path, &brief_client, SHORT_S);
}

static void a_session_ends_with_the_authoritys_certificate(void **state)
{
    (void)state;
    expect_end(brief_ca.path, &client_of_brief_ca, SHORT_S);
}

/* The file was changed in place: the reload reads the same path. */
static void a_session_ends_with_its_authority(void **state)
{
    struct tls_context *before = server_of(ca.path);
    struct tls_context *after = server_of(brief_ca.path);
    struct tls_context *same = server_of(ca.path);

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        SSL_SESSION *session = NULL;

        (void)resumes(before, &client, VERSIONS[i], &session);
        assert_false(resumes(after, &client, VERSIONS[i], &session));
        assert_true(resumes(same, &client, VERSIONS[i], &session));
        SSL_SESSION_free(session);
    }
    tls_context_destroy(before);
    tls_context_destroy(after);
    tls_context_destroy(same);
}

/* ---- upstreams ---- */

static struct tls_context *client_of(bool unverified)
{
    struct tls_trusts trusts = {0};
    const struct tls_client_options options = {.trusts = &trusts,
                                               .ca = ca.path,
                                               .unverified = unverified,
                                               .places = 1};
    struct tls_fault_report report;
    struct tls_context *made = tls_client_create(&options, &report);

    assert_non_null(made);
    tls_trusts_fini(&trusts);
    return made;
}

static SSL_CTX *upstream_of(const struct party *who, int version)
{
    SSL_CTX *made = SSL_CTX_new(TLS_server_method());

    SSL_CTX_set_min_proto_version(made, version);
    SSL_CTX_set_max_proto_version(made, version);
    SSL_CTX_set_timeout(made, 7 * 86400);
    SSL_CTX_use_certificate(made, who->x509);
    SSL_CTX_use_PrivateKey(made, who->key);
    return made;
}

static bool upstream_resumes(const struct tls_context *context, SSL_CTX *with)
{
    SSL *ours = tls_client_connection(context, NULL, 0, NULL);
    SSL *theirs = SSL_new(with);
    bool reused;

    assert_non_null(ours);
    SSL_set_accept_state(theirs);
    reused = meet(theirs, ours) && SSL_session_reused(ours) == 1;
    part(ours, theirs);
    return reused;
}

static void expect_upstream_end(bool unverified, const struct party *who,
                                time_t end_s)
{
    for (size_t i = 0; i < 2; i++) {
        struct tls_context *context = client_of(unverified);
        SSL_CTX *upstream = upstream_of(who, VERSIONS[i]);

        later_s = 0;
        assert_false(upstream_resumes(context, upstream));
        later_s = end_s - 10;
        assert_true(upstream_resumes(context, upstream));
        later_s = end_s + 10;
        assert_false(upstream_resumes(context, upstream));
        SSL_CTX_free(upstream);
        tls_context_destroy(context);
    }
}

static void the_session_of_an_upstream_ends_with_its_certificate(void **state)
{
    (void)state;
    expect_upstream_end(false, &brief_server, SHORT_S);
    expect_upstream_end(false, &server, 2 * HOUR_S);
}

/* Its certificate stands for nothing. */
static void one_that_is_not_verified_is_resumed_for_two_hours(void **state)
{
    (void)state;
    expect_upstream_end(true, &brief_server, 2 * HOUR_S);
}

#define TEST(name) cmocka_unit_test_teardown(name, turn_back)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_session_ends_after_two_hours_though_it_was_renewed),
        TEST(a_session_ends_with_the_clients_certificate),
        TEST(a_session_ends_with_the_authoritys_certificate),
        TEST(a_session_ends_with_its_authority),
        TEST(the_session_of_an_upstream_ends_with_its_certificate),
        TEST(one_that_is_not_verified_is_resumed_for_two_hours),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
