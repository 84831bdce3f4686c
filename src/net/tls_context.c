#include "net/tls_context.h"

#include "net/ktls.h"
#include "net/tls_ticket.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROTOCOL_BYTES_MAX 255 /* RFC 7301, section 3.1 */

/* A server name, "a.example" or "*.example", and who answers to it. */
struct name {
    char *text; /* lower case */
    SSL_CTX *context;
};

/* The certificates of one set of names. */
struct identity {
    SSL_CTX *context;
    unsigned kinds; /* of keys: a bit for each, see kind_of */
};

struct tls_context {
    struct identity *identities; /* a client has one */
    size_t identity_count;
    struct name *names; /* sorted by text */
    size_t name_count;
    unsigned char *protocols; /* as in a ClientHello; NULL: none */
    size_t protocols_bytes;
    unsigned char scope[32];        /* of sessions */
    SSL_SESSION *_Atomic *sessions; /* of each upstream the last, or NULL; any
                                       thread takes and puts back */
    size_t places;
    bool server;
};

/* ---- complaints ---- */

/* The first error is the cause; what follows says who met it. */
static const char *library_text(void)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error))
                                               : ERR_reason_error_string(error);

    return text == NULL ? "no memory is left" : text;
}

static void complain(struct tls_fault_report *complaint, enum tls_fault fault,
                     const char *path)
{
    static _Thread_local char sentence[512];

    if (complaint->text != NULL) {
        return; /* a closer word was said */
    }
    complaint->fault = fault;
    snprintf(sentence, sizeof(sentence), "%s%s%s", path == NULL ? "" : path,
             path == NULL ? "" : ": ", library_text());
    complaint->text = sentence;
}

/* ---- what all contexts have ---- */

/* Nobody is there to be asked for the password of a key. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* Ciphers are the system's policy, and of those the client's choice: it knows
 * what its processor does well. */
static SSL_CTX *new_context(const SSL_METHOD *method)
{
    SSL_CTX *context = SSL_CTX_new(method);

    if (context == NULL) {
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context,
                        SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (ktls_available()) {
        SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    }
    /* A write that is tried again comes from where the ring is by then; an idle
     * connection holds no buffer. */
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, no_password);
    return context;
}

/* Each with its length before it, as in a ClientHello. */
static int set_protocols(struct tls_context *context, char *const *list,
                         size_t count)
{
    size_t bytes = 0;

    if (count == 0) {
        return 0;
    }
    context->protocols = malloc(count * (1 + PROTOCOL_BYTES_MAX));
    if (context->protocols == NULL) {
        return -1;
    }
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(list[i]);

        context->protocols[bytes] = (unsigned char)length;
        memcpy(&context->protocols[bytes + 1], list[i], length);
        bytes += 1 + length;
    }
    context->protocols_bytes = bytes;
    return 0;
}

void tls_context_destroy(struct tls_context *context)
{
    if (context == NULL) {
        return;
    }
    for (size_t i = 0; i < context->name_count; i++) {
        free(context->names[i].text);
    }
    for (size_t i = 0; i < context->identity_count; i++) {
        SSL_CTX_free(context->identities[i].context);
    }
    for (size_t i = 0; i < context->places; i++) {
        SSL_SESSION_free(context->sessions[i]);
    }
    free(context->sessions);
    free(context->names);
    free(context->identities);
    free(context->protocols);
    free(context);
}

/* ---- names ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text,
                  ((const struct name *)b)->text);
}

static SSL_CTX *find_exactly(const struct tls_context *context,
                             const char *text)
{
    struct name key = {.text = (char *)text};
    const struct name *found =
        context->name_count == 0
            ? NULL
            : bsearch(&key, context->names, context->name_count, sizeof(key),
                      compare_names);

    return found == NULL ? NULL : found->context;
}

/* Exactly, or by a wildcard for the first label. */
static SSL_CTX *find_name(const struct tls_context *context, const char *name)
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
    found = find_exactly(context, text);
    dot = strchr(text, '.');
    if (found != NULL || dot == NULL || dot == text) {
        return found;
    }
    *--dot = '*';
    return find_exactly(context, dot);
}

