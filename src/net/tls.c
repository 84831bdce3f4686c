#include "net/tls.h"

#include "net/ktls.h"
#include "net/tls_bio.h"
#include "net/tls_client.h"
#include "net/tls_server.h"

#include <errno.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* The connections by descriptor. The table is reserved memory, and resident as
 * far as it is used. The thread that has the descriptor reads and writes its
 * entry. It is atomic because a descriptor passes to the next thread through
 * the kernel, without any other synchronization. */
#define DESCRIPTORS_MAX (UINT64_C(1) << 24)

static struct {
    pthread_once_t once;
    SSL *_Atomic *connections;
    size_t size;
} shared = {.once = PTHREAD_ONCE_INIT};

/* Of this thread's last failed handshake. */
static _Thread_local const char *handshake_error = "";

/* Fewer starts and ends of connections free too little memory to be worth a
 * trim. A handshake takes 30 KB and keeps 15. */
#define TRIM_CHANGES_MIN 64

/* How many connections of this thread have started or ended. */
static _Thread_local struct {
    uint32_t recent;  /* since the last call of tls_trim */
    uint32_t earlier; /* before that, since the last trim of memory */
} changes;

const char *tls_error(void)
{
    return handshake_error;
}

/* NULL: the kernel alone speaks TLS on it. */
static SSL *ssl_of(const struct sock *sock)
{
    return atomic_load_explicit(&shared.connections[sock->fd],
                                memory_order_relaxed);
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
    if (memory != MAP_FAILED) {
        shared.connections = memory;
    }
}

/* ---- connections ---- */

static void store(const struct sock *sock, SSL *ssl)
{
    atomic_store_explicit(&shared.connections[sock->fd], ssl,
                          memory_order_relaxed);
}

/* Whether the table has a place for the connection. */
static bool can_store(const struct sock *sock)
{
    pthread_once(&shared.once, set_up);
    return shared.connections != NULL && (size_t)sock->fd < shared.size;
}

/* ssl: the connection's state, or NULL: there is no memory for it. */
static int start(struct sock *sock, SSL *ssl)
{
    if (ssl == NULL || !tls_bio_attach(ssl)) {
        ERR_clear_error();
        SSL_free(ssl);
        errno = ENOMEM;
        return -1;
    }
    store(sock, ssl);
    changes.recent++;
    sock->tls |= SOCK_TLS_ON | SOCK_TLS_READ | SOCK_TLS_WRITE;
    return 0;
}

int tls_accept(struct sock *sock, const struct tls_context *context)
{
    return start(sock, can_store(sock) ? tls_server_connection(context) : NULL);
}

int tls_connect(struct sock *sock, const struct tls_context *context,
                const char *name, size_t place, const struct sock *other)
{
    SSL *ssl = NULL;

    if (can_store(sock)) {
        ssl = tls_client_connection(context, name, place,
                                    sock_is_tls(other) ? ssl_of(other) : NULL);
    }
    return start(sock, ssl);
}

void tls_free(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);

    if (ssl != NULL) {
        SSL_free(ssl);
        store(sock, NULL);
        changes.recent++;
    }
}

bool tls_trim(void)
{
    /* While connections come and go, free memory is soon used again. */
    bool quiet = changes.recent <= changes.earlier / 8;

    changes.earlier += changes.recent;
    changes.recent = 0;
    if (quiet && changes.earlier >= TRIM_CHANGES_MIN) {
        malloc_trim(0);
        changes.earlier = 0;
    }
    return changes.earlier >= TRIM_CHANGES_MIN;
}

/* The answer when a call of OpenSSL failed: the connection is broken. If
 * neither the system nor the end of the stream is the reason, it is the
 * protocol; only the first failure tells. */
static enum io failed(struct sock *sock, const struct tls_call *call)
{
    ERR_clear_error();
    if (!(sock->ready & SOCK_RESET) && call->error == 0 && !call->ended) {
        sock->tls |= SOCK_TLS_VIOLATED;
    }
    sock_set_broken(sock);
    errno = call->error != 0 ? call->error : EPROTO;
    return IO_ERROR;
}

/* ---- the handshake ---- */

