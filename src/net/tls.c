#include "net/tls.h"

#include "net/ktls.h"
#include "net/tls_client.h"
#include "net/tls_server.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* The connections by descriptor. It is only reserved memory until it is used.
 * An entry is written and read by the thread that has the descriptor; atomic,
 * for the next one to have it is told so by the kernel alone. */
#define DESCRIPTORS_MAX (UINT64_C(1) << 24)

static struct {
    pthread_once_t once;
    BIO_METHOD *method;
    SSL *_Atomic *connections;
    size_t size;
} shared = {.once = PTHREAD_ONCE_INIT};

/* What OpenSSL's call under way is about, for the two functions that it calls
 * back, and what they say to ours. */
static _Thread_local struct {
    struct sock *sock;
    bool more;  /* what is sent is not the last */
    bool busy;  /* the machine was short of something */
    int error;  /* why the socket failed; 0: it has not */
    bool ended; /* there was the end of the stream */
} call;

static _Thread_local const char *reason = "";

/* So few connections free little worth giving back: a handshake takes some 30
 * KB, what lasts of it 15. */
#define STIRS_MIN 64

/* Connections of this thread that have begun, or ended ... */
static _Thread_local struct {
    uint32_t lately; /* ... since tls_trim was called ... */
    uint32_t before; /* ... and up to then, since it gave something back */
} stirs;

const char *tls_reason(void)
{
    return reason;
}

/* NULL: it is the kernel's alone. */
static SSL *ssl_of(const struct sock *sock)
{
    return atomic_load_explicit(&shared.connections[sock->fd],
                                memory_order_relaxed);
}

/* ---- what OpenSSL reads and writes by ---- */

/* A call failed, other than by EAGAIN. */
static void take_failure(void)
{
    switch (errno) {
    case ENOBUFS:
    case ENOMEM:
        call.busy = true;
        break;
    default:
        call.error = errno;
        break;
    }
}

static int read_bytes(BIO *bio, char *bytes, int size)
{
    struct sock *sock = call.sock;
    ssize_t got = -1;

    BIO_clear_retry_flags(bio);
    if (sock->tls & SOCK_TLS_INPUT) {
        do {
            got = recv(sock->fd, bytes, (size_t)size, 0);
        } while (got < 0 && errno == EINTR);
        if ((got < 0 && errno == EAGAIN) ||
            (got >= 0 && got < size &&
             !(sock->ready & (SOCK_HANGUP | SOCK_URGENT)))) {
            sock->tls &= ~SOCK_TLS_INPUT;
        } else if (got < 0) {
            take_failure();
        }
    }
    if (got == 0) {
        call.ended = true;
    } else if (got < 0 && call.error == 0) {
        BIO_set_retry_read(bio);
    }
    return (int)got;
}

/* Nobody waits for a ticket: it goes with the first bytes, or 200 ms later. */
static bool is_ticket(const SSL *ssl)
{
    return SSL_get_state(ssl) == TLS_ST_SW_SESSION_TICKET;
}

static int write_bytes(BIO *bio, const char *bytes, int size)
{
    struct sock *sock = call.sock;
    bool more = call.more || is_ticket(ssl_of(sock));
    ssize_t put = -1;

    BIO_clear_retry_flags(bio);
    if (sock->ready & SOCK_WRITABLE) {
        do {
            put = send(sock->fd, bytes, (size_t)size,
                       MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        } while (put < 0 && errno == EINTR);
        if (put < 0 && errno == EAGAIN) {
            sock->ready &= ~SOCK_WRITABLE;
        } else if (put < 0) {
            take_failure();
        }
    }
    if (put < 0 && call.error == 0) {
        BIO_set_retry_write(bio);
    }
    return (int)put;
}

/* A direction that the kernel has taken over is left to OpenSSL's own
 * functions, which know about records. */
static int bio_read(BIO *bio, char *bytes, int size)
{
    return BIO_get_ktls_recv(bio)
               ? BIO_meth_get_read(BIO_s_socket())(bio, bytes, size)
               : read_bytes(bio, bytes, size);
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
    return BIO_get_ktls_send(bio)
               ? BIO_meth_get_write(BIO_s_socket())(bio, bytes, size)
               : write_bytes(bio, bytes, size);
}

static BIO_METHOD *make_method(void)
{
    const BIO_METHOD *model = BIO_s_socket();
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOCKET, "sock");

    if (method != NULL) {
        BIO_meth_set_create(method, BIO_meth_get_create(model));
        BIO_meth_set_destroy(method, BIO_meth_get_destroy(model));
        BIO_meth_set_ctrl(method, BIO_meth_get_ctrl(model));
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
    }
    return method;
}