/* As names are kept and looked for; NULL: no memory. */
static char *copy_name(const ASN1_STRING *text)
{
    char *copy = strndup((const char *)ASN1_STRING_get0_data(text),
                         (size_t)ASN1_STRING_length(text));

    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
    }
    return copy;
}

/* The first certificate with a name has it. */
static int add_name(struct tls_context *context, SSL_CTX *owner,
                    const ASN1_STRING *text)
{
    struct name *names;
    char *copy;

    names = realloc(context->names, (context->name_count + 1) * sizeof(*names));
    if (names == NULL) {
        return -1;
    }
    context->names = names;
    copy = copy_name(text);
    if (copy == NULL) {
        return -1;
    }
    if (find_exactly(context, copy) != NULL) {
        free(copy);
        return 0;
    }
    names[context->name_count++] =
        (struct name){.text = copy, .context = owner};
    qsort(names, context->name_count, sizeof(*names), compare_names);
    return 0;
}

typedef int (*name_fn)(struct tls_context *context, SSL_CTX *owner,
                       const ASN1_STRING *text);

/* The certificate's common name, which counts if it has no alternative ones
 * (RFC 6125, section 6.4.4). */
static int common_name(struct tls_context *context, SSL_CTX *owner, X509 *x509,
                       name_fn fn)
{
    X509_NAME *type = X509_get_subject_name(x509);
    int at = X509_NAME_get_index_by_NID(type, NID_commonName, -1);

    if (at < 0) {
        return 0;
    }
    return fn(context, owner,
              X509_NAME_ENTRY_get_data(X509_NAME_get_entry(type, at)));
}

/* Calls fn with each name, until it answers other than 0: that is the answer.
 */
static int each_name(struct tls_context *context, SSL_CTX *owner, X509 *x509,
                     name_fn fn)
{
    GENERAL_NAMES *list =
        X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    bool any = false;
    int result = 0;

    for (int i = 0; result == 0 && i < sk_GENERAL_NAME_num(list); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(list, i);

        if (name->type == GEN_DNS) {
            any = true;
            result = fn(context, owner, name->d.dNSName);
        }
    }
    GENERAL_NAMES_free(list);
    return any ? result : common_name(context, owner, x509, fn);
}

/* Whether owner has the name: 0 yes, 1 no. */
static int lacks_name(struct tls_context *context, SSL_CTX *owner,
                      const ASN1_STRING *text)
{
    char *copy = copy_name(text);
    bool has = copy != NULL && find_exactly(context, copy) == owner;

    free(copy);
    return has ? 0 : 1;
}

/* ---- certificates ---- */

static unsigned kind_of(const X509 *x509)
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

static int use_pair(SSL_CTX *context, const struct tls_pair *pair,
                    struct tls_fault_report *complaint)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, pair->certificate) != 1) {
        complain(complaint, TLS_FAULT_CERTIFICATE, pair->certificate);
        return -1;
    }
    if (SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM) !=
            1 ||
        SSL_CTX_check_private_key(context) != 1) {
        complain(complaint, TLS_FAULT_KEY, pair->key);
        return -1;
    }
    return 0;
}

/* The file's authorities sign what the other end must show; their names are
 * told to clients, who choose by them. */
static int trust(SSL_CTX *context, const char *ca, bool tell,
                 struct tls_fault_report *complaint)
{
    ERR_clear_error();
    if (SSL_CTX_load_verify_file(context, ca) != 1) {
        complain(complaint, TLS_FAULT_CA, ca);
        return -1;
    }
    if (tell) {
        SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(ca));
    }
    return 0;
}

/* ---- servers ---- */

static int on_name(SSL *ssl, int *alert, void *arg)
{
    const struct tls_context *context = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    SSL_CTX *found = name == NULL ? NULL : find_name(context, name);

    (void)alert;
    if (found == NULL) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
}

static int on_protocols(SSL *ssl, const unsigned char **chosen,
                        unsigned char *chosen_bytes,
                        const unsigned char *offered, unsigned offered_bytes,
                        void *arg)
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