static const char *error_text(const struct tls_call *call)
{
    const SSL *ssl = call->ssl;
    unsigned long error = ERR_peek_error();
    const char *text = ERR_reason_error_string(error);

    if (SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
        SSL_get_verify_result(ssl) != X509_V_OK) {
        return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
    }
    if (call->ended) {
        return "the connection ended";
    }
    return text == NULL ? "the connection failed" : text;
}

/* Hands each direction to the kernel that it can take over. It cannot read
 * where OpenSSL has read ahead, nor as a client of TLS 1.3, which receives
 * records that only OpenSSL understands. */
static void hand_over(struct sock *sock, SSL *ssl)
{
    bool to_kernel = BIO_get_ktls_send(SSL_get_wbio(ssl));
    bool from_kernel =
        BIO_get_ktls_recv(SSL_get_rbio(ssl)) && !SSL_has_pending(ssl) &&
        (SSL_is_server(ssl) || SSL_version(ssl) < TLS1_3_VERSION);

    if (to_kernel) {
        sock->tls &= ~SOCK_TLS_WRITE;
    }
    if (from_kernel) {
        sock->tls &= ~SOCK_TLS_READ;
        sock->tls |= SOCK_TLS_KERNEL_READ;
    }
    if (!SSL_is_server(ssl)) {
        tls_release(sock);
    }
}

/* What was agreed on by ALPN is offered to the upstream. */
void tls_release(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);
    const unsigned char *protocol;
    unsigned length;

    if (sock->tls & SOCK_TLS_WRITE || !(sock->tls & SOCK_TLS_KERNEL_READ)) {
        return;
    }
    SSL_get0_alpn_selected(ssl, &protocol, &length);
    if (length == 0) {
        /* Or OpenSSL would drop the session as broken. */
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        tls_free(sock);
    }
}

/* The name is empty if it is too long, or no text. */
static void ask_common_name(const X509 *x509, struct sock_tls *tls)
{
    const X509_NAME *subject = X509_get_subject_name(x509);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *text = NULL;
    int length;

    if (at < 0) {
        return;
    }
    length = ASN1_STRING_to_UTF8(
        &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (length > 0 && length <= SOCK_COMMON_NAME_MAX) {
        memcpy(tls->common_name, text, (size_t)length);
        tls->common_name_bytes = (uint16_t)length;
    }
    OPENSSL_free(text);
    ERR_clear_error();
}

void tls_ask(const struct sock *sock, struct sock_tls *tls)
{
    const SSL *ssl = ssl_of(sock);
    const X509 *x509 = SSL_get0_peer_certificate(ssl);

    *tls = (struct sock_tls){
        .version = SSL_get_version(ssl),
        .name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name),
        .shown = x509 != NULL,
        .resumed = SSL_session_reused(ssl) == 1,
        .verified = SSL_get_verify_result(ssl) == X509_V_OK,
    };
    SSL_get0_alpn_selected(ssl, &tls->protocol, &tls->protocol_bytes);
    if (x509 != NULL) {
        ask_common_name(x509, tls);
    }
}

enum io tls_handshake(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);
    struct tls_call *call = tls_bio_begin(sock, ssl);
    int result;

    call->handshake = true;
    call->work = 0;
    result = SSL_do_handshake(ssl);
    if (result == 1) {
        tls_bio_had_data(ssl);
        hand_over(sock, ssl);
        sock->ready |= SOCK_READABLE;
        return IO_OK;
    }
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return call->busy ? IO_BUSY : IO_AGAIN;
    default:
        handshake_error = error_text(call);
        return failed(sock, call);
    }
}

/* ---- bytes ---- */

typedef int (*read_fn)(SSL *ssl, void *buffer, size_t size, size_t *count);

/* The answer when OpenSSL read no byte. */
static enum io nothing_read(struct sock *sock, const struct tls_call *call)
{
    if (call->refused) {
        return failed(sock, call);
    }
    switch (SSL_get_error(call->ssl, 0)) {
    case SSL_ERROR_WANT_WRITE: /* a reply to the peer must be sent first */
        sock->tls |= SOCK_TLS_CROSSED;
        __attribute__((fallthrough));
    case SSL_ERROR_WANT_READ:
        if (call->busy) {
            return IO_BUSY;
        }
        sock->ready &= ~SOCK_READABLE;
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return sock_end(sock);
    default:
        return failed(sock, call);
    }
}