static void set_up(void)
{
    struct rlimit limit = {0};
    void *memory;

    getrlimit(RLIMIT_NOFILE, &limit);
    shared.size = MIN(limit.rlim_max, DESCRIPTORS_MAX);
    memory = mmap(NULL, shared.size * sizeof(shared.connections[0]),
                  PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    shared.method = make_method();
    if (memory != MAP_FAILED && shared.method != NULL) {
        shared.connections = memory;
    }
}

/* ---- connections ---- */

static void keep(const struct sock *sock, SSL *ssl)
{
    atomic_store_explicit(&shared.connections[sock->fd], ssl,
                          memory_order_relaxed);
}

/* Whether there is a place for the connection. */
static bool can_keep(const struct sock *sock)
{
    pthread_once(&shared.once, set_up);
    return shared.connections != NULL && (size_t)sock->fd < shared.size;
}

/* Takes the connection's state, or NULL: there is no memory for it. */
static int begin(struct sock *sock, SSL *ssl)
{
    BIO *bio = ssl == NULL ? NULL : BIO_new(shared.method);

    if (bio == NULL) {
        ERR_clear_error();
        SSL_free(ssl);
        errno = ENOMEM;
        return -1;
    }
    BIO_set_fd(bio, sock->fd, BIO_NOCLOSE);
    SSL_set_bio(ssl, bio, bio);
    keep(sock, ssl);
    stirs.lately++;
    sock->tls |= SOCK_TLS_ON | SOCK_TLS_READ | SOCK_TLS_WRITE;
    return 0;
}

int tls_accept(struct sock *sock, const struct tls_context *context)
{
    return begin(sock, can_keep(sock) ? tls_server_connection(context) : NULL);
}

int tls_connect(struct sock *sock, const struct tls_context *context,
                const char *name, size_t place, const struct sock *other)
{
    SSL *ssl = NULL;

    if (can_keep(sock)) {
        ssl = tls_client_connection(context, name, place,
                                    sock_is_tls(other) ? ssl_of(other) : NULL);
    }
    return begin(sock, ssl);
}

void tls_end(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);

    if (ssl != NULL) {
        SSL_free(ssl);
        keep(sock, NULL);
        stirs.lately++;
    }
}

bool tls_trim(void)
{
    /* While much comes and goes, what is free is soon needed again. */
    bool quiet = stirs.lately <= stirs.before / 8;

    stirs.before += stirs.lately;
    stirs.lately = 0;
    if (quiet && stirs.before >= STIRS_MIN) {
        malloc_trim(0);
        stirs.before = 0;
    }
    return stirs.before >= STIRS_MIN;
}

static void begin_call(struct sock *sock, bool more)
{
    call.sock = sock;
    call.more = more;
    call.busy = false;
    call.error = 0;
    call.ended = false;
    ERR_clear_error();
}

/* The connection is of no further use. */
static enum io failed(struct sock *sock)
{
    ERR_clear_error();
    sock_set_broken(sock);
    errno = call.error != 0 ? call.error : EPROTO;
    return IO_ERROR;
}

/* ---- the handshake ---- */

static const char *find_reason(const SSL *ssl)
{
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);

    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
        SSL_get_verify_result(ssl) != X509_V_OK) {
        return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
    }
    if (call.ended) {
        return "the connection ended";
    }
    return text == NULL ? "the connection failed" : text;
}

/* The kernel takes over what it can. A client of TLS 1.3 is sent records that
 * only OpenSSL understands; and what OpenSSL has read already, it alone has. */
static void hand_over(struct sock *sock, SSL *ssl)
{
    bool to_kernel = BIO_get_ktls_send(SSL_get_wbio(ssl));
    bool from_kernel =
        BIO_get_ktls_recv(SSL_get_rbio(ssl)) && !SSL_has_pending(ssl) &&
        (SSL_is_server(ssl) || SSL_version(ssl) < TLS1_3_VERSION);
    const unsigned char *protocol;
    unsigned length;

    if (to_kernel) {
        sock->tls &= ~SOCK_TLS_WRITE;
    }
    if (from_kernel) {
        sock->tls &= ~SOCK_TLS_READ;
        sock->tls |= SOCK_TLS_KERNEL_READ;
    }
    SSL_get0_alpn_selected(ssl, &protocol, &length);
    if (to_kernel && from_kernel && length == 0) {
        /* Else OpenSSL takes the session for a broken one, not to be resumed.
         */
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        tls_end(sock);
    }
}

