#include "net/tls_bio.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/socket.h>

/* BIO_CTRL_SET_KTLS_SEND, whose number bio.h tells in a comment. */
enum { OFFER_TO_KERNEL = 72 };

static struct {
    pthread_once_t once;
    BIO_METHOD *method; /* NULL: no memory */
} shared = {.once = PTHREAD_ONCE_INIT};

static _Thread_local struct tls_call call;

struct tls_call *tls_bio_begin(struct sock *sock, SSL *ssl)
{
    call = (struct tls_call){.sock = sock, .ssl = ssl, .work = call.work};
    ERR_clear_error();
    return &call;
}

size_t tls_bio_work(void)
{
    return call.work;
}

size_t tls_bio_take_work(void)
{
    size_t work = call.work;

    call.work = 0;
    return work;
}

/* ---- bytes ---- */

/* After a call failed, other than with EAGAIN. */
static void record_failure(void)
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
    if (call.handshake && call.work >= TLS_WORK_MAX) {
        call.busy = true;
    } else if (sock->tls & SOCK_TLS_INPUT) {
        do {
            got = recv(sock->fd, bytes, (size_t)size, 0);
        } while (got < 0 && errno == EINTR);
        if ((got < 0 && errno == EAGAIN) ||
            (got >= 0 && got < size &&
             !(sock->ready & (SOCK_HANGUP | SOCK_URGENT)))) {
            sock->tls &= ~SOCK_TLS_INPUT;
        } else if (got < 0) {
            record_failure();
        }
    }
    if (got == 0) {
        call.ended = true;
    } else if (got < 0 && call.error == 0) {
        BIO_set_retry_read(bio);
    }
    return (int)got;
}

/* The client does not wait for a ticket, so it may be sent with the first
 * bytes, or after 200 ms. */
static bool is_ticket(const SSL *ssl)
{
    return SSL_get_state(ssl) == TLS_ST_SW_SESSION_TICKET;
}

static int write_bytes(BIO *bio, const char *bytes, int size)
{
    struct sock *sock = call.sock;
    bool more = call.more || is_ticket(call.ssl);
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
            record_failure();
        }
    }
    if (put < 0 && call.error == 0) {
        BIO_set_retry_write(bio);
    }
    return (int)put;
}

/*
 * Once the kernel has taken over a direction, a socket's BIO of OpenSSL, which
 * knows the kernel's records, serves that direction. It is the data of ours.
 */
static BIO *kernel_bio(BIO *bio)
{
    return BIO_get_data(bio);
}

static int bio_read(BIO *bio, char *bytes, int size)
{
    BIO *kernel = kernel_bio(bio);
    int got;

    if (kernel == NULL || !BIO_get_ktls_recv(kernel)) {
        return read_bytes(bio, bytes, size);
    }
    got = BIO_read(kernel, bytes, size);
    BIO_clear_retry_flags(bio);
    BIO_set_flags(bio, BIO_get_retry_flags(kernel));
    return got;
}

static int bio_write(BIO *bio, const char *bytes, int size)
{
    BIO *kernel = kernel_bio(bio);
    int put;

    if (kernel == NULL || !BIO_get_ktls_send(kernel)) {
        return write_bytes(bio, bytes, size);
    }
    put = BIO_write(kernel, bytes, size);
    BIO_clear_retry_flags(bio);
    BIO_set_flags(bio, BIO_get_retry_flags(kernel));
    return put;
}

/* In a handshake: the keys of a direction are known. Answers whether the kernel
 * takes it over. */
static long offer_to_kernel(BIO *bio, long sending, void *keys)
{
    BIO *before = kernel_bio(bio);
    BIO *kernel =
        before != NULL ? before : BIO_new_socket(call.sock->fd, BIO_NOCLOSE);

    if (kernel == NULL) {
        return 0;
    }
    if (BIO_ctrl(kernel, OFFER_TO_KERNEL, sending, keys) > 0) {
        BIO_set_data(bio, kernel);
        return 1;
    }
    if (before == NULL) {
        BIO_free(kernel);
    }
    return 0;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case OFFER_TO_KERNEL:
        return offer_to_kernel(bio, number, pointer);
    default:
        return kernel_bio(bio) == NULL
                   ? 0
                   : BIO_ctrl(kernel_bio(bio), command, number, pointer);
    }
}

static int bio_destroy(BIO *bio)
{
    BIO_free(kernel_bio(bio));
    return 1;
}

static void make_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOCKET, "sock");

    if (method != NULL) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
        BIO_meth_set_destroy(method, bio_destroy);
    }
    shared.method = method;
}

/* ---- records ---- */

/* No further record is taken: OpenSSL ends the call as if after a close_notify.
 */
static void refuse_records(SSL *ssl)
{
    call.refused = true;
    SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
}

/* OpenSSL calls it with the head of each record, and, as TLS 1.3 encrypts the
 * type, with that. arg: the number of barren records before. */
static void on_record(int written, int version, int what, const void *bytes,
                      size_t count, SSL *ssl, void *arg)
{
    const unsigned char *head = bytes;
    uintptr_t barren = (uintptr_t)arg;

    (void)version, (void)count;
    if (written ||
        (what != SSL3_RT_HEADER && what != SSL3_RT_INNER_CONTENT_TYPE)) {
        return;
    }
    if (what == SSL3_RT_HEADER) {
        call.work += TLS_WORK_RECORD + ((size_t)head[3] << 8 | head[4]);
        SSL_set_msg_callback_arg(ssl, (void *)++barren);
    }
    if (head[0] == SSL3_RT_APPLICATION_DATA) {
        return;
    }
    call.work += TLS_WORK_MESSAGE;
    if (barren > TLS_BARREN_MAX && !call.handshake) {
        refuse_records(ssl);
    }
}

void tls_bio_had_data(SSL *ssl)
{
    SSL_set_msg_callback_arg(ssl, NULL);
}

bool tls_bio_attach(SSL *ssl)
{
    BIO *bio;

    pthread_once(&shared.once, make_method);
    bio = shared.method == NULL ? NULL : BIO_new(shared.method);
    if (bio == NULL) {
        return false;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_msg_callback(ssl, on_record);
    return true;
}