static SSL_CTX *new_server(struct tls_context *context,
                           const struct tls_server_options *options)
{
    SSL_CTX *made = new_context(TLS_server_method());

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
        SSL_CTX_set_alpn_select_cb(made, on_protocols, context);
    }
    /* One, as it is replaced when it is used; each is a hash, a seal and a
     * record. */
    SSL_CTX_set_num_tickets(made, 1);
    SSL_CTX_set_tlsext_servername_callback(made, on_name);
    SSL_CTX_set_tlsext_servername_arg(made, context);
    tls_ticket_use(made);
    return made;
}

/* The scope's name and the authorities' certificates. */
static int set_scope(struct tls_context *context, const char *scope,
                     SSL_CTX *first)
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
    good = good && EVP_DigestFinal_ex(digest, context->scope, NULL) == 1;
    EVP_MD_CTX_free(digest);
    return good ? 0 : -1;
}

/* The identity that the certificate joins: one that has all its names, and none
 * of its kind. */
static struct identity *find_identity(struct tls_context *context, X509 *x509)
{
    for (size_t i = 0; i < context->identity_count; i++) {
        struct identity *identity = &context->identities[i];

        if (!(identity->kinds & kind_of(x509)) &&
            each_name(context, identity->context, x509, lacks_name) == 0) {
            return identity;
        }
    }
    return NULL;
}

static int join_identity(struct identity *identity, const struct tls_pair *pair,
                         unsigned kind, struct tls_fault_report *complaint)
{
    identity->kinds |= kind;
    return use_pair(identity->context, pair, complaint);
}

/* Takes the OpenSSL context. */
static int add_identity(struct tls_context *context, SSL_CTX *made)
{
    X509 *x509 = SSL_CTX_get0_certificate(made);

    context->identities[context->identity_count++] =
        (struct identity){.context = made, .kinds = kind_of(x509)};
    return each_name(context, made, x509, add_name);
}

static int add_pair(struct tls_context *context,
                    const struct tls_server_options *options, size_t i,
                    struct tls_fault_report *complaint)
{
    const struct tls_pair *pair = &options->pairs[i];
    SSL_CTX *made = new_server(context, options);
    struct identity *old;
    unsigned kind;

    complaint->pair = i;
    if (made == NULL || use_pair(made, pair, complaint) < 0 ||
        (options->client_ca != NULL &&
         trust(made, options->client_ca, true, complaint) < 0)) {
        SSL_CTX_free(made);
        return -1;
    }
    kind = kind_of(SSL_CTX_get0_certificate(made));
    old = find_identity(context, SSL_CTX_get0_certificate(made));
    if (old != NULL) {
        SSL_CTX_free(made);
        return join_identity(old, pair, kind, complaint);
    }
    return add_identity(context, made);
}

static int finish_server(struct tls_context *context, const char *scope)
{
    if (set_scope(context, scope, context->identities[0].context) < 0) {
        return -1;
    }
    for (size_t i = 0; i < context->identity_count; i++) {
        SSL_CTX_set_session_id_context(context->identities[i].context,
                                       context->scope, sizeof(context->scope));
    }
    return 0;
}

struct tls_context *tls_server_create(const struct tls_server_options *options,
                                      struct tls_fault_report *complaint)
{
    struct tls_context *context = calloc(1, sizeof(*context));

    *complaint = (struct tls_fault_report){.fault = TLS_FAULT_OTHER};
    if (context == NULL) {
        goto fail;
    }
    context->server = true;
    context->identities =
        calloc(options->pair_count, sizeof(*context->identities));
    if (context->identities == NULL ||
        set_protocols(context, options->alpn, options->alpn_count) < 0) {
        goto fail;
    }
    for (size_t i = 0; i < options->pair_count; i++) {
        if (add_pair(context, options, i, complaint) < 0) {
            goto fail;
        }
    }
    if (finish_server(context, options->scope) == 0) {
        return context;
    }
fail:
    complain(complaint, TLS_FAULT_OTHER, NULL);
    tls_context_destroy(context);
    return NULL;
}

/* ---- clients ---- */

static void put_session(SSL_SESSION *_Atomic *place, SSL_SESSION *session)
{
    SSL_SESSION_free(atomic_exchange(place, session));
}

