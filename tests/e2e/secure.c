#include "secure.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { ENDS_MAX = 65536, ALPN_MAX = 256 };

/* Our end of a connection. */
struct end {
    int fd;
    SSL *ssl;
    pthread_mutex_t lock; /* guards ssl: two flows may share it */
    bool drops;
    bool together;
    bool greeted;                 /* the first part of the handshake was sent */
    bool ended;                   /* the peer's FIN was read */
    char offered[ALPN_MAX];       /* as text */
    unsigned char alpn[ALPN_MAX]; /* ours, as it is written on the wire */
    unsigned alpn_size;
};

/* By descriptor; each is used by the threads that hold that. */
static _Atomic(struct end *) ends[ENDS_MAX];

static _Thread_local char why[256];

const char *secure_why(void)
{
    return why;
}

/* Keeps what OpenSSL, or else the system, had to say. */
static void explain(void)
{
    unsigned long code = ERR_peek_error();
    if (code) {
        ERR_error_string_n(code, why, sizeof why);
    } else {
        snprintf(why, sizeof why, "%s", strerrordesc_np(errno));
    }
    ERR_clear_error();
}

/* ---- the socket, as OpenSSL sees it ---- */

static int line_write(BIO *bio, const char *bytes, int count)
{
    struct end *end = BIO_get_data(bio);
    size_t step = end->drops ? 1 : (size_t)count;
    bool more = end->together && end->greeted && SSL_in_init(end->ssl);
    ssize_t sent =
        send(end->fd, bytes, step, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    end->greeted = true;
    BIO_clear_retry_flags(bio);
    if (sent < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int line_read(BIO *bio, char *buffer, int size)
{
    struct end *end = BIO_get_data(bio);
    ssize_t count = recv(end->fd, buffer, (size_t)size, 0);
    BIO_clear_retry_flags(bio);
    if (count < 0 && errno == EAGAIN) {
        BIO_set_retry_read(bio);
    }
    end->ended = count == 0;
    return (int)count;
}

static long line_control(BIO *bio, int command, long number, void *arg)
{
    struct end *end = BIO_get_data(bio);
    (void)number;
    (void)arg;
    if (command == BIO_CTRL_EOF) {
        return end->ended;
    }
    return command == BIO_CTRL_FLUSH;
}

static int line_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *line_method;

static void line_method_make(void)
{
    line_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "line");
    BIO_meth_set_write(line_method, line_write);
    BIO_meth_set_read(line_method, line_read);
    BIO_meth_set_ctrl(line_method, line_control);
    BIO_meth_set_create(line_method, line_create);
}

static BIO *line_new(struct end *end)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, line_method_make);
    BIO *bio = BIO_new(line_method);
    if (bio) {
        BIO_set_data(bio, end);
    }
    return bio;
}

/* ---- contexts ---- */

/* "a,b" as it is written on the wire; the size, 0 if there is no room. */
static unsigned alpn_write(unsigned char *wire, const char *text)
{
    size_t size = 0;
    while (*text) {
        size_t count = strcspn(text, ",");
        if (size + 1 + count > ALPN_MAX || count > 255) {
            return 0;
        }
        wire[size] = (unsigned char)count;
        memcpy(wire + size + 1, text, count);
        size += 1 + count;
        text += count + (text[count] == ',');
    }
    return (unsigned)size;
}

static void alpn_read(char *text, const unsigned char *wire, unsigned size)
{
    size_t used = 0;
    for (unsigned i = 0; i < size && used + wire[i] + 2 < ALPN_MAX;
         i += 1U + wire[i]) {
        used += (size_t)snprintf(text + used, ALPN_MAX - used, "%s%.*s",
                                 used ? "," : "", wire[i],
                                 (const char *)wire + i + 1);
    }
}