static enum io read_openssl(read_fn read, struct sock *sock, void *buffer,
                            size_t size, size_t *count)
{
    struct tls_call *call = tls_bio_begin(sock, ssl_of(sock));

    if (read(call->ssl, buffer, size, count) != 1) {
        return nothing_read(sock, call);
    }
    tls_bio_had_data(call->ssl);
    return IO_OK;
}

/* After a read: whether another one may give bytes. */
static bool may_have_more(const struct sock *sock)
{
    return sock->tls & SOCK_TLS_INPUT || SSL_has_pending(ssl_of(sock));
}

/* Fills the buffer with further records, as each call of tls_send costs a
 * system call and a segment. How the stream goes on is left to the next call.
 */
static void read_further(struct sock *sock, unsigned char *buffer, size_t size,
                         size_t *count)
{
    size_t got;

    while (*count < size && tls_bio_work() < TLS_WORK_MAX &&
           may_have_more(sock)) {
        switch (read_openssl(SSL_read_ex, sock, buffer + *count, size - *count,
                             &got)) {
        case IO_OK:
            *count += got;
            break;
        case IO_ERROR:
            sock->ready |= SOCK_READABLE;
            return;
        default:
            return;
        }
    }
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
        if (errno == EPROTO || errno == EBADMSG) {
            sock->tls |= SOCK_TLS_VIOLATED;
        }
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
    (void)tls_bio_take_work(); /* of a handshake, or a peek */
    io = read_openssl(SSL_read_ex, sock, buffer, size, count);
    if (io == IO_OK) {
        read_further(sock, buffer, size, count);
        if (!may_have_more(sock) && !(sock->ready & SOCK_RESET)) {
            sock->ready &= ~SOCK_READABLE;
        }
    }
    return io;
}

enum io tls_peek(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    if (sock->tls & SOCK_TLS_KERNEL_READ) {
        return read_kernel(sock, buffer, size, MSG_PEEK, count);
    }
    return read_openssl(SSL_peek_ex, sock, buffer, size, count);
}

/* The answer when OpenSSL wrote nothing. */
static enum io nothing_written(struct sock *sock, const struct tls_call *call,
                               int result)
{
    if (SSL_get_error(call->ssl, result) != SSL_ERROR_WANT_WRITE) {
        return failed(sock, call);
    }
    if (call->busy) {
        return IO_BUSY;
    }
    sock->ready &= ~SOCK_WRITABLE;
    return IO_AGAIN;
}

enum io tls_send(struct sock *sock, const void *bytes, size_t size, bool last,
                 size_t *count)
{
    struct tls_call *call = tls_bio_begin(sock, ssl_of(sock));
    int result;

    call->more = last;
    result = SSL_write_ex(call->ssl, bytes, size, count);
    return result == 1 ? IO_OK : nothing_written(sock, call, result);
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

static enum io finish_openssl(struct sock *sock, SSL *ssl)
{
    struct tls_call *call = tls_bio_begin(sock, ssl);
    int result;

    if (!SSL_is_init_finished(ssl)) {
        return IO_OK; /* no stream was begun that could be cut off */
    }
    call->more = true;
    result = SSL_shutdown(ssl);
    return result >= 0 ? IO_OK : nothing_written(sock, call, result);
}

enum io tls_finish(struct sock *sock)
{
    SSL *ssl = ssl_of(sock);
    enum io io;

    if (sock->tls & SOCK_TLS_FINISHED) {
        return IO_OK;
    }
    io = ssl == NULL ? finish_kernel(sock) : finish_openssl(sock, ssl);
    if (io == IO_OK) {
        sock->tls |= SOCK_TLS_FINISHED;
    }
    return io;
}

size_t tls_take_work(void)
{
    return tls_bio_take_work();
}

bool tls_has_bytes(const struct sock *sock)
{
    SSL *ssl = ssl_of(sock);

    return ssl != NULL && SSL_pending(ssl) > 0;
}