/* An upstream has given a session, or a ticket; we take it. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    put_session(SSL_get_app_data(ssl), session);
    return 1;
}

/* It is taken out meanwhile, so that no other thread frees it; one that has
 * come instead is newer. */
static void offer_session(SSL *ssl, SSL_SESSION *_Atomic *place)
{
    SSL_SESSION *session = atomic_exchange(place, NULL);
    SSL_SESSION *none = NULL;

    SSL_set_app_data(ssl, (void *)place);
    if (session == NULL) {
        return;
    }
    SSL_set_session(ssl, session);
    if (!atomic_compare_exchange_strong(place, &none, session)) {
        SSL_SESSION_free(session);
    }
}

static int finish_client(struct tls_context *context,
                         const struct tls_client_options *options,
                         struct tls_fault_report *complaint)
{
    SSL_CTX *made = new_context(TLS_client_method());

    if (made == NULL) {
        return -1;
    }
    context->identities[context->identity_count++].context = made;
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT |
                                             SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(made, on_session);
    if (options->unverified) {
        return 0;
    }
    SSL_CTX_set_verify(made, SSL_VERIFY_PEER, NULL);
    if (options->ca != NULL) {
        return trust(made, options->ca, false, complaint);
    }
    return SSL_CTX_set_default_verify_paths(made) == 1 ? 0 : -1;
}

struct tls_context *tls_client_create(const struct tls_client_options *options,
                                      struct tls_fault_report *complaint)
{
    struct tls_context *context = calloc(1, sizeof(*context));

    *complaint = (struct tls_fault_report){.fault = TLS_FAULT_OTHER};
    if (context == NULL) {
        goto fail;
    }
    context->identities = calloc(1, sizeof(*context->identities));
    context->sessions = calloc(options->places + 1, sizeof(SSL_SESSION *));
    if (context->identities == NULL || context->sessions == NULL) {
        goto fail;
    }
    context->places = options->places;
    if (set_protocols(context, options->alpn, options->alpn_count) == 0 &&
        finish_client(context, options, complaint) == 0) {
        return context;
    }
fail:
    complain(complaint, TLS_FAULT_OTHER, NULL);
    tls_context_destroy(context);
    return NULL;
}

/* ---- connections ---- */

/* Who it must be: an address is asked for in no server name (RFC 6066, section
 * 3). */
static bool expect(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *wanted = SSL_get0_param(ssl);

    X509_VERIFY_PARAM_set_hostflags(wanted,
                                    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (X509_VERIFY_PARAM_set1_ip_asc(wanted, name) == 1) {
        return true;
    }
    ERR_clear_error();
    return X509_VERIFY_PARAM_set1_host(wanted, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

/* What the client has agreed on with us is what it will speak to the upstream;
 * where TLS begins here, all that the service lists. */
static bool offer_protocols(const struct tls_context *context, SSL *ssl,
                            const SSL *other)
{
    unsigned char list[1 + PROTOCOL_BYTES_MAX];
    const unsigned char *chosen;
    unsigned length;

    if (other == NULL) {
        return context->protocols == NULL ||
               SSL_set_alpn_protos(ssl, context->protocols,
                                   (unsigned)context->protocols_bytes) == 0;
    }
    SSL_get0_alpn_selected(other, &chosen, &length);
    if (length == 0) {
        return true;
    }
    list[0] = (unsigned char)length;
    memcpy(&list[1], chosen, length);
    return SSL_set_alpn_protos(ssl, list, 1 + length) == 0;
}

struct ssl_st *tls_context_accept(const struct tls_context *context)
{
    SSL *ssl = SSL_new(context->identities[0].context);

    if (ssl != NULL) {
        SSL_set_accept_state(ssl);
    }
    return ssl;
}

struct ssl_st *tls_context_connect(const struct tls_context *context,
                                   const char *name, size_t place,
                                   const struct ssl_st *other)
{
    SSL *ssl = SSL_new(context->identities[0].context);

    if (ssl == NULL) {
        return NULL;
    }
    SSL_set_connect_state(ssl);
    if ((name != NULL && !expect(ssl, name)) ||
        !offer_protocols(context, ssl, other)) {
        SSL_free(ssl);
        return NULL;
    }
    offer_session(ssl, &context->sessions[place]);
    return ssl;
}
