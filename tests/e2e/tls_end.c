#include "tls_end.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- errors ---- */

static _Thread_local char last_error[256];

void tls_end_set_error(const char *error)
{
    snprintf(last_error, sizeof(last_error), "%s", error);
}

void tls_end_keep_error(void)
{
    unsigned long code = ERR_peek_error();

    if (code != 0) {
        ERR_error_string_n(code, last_error, sizeof(last_error));
    } else {
        tls_end_set_error(strerrordesc_np(errno));
    }
    ERR_clear_error();
}

const char *tls_end_error(void)
{
    return last_error;
}

/* ---- the socket, as OpenSSL sees it ---- */

static int bio_write(BIO *bio, const char *bytes, int count)
{
    struct tls_end *end = BIO_get_data(bio);
    size_t step = end->byte_by_byte ? 1 : (size_t)count;
    bool more = end->coalesce && end->has_sent && SSL_in_init(end->ssl);
    ssize_t sent =
        send(end->fd, bytes, step, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

    end->has_sent = true;
    BIO_clear_retry_flags(bio);
    if (sent < 0 && errno == EAGAIN) {
        BIO_set_retry_write(bio);
    }
    return (int)sent;
}

static int bio_read(BIO *bio, char *buffer, int size)
{
    struct tls_end *end = BIO_get_data(bio);
    ssize_t count = recv(end->fd, buffer, (size_t)size, 0);

    BIO_clear_retry_flags(bio);
    if (count < 0 && errno == EAGAIN) {
        BIO_set_retry_read(bio);
    }
    end->fin_read = count == 0;
    return (int)count;
}

static long bio_control(BIO *bio, int command, long number, void *arg)
{
    struct tls_end *end = BIO_get_data(bio);

    (void)number;
    (void)arg;
    if (command == BIO_CTRL_EOF) {
        return end->fin_read;
    }
    return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tests");
    BIO_meth_set_write(bio_method, bio_write);
    BIO_meth_set_read(bio_method, bio_read);
    BIO_meth_set_ctrl(bio_method, bio_control);
    BIO_meth_set_create(bio_method, bio_create);
}

static BIO *make_bio(struct tls_end *end)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio;

    pthread_once(&once, make_bio_method);
    bio = BIO_new(bio_method);
    if (bio != NULL) {
        BIO_set_data(bio, end);
    }
    return bio;
}

/* ---- one end ---- */

static bool set_client(struct tls_end *end, const struct tls_options *options)
{
    const char *name = options->name;

    SSL_set_connect_state(end->ssl);
    if (name != NULL && !SSL_set_tlsext_host_name(end->ssl, name)) {
        return false;
    }
    if (name != NULL && options->ca != NULL && !SSL_set1_host(end->ssl, name)) {
        return false;
    }
    if (end->alpn_size > 0 &&
        SSL_set_alpn_protos(end->ssl, end->alpn, end->alpn_size) != 0) {
        return false;
    }
    return options->session == NULL ||
           SSL_set_session(end->ssl, options->session);
}

/* What the context does not have already. */
static bool set_options(struct tls_end *end, const struct tls_options *options,
                        bool server)
{
    BIO *bio = make_bio(end);

    if (bio == NULL) {
        return false;
    }
    SSL_set_bio(end->ssl, bio, bio);
    SSL_set_app_data(end->ssl, end);
    end->byte_by_byte = options->byte_by_byte;
    end->coalesce = options->coalesce;
    if (options->alpn != NULL) {
        end->alpn_size = tls_alpn_write(end->alpn, options->alpn);
    }
    if (server) {
        SSL_set_accept_state(end->ssl);
        return true;
    }
    return set_client(end, options);
}

static SSL *make_ssl(const struct tls_options *options, bool server)
{
    SSL_CTX *context = options->context;
    SSL *ssl;

    if (context != NULL) {
        return SSL_new(context);
    }
    context = tls_options_context(options, server);
    ssl = context != NULL ? SSL_new(context) : NULL;
    SSL_CTX_free(context); /* ssl holds it */
    return ssl;
}

struct tls_end *tls_end_create(int fd, const struct tls_options *options,
                               bool server)
{
    struct tls_end *end = calloc(1, sizeof(*end));

    if (end == NULL) {
        tls_end_set_error("no memory");
        return NULL;
    }
    end->fd = fd;
    end->ssl = make_ssl(options, server);
    pthread_mutex_init(&end->lock, NULL);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (end->ssl == NULL || !set_options(end, options, server)) {
        tls_end_keep_error();
        tls_end_destroy(end);
        return NULL;
    }
    return end;
}

void tls_end_destroy(struct tls_end *end)
{
    SSL_free(end->ssl);
    pthread_mutex_destroy(&end->lock);
    free(end);
}