enum io tls_handshake(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);
    int result;

    begin_call(sock, false);
    result = SSL_do_handshake(ssl);
    if (result == 1) {
        hand_over(sock, ssl);
        sock->ready |= SOCK_READABLE;
        return IO_OK;
    }
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return call.busy ? IO_BUSY : IO_AGAIN;
    default:
        reason = find_reason(ssl);
        return failed(sock);
    }
}

/* ---- bytes ---- */

typedef int (*read_fn)(SSL *ssl, void *buffer, size_t size, size_t *count);

/* OpenSSL gave no byte. */
static enum io no_byte(struct sock *sock, const SSL *ssl)
{
    switch (SSL_get_error(ssl, 0)) {
    case SSL_ERROR_WANT_WRITE: /* an answer to the peer comes first */
        sock->tls |= SOCK_TLS_CROSSED;
        /* fall through */
    case SSL_ERROR_WANT_READ:
        if (call.busy) {
            return IO_BUSY;
        }
        sock->ready &= ~SOCK_READABLE;
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return sock_end(sock);
    default:
        return failed(sock);
    }
}

static enum io read_by(read_fn read, struct sock *sock, void *buffer,
                       size_t size, size_t *count)
{
    SSL *ssl = ssl_of(sock);

    begin_call(sock, false);
    return read(ssl, buffer, size, count) == 1 ? IO_OK : no_byte(sock, ssl);
}

static enum io read_kernel(struct sock *sock, void *buffer, size_t size,
                           int flags, size_t *count)
{
    enum io io = ktls_recv(sock->fd, buffer, size, flags, count);

    switch (io) {
    case IO_AGAIN:
        sock->ready &= ~SOCK_READABLE;
        return io;
    case IO_EOF:
        return sock_end(sock);
    case IO_ERROR:
        sock_set_broken(sock);
        return io;
    default:
        return io;
    }
}

enum io tls_recv(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    enum io io;

    if (sock->tls & SOCK_TLS_KERNEL_READ) {
        return read_kernel(sock, buffer, size, 0, count);
    }
    io = read_by(SSL_read_ex, sock, buffer, size, count);
    if (io == IO_OK && !(sock->tls & SOCK_TLS_INPUT) &&
        !SSL_has_pending(ssl_of(sock))) {
        sock->ready &= ~SOCK_READABLE;
    }
    return io;
}

enum io tls_peek(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    if (sock->tls & SOCK_TLS_KERNEL_READ) {
        return read_kernel(sock, buffer, size, MSG_PEEK, count);
    }
    return read_by(SSL_peek_ex, sock, buffer, size, count);
}

/* What a call that writes answered when it did not. */
static enum io not_written(struct sock *sock, const SSL *ssl, int result)
{
    if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_WRITE) {
        return failed(sock);
    }
    if (call.busy) {
        return IO_BUSY;
    }
    sock->ready &= ~SOCK_WRITABLE;
    return IO_AGAIN;
}

enum io tls_send(struct sock *sock, const void *bytes, size_t size, bool last,
                 size_t *count)
{
    SSL *ssl = ssl_of(sock);
    int result;

    begin_call(sock, last);
    result = SSL_write_ex(ssl, bytes, size, count);
    return result == 1 ? IO_OK : not_written(sock, ssl, result);
}

static enum io finish_kernel(struct sock *sock)
{
    enum io io = ktls_finish(sock->fd);

    if (io == IO_AGAIN) {
        sock->ready &= ~SOCK_WRITABLE;
    } else if (io == IO_ERROR) {
        sock_set_broken(sock);
    }
    return io;
}

static enum io finish(struct sock *sock, SSL *ssl)
{
    int result;

    if (!SSL_is_init_finished(ssl)) {
        return IO_OK; /* there is nothing yet that could be cut */
    }
    begin_call(sock, true);
    result = SSL_shutdown(ssl);
    return result >= 0 ? IO_OK : not_written(sock, ssl, result);
}

enum io tls_finish(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);
    enum io io;

    if (sock->tls & SOCK_TLS_FINISHED) {
        return IO_OK;
    }
    io = ssl == NULL ? finish_kernel(sock) : finish(sock, ssl);
    if (io == IO_OK) {
        sock->tls |= SOCK_TLS_FINISHED;
    }
    return io;
}

bool tls_holds_bytes(const struct sock *sock)
{
    SSL *ssl = ssl_of(sock);

    return ssl != NULL && SSL_pending(ssl) > 0;
}
