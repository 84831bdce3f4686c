#include "net/tls_context.h"

#include "net/ktls.h"
#include "net/tls_ticket.h"

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Each protocol follows its length, as in a ClientHello. */
static int set_protocols(struct tls_context *context, char *const *list,
                         size_t count)
{
    size_t bytes = 0;

    if (count == 0) {
        return 0;
    }
    context->protocols = malloc(count * (1 + TLS_PROTOCOL_BYTES_MAX));
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

struct tls_context *tls_context_create(char *const *alpn, size_t alpn_count)
{
    struct tls_context *context = calloc(1, sizeof(*context));

    if (context != NULL && set_protocols(context, alpn, alpn_count) < 0) {
        tls_context_destroy(context);
        return NULL;
    }
    return context;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    if (context != NULL) {
        context->sharers++;
    }
    return context;
}

static int copy_protocols(struct tls_context *copy,
                          const struct tls_context *context)
{
    if (context->protocols == NULL) {
        return 0;
    }
    copy->protocols = malloc(context->protocols_bytes);
    if (copy->protocols == NULL) {
        return -1;
    }
    memcpy(copy->protocols, context->protocols, context->protocols_bytes);
    copy->protocols_bytes = context->protocols_bytes;
    return 0;
}

struct tls_context *tls_context_copy(const struct tls_context *context,
                                     size_t places)
{
    struct tls_context *copy = calloc(1, sizeof(*copy));

    if (copy == NULL) {
        return NULL;
    }
    SSL_CTX_up_ref(context->start);
    copy->start = context->start;
    copy->sessions = calloc(places + 1, sizeof(SSL_SESSION *));
    if (copy->sessions == NULL || copy_protocols(copy, context) < 0) {
        tls_context_destroy(copy);
        return NULL;
    }
    copy->places = places;
    return copy;
}

void tls_context_move_session(struct tls_context *to, size_t to_place,
                              struct tls_context *from, size_t from_place)
{
    SSL_SESSION *session = atomic_exchange(&from->sessions[from_place], NULL);

    SSL_SESSION_free(atomic_exchange(&to->sessions[to_place], session));
}

void tls_context_destroy(struct tls_context *context)
{
    if (context == NULL || context->sharers-- > 0) {
        return;
    }
    for (size_t i = 0; i < context->places; i++) {
        SSL_SESSION_free(context->sessions[i]);
    }
    free(context->sessions);
    tls_identities_fini(&context->identities);
    SSL_CTX_free(context->start);
    tls_ticket_set_destroy(context->ticket_keys);
    free(context->protocols);
    free(context);
}

/* Refuses a key with a password, as a daemon cannot ask for one. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* The system's policy limits the ciphers, and the client chooses among them: it
 * knows which ones its processor is fast at. */
SSL_CTX *tls_context_new_ssl_ctx(const SSL_METHOD *method)
{
    SSL_CTX *made = SSL_CTX_new(method);

    if (made == NULL) {
        return NULL;
    }
    SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
    SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    if (ktls_available()) {
        SSL_CTX_set_options(made, SSL_OP_ENABLE_KTLS);
    }
    /* A repeated write may come from another address, as the ring's bytes may
     * have moved; an idle connection holds no buffer. */
    SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE |
                               SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                               SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(made, 1);
    SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(made, no_password);
    return made;
}
