/*
 * upstream_header: the PROXY header that an upstream is sent before the first
 * byte of a client: who the client is, and with version 2 the TLVs of the
 * header that came, and what TLS has shown where it ends here. The plane's
 * thread.
 */
#ifndef EVPROXY_PROXY_UPSTREAM_HEADER_H
#define EVPROXY_PROXY_UPSTREAM_HEADER_H

#include "base/addr.h"
#include "config/snapshot.h"
#include "net/sock.h"
#include "proxy/handshake.h"
#include "service/stats.h"
#include "wire/proxy_header.h"

#include <stdint.h>

struct preface_bytes;

/* What is told. */
struct upstream_header {
    enum config_proxy version; /* v1 or v2 */
    const struct sock *client;
    const struct addr *client_addr;
    const struct proxy_header *header; /* that came; NULL: none */
    const struct preface_bytes *tlvs;  /* for version 2; NULL: none */
};

/*
 * Sends the header, or its rest: *sent bytes of it have been sent before, which
 * is kept up to date. STEP_DONE: it is sent, or the upstream is gone and may
 * have left bytes, which the relay passes on. STEP_WAITS: for a writable
 * socket. STEP_FAILED, with *cause: no memory, or it would be too long.
 */
enum step upstream_header_send(const struct upstream_header *what,
                               struct sock *upstream, uint32_t *sent,
                               enum cause *cause) WARN_UNUSED;

#endif
