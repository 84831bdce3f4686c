/*
 * preface: what a client's connection begins with, before its bytes are passed
 * on: a PROXY header, where the client may send one, and the server name of its
 * ClientHello, which is only looked at. The answer is who the client is and
 * which service it is for. Knows nothing of sessions; the plane's thread.
 *
 *      PROXY header ──▶ server name ──▶ STEP_DONE: service and client
 *
 * Headers are looked at in the kernel's queue, and a PROXY header is taken out
 * of it only when it is complete. So neither a slow nor a hostile sender costs
 * memory here, and the bytes behind the header are not touched. The TLVs of a
 * header are kept until the upstream is connected, which may be told them.
 */
#ifndef EVPROXY_PROXY_PREFACE_H
#define EVPROXY_PROXY_PREFACE_H

#include "net/sock.h"
#include "proxy/handshake.h"
#include "proxy/plane.h"
#include "wire/client_hello.h"
#include "wire/proxy_header.h"

#include <stdbool.h>

/* So many bytes are looked at in the kernel's queue. A longer ClientHello
 * counts as none; a longer PROXY header is gathered in memory. */
#define PREFACE_BYTES_MAX (CLIENT_HELLO_MAX + 1024)

/* Bytes of a PROXY header: a longer one than that, while it comes; then the
 * TLVs that an upstream is told. */
struct preface_bytes {
    uint32_t size;  /* bytes it will have */
    uint32_t count; /* bytes it has */
    unsigned char bytes[];
};

struct preface {
    const struct listen_socket *listen; /* where the client came in */
    struct preface_bytes *kept;         /* of the header; once it has come, its
                                           TLVs. NULL: none */
    struct proxy_header header;         /* if has_header */
    bool has_header;
    bool has_hello; /* a whole ClientHello is in the kernel's queue */
    uint8_t cause;  /* enum cause: of STEP_FAILED */
    bool silent;    /* of STEP_FAILED: the stream ended before the first byte of
                       what was due, as that of a check does */
};

/* Whether something must come first on that address. */
bool preface_is_due(const struct listen_socket *listen);

/* Whether the peer may come in there, as far as that is known before it has
 * sent anything: some service of the address trusts its PROXY headers, or
 * allows it where none are due. */
bool preface_may_come(const struct listen_socket *listen,
                      const struct addr *peer);

void preface_begin(struct preface *preface, const struct listen_socket *listen);

/* The client's socket, connected to that peer, may have bytes. STEP_WAITS,
 * STEP_DONE or STEP_FAILED. A server name sets *service, before admission has
 * seen it. */
enum step preface_read(struct preface *preface, struct sock *client,
                       const struct addr *peer,
                       struct service **service) WARN_UNUSED;

/* TLS has ended here: replaces what TLVs of the header say about TLS with what
 * is known here. False: no memory. */
bool preface_add_tls(struct preface *preface,
                     const struct sock *client) WARN_UNUSED;

/* Frees what was kept. The header stays valid. */
void preface_end(struct preface *preface);

#endif
