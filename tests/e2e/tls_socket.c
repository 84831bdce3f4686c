#include "tls_socket.h"

#include "socket.h"
#include "test.h"
#include "tls_end.h"
#include "transport.h"
#include "wait.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdio.h>

#define FINISH_MS 10000 /* how long a close_notify waits for room */

/* By descriptor; used by the threads that hold it. */
static _Atomic(struct tls_end *) ends[TRANSPORT_DESCRIPTORS_MAX];

/* ---- as a transport ---- */

/* What a failed call means, as the socket's own call would answer. */
static ssize_t translate(struct tls_end *end, int result)
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
        tls_end_keep_error();
        errno = error;
        return -1;
    default:
        tls_end_keep_error();
        errno = EPROTO;
        return -1;
    }
}

static ssize_t end_send(int fd, const void *bytes, size_t count)
{
    struct tls_end *end = ends[fd];
    ssize_t result;

    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    result = SSL_write(end->ssl, bytes, (int)count);
    if (result <= 0) {
        result = translate(end, (int)result);
    }
    pthread_mutex_unlock(&end->lock);
    return result;
}

static ssize_t end_recv(int fd, void *buffer, size_t size)
{
    struct tls_end *end = ends[fd];
    ssize_t result;

    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    result = SSL_read(end->ssl, buffer, (int)size);
    if (result <= 0) {
        result = translate(end, (int)result);
    }
    pthread_mutex_unlock(&end->lock);
    return result;
}

static bool has_sent_close_notify(struct tls_end *end)
{
    bool sent;

    pthread_mutex_lock(&end->lock);
    sent = (SSL_get_shutdown(end->ssl) & SSL_SENT_SHUTDOWN) != 0;
    pthread_mutex_unlock(&end->lock);
    return sent;
}

/* False while there is no room for it, though OpenSSL says that it is sent. */
static bool try_close_notify(struct tls_end *end)
{
    bool done;
    int result;

    pthread_mutex_lock(&end->lock);
    ERR_clear_error();
    result = SSL_shutdown(end->ssl);
    done =
        result >= 0 || SSL_get_error(end->ssl, result) != SSL_ERROR_WANT_WRITE;
    pthread_mutex_unlock(&end->lock);
    return done;
}

/* Only once: a second SSL_shutdown waits for the peer's. Waits that long for
 * room, as a socket keeps its FIN until there is some. */
static void send_close_notify(struct tls_end *end, int wait_ms)
{
    int64_t limit = wait_now_ms() + wait_ms;

    if (has_sent_close_notify(end)) {
        return;
    }
    while (!try_close_notify(end) && wait_events(end->fd, POLLOUT, limit)) {
    }
}

static int end_finish(int fd)
{
    send_close_notify(ends[fd], FINISH_MS);
    return shutdown(fd, SHUT_WR);
}

static void end_drop(int fd)
{
    tls_end_destroy(ends[fd]);
    ends[fd] = NULL;
}

static const struct transport tls = {end_send, end_recv, end_finish, end_drop};

/* ---- handshakes ---- */

static int complete_handshake(struct tls_end *end)
{
    int64_t limit = wait_limit_ms();

    for (;;) {
        int result;

        ERR_clear_error();
        result = SSL_do_handshake(end->ssl);
        if (result == 1) {
            return 0;
        }
        if (translate(end, result) != -1 || errno != EAGAIN) {
            return -1;
        }
        if (!wait_events(end->fd, SSL_want_read(end->ssl) ? POLLIN : POLLOUT,
                         limit)) {
            tls_end_set_error("no answer");
            return -1;
        }
    }
}

int tls_socket_handshake(int fd, const struct tls_options *options, bool server)
{
    struct tls_end *end = tls_end_create(fd, options, server);

    if (end == NULL) {
        return -1;
    }
    if (complete_handshake(end) != 0) {
        tls_end_destroy(end);
        return -1;
    }
    ends[fd] = end;
    transport_set(fd, &tls);
    return 0;
}

const char *tls_socket_error(void)
{
    return tls_end_error();
}

void tls_socket_start_client(int fd, const struct tls_options *options)
{
    if (tls_socket_handshake(fd, options, false) != 0) {
        fail_msg("handshake as a client: %s", tls_end_error());
    }
}

void tls_socket_start_server(int fd, const struct tls_options *options)
{
    if (tls_socket_handshake(fd, options, true) != 0) {
        fail_msg("handshake as a server: %s", tls_end_error());
    }
}

int tls_socket_connect(const struct loopback *address,
                       const struct tls_options *options)
{
    int fd = socket_connect(address);

    tls_socket_start_client(fd, options);
    return fd;
}

int tls_socket_accept(int listener, const struct tls_options *options)
{
    int fd = socket_accept(listener);

    tls_socket_start_server(fd, options);
    return fd;
}

size_t tls_socket_hello(const struct tls_options *options, void *buffer,
                        size_t size)
{
    struct tls_end *end = tls_end_create(-1, options, false);
    BIO *out = BIO_new(BIO_s_mem());
    int count;

    assert_non_null(end);
    assert_non_null(out);
    SSL_set_bio(end->ssl, BIO_new(BIO_s_mem()), out);
    assert_int_equal(SSL_do_handshake(end->ssl), -1);
    ERR_clear_error();
    count = BIO_read(out, buffer, (int)size);
    assert_in_range(count, 1, size);
    tls_end_destroy(end);
    return (size_t)count;
}

void serve_tls(int fd, const void *arg)
{
    const struct tls_service *service = arg;

    if (tls_socket_handshake(fd, &service->options, true) == 0) {
        service->serve(fd, service->arg);
    }
}

/* ---- what was agreed on ---- */

SSL *tls_socket_ssl(int fd)
{
    struct tls_end *end = ends[fd];

    assert_non_null(end);
    return end->ssl;
}

const char *tls_socket_peer(int fd)
{
    static char name[64];
    X509 *certificate = SSL_get0_peer_certificate(tls_socket_ssl(fd));

    name[0] = '\0';
    if (certificate != NULL) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate),
                                  NID_commonName, name, sizeof(name));
    }
    return name;
}

const char *tls_socket_alpn(int fd)
{
    static char text[TLS_ALPN_MAX];
    const unsigned char *chosen = NULL;
    unsigned size = 0;

    SSL_get0_alpn_selected(tls_socket_ssl(fd), &chosen, &size);
    snprintf(text, sizeof(text), "%.*s", (int)size,
             size > 0 ? (const char *)chosen : "");
    return text;
}

const char *tls_socket_server_name(int fd)
{
    const char *name =
        SSL_get_servername(tls_socket_ssl(fd), TLSEXT_NAMETYPE_host_name);

    return name != NULL ? name : "";
}

const char *tls_socket_offered_alpn(int fd)
{
    struct tls_end *end = ends[fd];

    return end->offered;
}

SSL_SESSION *tls_socket_session(int fd)
{
    SSL_SESSION *session = SSL_get1_session(tls_socket_ssl(fd));

    assert_non_null(session);
    return session;
}

/* ---- ends of streams ---- */

void tls_socket_close_notify(int fd)
{
    send_close_notify(ends[fd], 0);
}

void tls_socket_truncate(int fd)
{
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
}
