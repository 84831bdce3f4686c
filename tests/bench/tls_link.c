#include "tls_link.h"
#include "load.h"

#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* A prime: no record or buffer is a multiple of the pattern. */
    PATTERN_BYTES = 65521,
    PIECE_BYTES = 16384, /* a record */
};

static struct {
    SSL_CTX *context;
    bool resume;
    unsigned char pattern[PATTERN_BYTES + PIECE_BYTES]; /* repeats its start */
} tls;

/* Keeps the newest: a connection may get several tickets. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_link *link = SSL_get_app_data(ssl);

    SSL_SESSION_free(link->session);
    link->session = session;
    return 1; /* the reference is ours */
}

static void make_pattern(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < PATTERN_BYTES; i++) {
        state = state * 1664525 + 1013904223;
        tls.pattern[i] = (unsigned char)(state >> 24);
    }
    memcpy(tls.pattern + PATTERN_BYTES, tls.pattern, PIECE_BYTES);
}

void tls_link_set_up(const struct tls_link_options *options)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context == NULL ||
        !SSL_CTX_set_max_proto_version(context, options->version)) {
        load_die("OpenSSL");
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    if (options->kernel) {
        SSL_CTX_set_options(context, SSL_OP_ENABLE_KTLS);
    }
    if (options->resume) {
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT |
                                                    SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_session);
    }
    tls.context = context;
    tls.resume = options->resume;
    make_pattern();
}

bool tls_link_dial(struct tls_link *link, int epoll, uint32_t tag)
{
    *link = (struct tls_link){.session = link->session};
    link->fd = load_dial(true);
    if (link->fd < 0) {
        return false;
    }
    link->ssl = SSL_new(tls.context);
    if (link->ssl == NULL || !SSL_set_fd(link->ssl, link->fd)) {
        load_die("SSL_new");
    }
    SSL_set_app_data(link->ssl, link);
    if (tls.resume && link->session != NULL) {
        SSL_set_session(link->ssl, link->session);
    }
    SSL_set_connect_state(link->ssl);
    load_watch(epoll, EPOLL_CTL_ADD, link->fd, EPOLLIN | EPOLLOUT | EPOLLET,
               tag);
    return true;
}

/* What the result of an OpenSSL call means for the step. */
static enum tls_step step_of(struct tls_link *link, int result)
{
    int error = SSL_get_error(link->ssl, result);

    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE
               ? TLS_WAITS
               : TLS_FAILED;
}

enum tls_step tls_link_handshake(struct tls_link *link)
{
    int result = SSL_do_handshake(link->ssl);
    return result == 1 ? TLS_DONE : step_of(link, result);
}

/* Sends the rest of the total. */
static enum tls_step send_rest(struct tls_link *link, long total)
{
    while (link->sent < total) {
        long rest = total - link->sent;
        int result =
            SSL_write(link->ssl, tls.pattern + link->sent % PATTERN_BYTES,
                      rest < PIECE_BYTES ? (int)rest : PIECE_BYTES);
        if (result <= 0) {
            return step_of(link, result);
        }
        link->sent += result;
    }
    return TLS_DONE;
}

/* Receives and compares the rest of the total. */
static enum tls_step receive_rest(struct tls_link *link, long total)
{
    while (link->got < total) {
        int result = SSL_read(link->ssl, load.buffer, PIECE_BYTES);
        if (result <= 0) {
            return step_of(link, result);
        }
        if (memcmp(load.buffer, tls.pattern + link->got % PATTERN_BYTES,
                   (size_t)result) != 0) {
            return TLS_FAILED;
        }
        link->got += result;
    }
    return link->got == total ? TLS_DONE : TLS_FAILED;
}

static enum tls_step there_and_back(struct tls_link *link, long total)
{
    enum tls_step sent = send_rest(link, total);
    enum tls_step taken = receive_rest(link, total);

    if (sent == TLS_FAILED || taken == TLS_FAILED) {
        return TLS_FAILED;
    }
    return taken;
}

enum tls_step tls_link_echo(struct tls_link *link)
{
    return there_and_back(link, load.bytes);
}

enum tls_step tls_link_stream(struct tls_link *link)
{
    return there_and_back(link, load.total);
}

/* After our end; true: the peer has ended as well, in TLS or without. */
static bool has_ended(struct tls_link *link, int error)
{
    link->cut = error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
    return link->cut || error == SSL_ERROR_ZERO_RETURN;
}

enum tls_step tls_link_shutdown(struct tls_link *link)
{
    char byte;
    int result;

    if (!(SSL_get_shutdown(link->ssl) & SSL_SENT_SHUTDOWN)) {
        SSL_shutdown(link->ssl);
        shutdown(link->fd, SHUT_WR);
    }
    result = SSL_read(link->ssl, &byte, 1);
    if (result > 0) {
        return TLS_FAILED; /* more than was sent */
    }
    if (has_ended(link, SSL_get_error(link->ssl, result))) {
        ERR_clear_error();
        return TLS_DONE;
    }
    return TLS_WAITS;
}

void tls_link_close(struct tls_link *link)
{
    SSL_free(link->ssl);
    link->ssl = NULL;
    close(link->fd);
}
