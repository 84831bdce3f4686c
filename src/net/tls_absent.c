/* For a build without TLS. No context can be made, so no other function is ever
 * called. */
#include "net/tls.h"

#include "net/tls_client.h"
#include "net/tls_file.h"
#include "net/tls_server.h"

#include <errno.h>
#include <stdlib.h>

struct tls_context *tls_server_create(const struct tls_server_options *options,
                                      struct tls_fault_report *report)
{
    (void)options;
    *report = (struct tls_fault_report){.text = "this build has no TLS"};
    return NULL;
}

struct tls_context *tls_client_create(const struct tls_client_options *options,
                                      struct tls_fault_report *report)
{
    (void)options;
    *report = (struct tls_fault_report){.text = "this build has no TLS"};
    return NULL;
}

void tls_trusts_fini(struct tls_trusts *trusts)
{
    (void)trusts;
}

struct tls_context *tls_context_share(struct tls_context *context)
{
    return context;
}

struct tls_context *tls_context_copy(const struct tls_context *context,
                                     size_t places)
{
    (void)context;
    (void)places;
    return NULL;
}

void tls_context_move_session(struct tls_context *to, size_t to_place,
                              struct tls_context *from, size_t from_place)
{
    (void)to;
    (void)to_place;
    (void)from;
    (void)from_place;
}

const char *tls_file_date_fault(const char *path)
{
    (void)path;
    return NULL;
}

void tls_context_destroy(struct tls_context *context)
{
    (void)context;
}

int tls_accept(struct sock *sock, const struct tls_context *context)
{
    (void)sock;
    (void)context;
    errno = ENOSYS;
    return -1;
}

int tls_connect(struct sock *sock, const struct tls_context *context,
                const char *name, size_t place, const struct sock *other)
{
    (void)name;
    (void)place;
    (void)other;
    return tls_accept(sock, context);
}

const char *tls_error(void)
{
    return "";
}

void tls_ask(const struct sock *sock, struct sock_tls *tls)
{
    (void)sock;
    (void)tls;
}

void tls_release(struct sock *sock)
{
    (void)sock;
}

static enum io never(void)
{
    errno = ENOSYS;
    return IO_ERROR;
}

enum io tls_handshake(struct sock *sock)
{
    (void)sock;
    return never();
}

enum io tls_recv(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    (void)sock;
    (void)buffer;
    (void)size;
    (void)count;
    return never();
}

enum io tls_peek(struct sock *sock, void *buffer, size_t size, size_t *count)
{
    return tls_recv(sock, buffer, size, count);
}

enum io tls_send(struct sock *sock, const void *bytes, size_t size, bool last,
                 size_t *count)
{
    (void)sock;
    (void)bytes;
    (void)size;
    (void)last;
    (void)count;
    return never();
}

enum io tls_finish(struct sock *sock)
{
    (void)sock;
    return never();
}

size_t tls_take_work(void)
{
    return 0;
}

bool tls_has_bytes(const struct sock *sock)
{
    (void)sock;
    return false;
}

void tls_free(struct sock *sock)
{
    (void)sock;
}

bool tls_trim(void)
{
    return false;
}