/* Remembers what was offered, and takes the first of ours that is among it. */
static int alpn_choose(SSL *ssl, const unsigned char **chosen,
                       unsigned char *chosen_size, const unsigned char *offer,
                       unsigned offer_size, void *arg)
{
    struct end *end = SSL_get_app_data(ssl);
    unsigned char *found = NULL;
    (void)arg;
    alpn_read(end->offered, offer, offer_size);
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

/* Any name will do; without one OpenSSL does not remember it. */
static int name_accept(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static bool context_trust(SSL_CTX *context, const struct secure *how,
                          bool server)
{
    if (!how->ca) {
        return true;
    }
    SSL_CTX_set_verify(
        context,
        SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    return SSL_CTX_load_verify_file(context, how->ca->certificate) == 1;
}

static bool context_show(SSL_CTX *context, const struct identity *identity)
{
    return !identity || (SSL_CTX_use_certificate_chain_file(
                             context, identity->certificate) == 1 &&
                         SSL_CTX_use_PrivateKey_file(context, identity->key,
                                                     SSL_FILETYPE_PEM) == 1);
}

/* Versions before 1.2 take what is otherwise thought too weak. */
static bool context_limit(SSL_CTX *context, const struct secure *how)
{
    int lowest = how->version ? how->version : TLS1_2_VERSION;
    if (lowest < TLS1_2_VERSION) {
        SSL_CTX_set_security_level(context, 0);
    }
    return SSL_CTX_set_min_proto_version(context, lowest) == 1 &&
           SSL_CTX_set_max_proto_version(context, how->version) == 1 &&
           (!how->ciphers ||
            SSL_CTX_set_cipher_list(context, how->ciphers) == 1) &&
           (!how->signatures ||
            SSL_CTX_set1_sigalgs_list(context, how->signatures) == 1);
}

SSL_CTX *secure_context(const struct secure *how, bool server)
{
    SSL_CTX *context =
        SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!context) {
        return NULL;
    }
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(context, alpn_choose, NULL);
    SSL_CTX_set_tlsext_servername_callback(context, name_accept);
    if (!context_limit(context, how) || !context_trust(context, how, server) ||
        !context_show(context, how->identity)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* ---- as a carrier ---- */

/* What a call that failed means, as the socket's own would say it. */
static ssize_t end_answer(struct end *end, int result)
{
    int error = errno;
    switch (SSL_get_error(end->ssl, result)) {
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_SYSCALL:
        errno = error;
        explain();
        errno = error;
        return -1;
    default:
        explain();
        errno = EPROTO;
        return -1;
    }
}

static ssize_t end_send(int fd, const void *bytes, size_t count)
{
    struct end *end = ends[fd];
    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    ssize_t result = SSL_write(end->ssl, bytes, (int)count);
    if (result <= 0) {
        result = end_answer(end, (int)result);
    }
    pthread_mutex_unlock(&end->lock);
    return result;
}

static ssize_t end_recv(int fd, void *buffer, size_t size)
{
    struct end *end = ends[fd];
    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    ssize_t result = SSL_read(end->ssl, buffer, (int)size);
    if (result <= 0) {
        result = end_answer(end, (int)result);
    }
    pthread_mutex_unlock(&end->lock);
    return result;
}

/* True: it has gone, or never will; false: there is no room for it yet. */
static bool end_try_notify(struct end *end)
{
    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    int result = SSL_shutdown(end->ssl);
    bool done =
        result >= 0 || SSL_get_error(end->ssl, result) != SSL_ERROR_WANT_WRITE;
    pthread_mutex_unlock(&end->lock);
    return done;
}

/* Once; a second one would wait for the peer's. Without room it waits so long,
 * as a socket keeps its FIN until there is some. */
static void end_notify(struct end *end, int fd, int patience_ms)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    pthread_mutex_lock(&end->lock);
    bool sent = SSL_get_shutdown(end->ssl) & SSL_SENT_SHUTDOWN;
    pthread_mutex_unlock(&end->lock);
    while (!sent && !end_try_notify(end) && poll(&room, 1, patience_ms) > 0) {
    }
}

static int end_finish(int fd)
{
    end_notify(ends[fd], fd, 10000);
    return shutdown(fd, SHUT_WR);
}

static void end_destroy(struct end *end)
{
    SSL_free(end->ssl);
    pthread_mutex_destroy(&end->lock);
    free(end);
}

static void end_drop(int fd)
{
    end_destroy(ends[fd]);
    ends[fd] = NULL;
}

static const struct carrier carrier = {end_send, end_recv, end_finish,
                                       end_drop};

/* ---- handshakes ---- */

/* What one connection has of how. */
static bool end_prepare(struct end *end, const struct secure *how, bool server)
{
    BIO *bio = line_new(end);
    if (!bio) {
        return false;
    }
    SSL_set_bio(end->ssl, bio, bio);
    SSL_set_app_data(end->ssl, end);
    end->drops = how->drops;
    end->together = how->together;
    end->alpn_size = how->alpn ? alpn_write(end->alpn, how->alpn) : 0;
    if (server) {
        SSL_set_accept_state(end->ssl);
        return true;
    }
    SSL_set_connect_state(end->ssl);
    return (!how->name || SSL_set_tlsext_host_name(end->ssl, how->name)) &&
           (!how->name || !how->ca || SSL_set1_host(end->ssl, how->name)) &&
           (!end->alpn_size ||
            SSL_set_alpn_protos(end->ssl, end->alpn, end->alpn_size) == 0) &&
           (!how->session || SSL_set_session(end->ssl, how->session));
}

static struct end *end_new(int fd, const struct secure *how, bool server)
{
    SSL_CTX *context = how->context;
    struct end *end = calloc(1, sizeof *end);
    if (!context || !SSL_CTX_up_ref(context)) {
        context = secure_context(how, server);
    }
    if (!context || !end || !(end->ssl = SSL_new(context))) {
        explain();
        SSL_CTX_free(context);
        free(end);
        return NULL;
    }
    SSL_CTX_free(context); /* ssl keeps it */
    end->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    pthread_mutex_init(&end->lock, NULL);
    if (!end_prepare(end, how, server)) {
        explain();
        end_destroy(end);
        return NULL;
    }
    return end;
}

static bool await(int fd, bool read, int64_t limit)
{
    struct pollfd look = {.fd = fd, .events = read ? POLLIN : POLLOUT};
    int64_t left = limit - time_ms();
    return left > 0 && poll(&look, 1, (int)left) > 0;
}

static int end_shake(struct end *end)
{
    int64_t limit = time_limit();
    for (;;) {
        ERR_clear_error();
        int result = SSL_do_handshake(end->ssl);
        if (result == 1) {
            return 0;
        }
        int error = errno;
        if (end_answer(end, result) != -1 || errno != EAGAIN) {
            return -1;
        }
        if (!await(end->fd, SSL_want_read(end->ssl), limit)) {
            errno = error;
            snprintf(why, sizeof why, "no answer");
            return -1;
        }
    }
}

int secure_begin(int fd, const struct secure *how, bool server)
{
    struct end *end = end_new(fd, how, server);
    if (!end) {
        return -1;
    }
    if (end_shake(end) != 0) {
        end_destroy(end);
        return -1;
    }
    ends[fd] = end;
    carrier_set(fd, &carrier);
    return 0;
}

void secure_connect(int fd, const struct secure *how)
{
    if (secure_begin(fd, how, false) != 0) {
        fail_msg("handshake as a client: %s", why);
    }
}

void secure_accept(int fd, const struct secure *how)
{
    if (secure_begin(fd, how, true) != 0) {
        fail_msg("handshake as a server: %s", why);
    }
}

int secure_dial(const struct place *place, const struct secure *how)
{
    int fd = dial(place);
    secure_connect(fd, how);
    return fd;
}

int secure_take(int listener, const struct secure *how)
{
    int fd = take(listener);
    secure_accept(fd, how);
    return fd;
}

/* With TLS 1.3 a client learns what a server thinks of it behind the
 * handshake. */
static bool is_let_in(int fd, const struct secure *how)
{
    char byte;
    if (secure_begin(fd, how, false) != 0) {
        return false;
    }
    int64_t limit = time_limit();
    while (end_recv(fd, &byte, 1) < 0) {
        if (errno != EAGAIN) {
            return false;
        }
        if (!await(fd, true, limit)) {
            return true;
        }
    }
    return true;
}

void secure_expect_refused(int fd, const struct secure *how, const char *reason)
{
    assert_false(is_let_in(fd, how));
    if (reason && !strstr(why, reason)) {
        fail_msg("'%s' expected, got '%s'", reason, why);
    }
}

void secure_expect_no_entry(const struct place *place, const struct secure *how,
                            const char *reason)
{
    int fd = dial(place);
    secure_expect_refused(fd, how, reason);
    hang_up(fd);
}

size_t secure_hello(const struct secure *how, void *buffer, size_t size)
{
    struct end *end = end_new(-1, how, false);
    assert_non_null(end);
    BIO *out = BIO_new(BIO_s_mem());
    assert_non_null(out);
    SSL_set_bio(end->ssl, BIO_new(BIO_s_mem()), out);
    assert_int_equal(SSL_do_handshake(end->ssl), -1);
    ERR_clear_error();
    int count = BIO_read(out, buffer, (int)size);
    assert_in_range(count, 1, size);
    end_destroy(end);
    return (size_t)count;
}

/* ---- what was agreed on ---- */

SSL *secure_ssl(int fd)
{
    struct end *end = ends[fd];
    assert_non_null(end);
    return end->ssl;
}

const char *secure_peer(int fd)
{
    static char name[64];
    X509 *certificate = SSL_get0_peer_certificate(secure_ssl(fd));
    *name = '\0';
    if (certificate) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                  NID_commonName, name, sizeof name);
    }
    return name;
}

const char *secure_alpn(int fd)
{
    static char text[ALPN_MAX];
    const unsigned char *chosen = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(secure_ssl(fd), &chosen, &size);
    snprintf(text, sizeof text, "%.*s", (int)size,
             size ? (const char *)chosen : "");
    return text;
}

const char *secure_asked(int fd)
{
    const char *name =
        SSL_get_servername(secure_ssl(fd), TLSEXT_NAMETYPE_host_name);
    return name ? name : "";
}

const char *secure_offered(int fd)
{
    struct end *end = ends[fd];
    return end->offered;
}

SSL_SESSION *secure_session(int fd)
{
    SSL_SESSION *session = SSL_get1_session(secure_ssl(fd));
    assert_non_null(session);
    return session;
}

/* ---- ends of streams ---- */

void secure_notify(int fd)
{
    end_notify(ends[fd], fd, 0);
}

void secure_cut(int fd)
{
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

void secure_expect_fin(int fd)
{
    char byte;
    ssize_t count;
    eventually((count = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    assert_int_equal(count, 0);
}

/* ---- one service ---- */

const char *secure_keys(const struct identity *identity)
{
    static char texts[8][400];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    snprintf(text, sizeof texts[0], "tls_certificate = %s\ntls_key = %s\n",
             identity->certificate, identity->key);
    return text;
}

const struct identity *secure_server(void)
{
    static struct identity made;
    if (!*made.certificate) {
        made = identity_for("server", "DNS:a.example, IP:127.0.0.1");
    }
    return &made;
}

void secure_scene_open(struct scene *scene, const char *global,
                       const char *service)
{
    char keys[2048];
    snprintf(keys, sizeof keys, "%s%s", secure_keys(secure_server()), service);
    scene_open(scene, global, keys);
}

struct secure secure_client(int version)
{
    return (struct secure){
        .ca = authority(), .name = "a.example", .version = version};
}

struct pair secure_pair(const struct scene *scene, const struct secure *how)
{
    struct pair pair;
    pair.client = secure_dial(&scene->front, how);
    pair.upstream = take(scene->listener);
    return pair;
}

void serve_secure(int fd, const void *arg)
{
    const struct secure_service *service = arg;
    if (secure_begin(fd, &service->how, true) == 0) {
        service->fn(fd, service->arg);
    }
}
