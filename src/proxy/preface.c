#include "proxy/preface.h"

#include "wire/proxy_tlv.h"

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

bool preface_is_due(const struct listen_socket *listen)
{
    return listen->service->config->proxy_protocol || listen->named_count > 0;
}

static bool trusts(const struct config_service *config, const struct addr *peer)
{
    return network_tree_find(&config->proxy_senders, peer) >= 0;
}

static bool may_come_to(const struct config_service *config,
                        const struct addr *peer)
{
    return config->proxy_protocol ? trusts(config, peer)
                                  : access_allows(&config->access, peer);
}

bool preface_may_come(const struct listen_socket *listen,
                      const struct addr *peer)
{
    bool may = may_come_to(listen->service->config, peer);

    for (size_t i = 0; i < listen->named_count && !may; i++) {
        may = may_come_to(listen->named[i]->config, peer);
    }
    return may;
}

void preface_begin(struct preface *preface, const struct listen_socket *listen)
{
    *preface = (struct preface){.listen = listen};
}

void preface_end(struct preface *preface)
{
    free(preface->kept);
    preface->kept = NULL;
}

static enum step failed(struct preface *preface, enum cause cause)
{
    preface->cause = (uint8_t)cause;
    return STEP_FAILED;
}

/* Not everything has come. Waits for the rest if it can still come. */
static enum step wait_for_more(struct preface *preface,
                               const struct sock *client)
{
    if (client->ready & SOCK_ERROR) {
        return failed(preface, CAUSE_CLIENT_RESET);
    }
    return client->ready & SOCK_HANGUP ? failed(preface, CAUSE_BAD_HEADER)
                                       : STEP_WAITS;
}

/* ---- the server name ---- */

/* How well the service fits the name: 0 not, 1 by a wildcard, 2 exactly. */
static int match_name(const struct config_service *config, const char *name)
{
    int best = 0;

    for (size_t i = 0; i < config->sni_count; i++) {
        if (client_hello_matches(config->sni[i], name)) {
            best = MAX(best, config->sni[i][0] == '*' ? 1 : 2);
        }
    }
    return best;
}

static bool offers_one(const struct config_service *config,
                       const struct client_hello *hello)
{
    for (size_t i = 0; i < config->alpn_count; i++) {
        if (client_hello_offers(hello, config->alpn[i])) {
            return true;
        }
    }
    return config->alpn_count == 0;
}

/*
 * How well the service fits what the client asks for: 0 not; 1 by a protocol
 * alone; 2 and 3 by the name alone, of a wildcard and exactly; 4 and 5 by both.
 */
static int match(const struct config_service *config,
                 const struct client_hello *hello)
{
    int name = match_name(config, hello->name);

    if (!offers_one(config, hello) || (config->sni_count > 0 && name == 0)) {
        return 0;
    }
    if (config->alpn_count == 0) {
        return 1 + name;
    }
    return name == 0 ? 1 : 3 + name;
}

/* The service for what the client asks for; NULL: no service. */
static struct service *route(const struct listen_socket *listen,
                             const struct client_hello *hello)
{
    struct service *best =
        config_is_named(listen->service->config) ? NULL : listen->service;
    int best_match = 0;

    for (size_t i = 0; i < listen->named_count; i++) {
        int one = match(listen->named[i]->config, hello);

        if (one > best_match) {
            best = listen->named[i];
            best_match = one;
        }
    }
    return best;
}

/* A client that does not speak TLS, or not well enough to be understood, asks
 * for no name. */
static enum step read_hello(struct preface *preface, const struct sock *client,
                            const unsigned char *bytes, size_t count,
                            const struct addr *peer, struct service **service)
{
    struct client_hello hello = {.alpn_bytes = 0};
    int length = client_hello_parse(bytes, count, &hello);
    struct service *found;

    if (length == 0 && count < PREFACE_BYTES_MAX) {
        return wait_for_more(preface, client);
    }
    preface->has_hello = length > 0;
    found = route(preface->listen, &hello);
    if (found == NULL) {
        return failed(preface, CAUSE_NO_ROUTE);
    }
    *service = found;
    /* Another service of the address may be the only one that trusts the
     * sender of the header. */
    return !preface->has_header || trusts(found->config, peer)
               ? STEP_DONE
               : failed(preface, CAUSE_DENIED);
}

/* ---- TLVs ---- */

static struct preface_bytes *bytes_create(size_t size)
{
    struct preface_bytes *kept = malloc(sizeof(*kept) + size);

    if (kept != NULL) {
        kept->size = (uint32_t)size;
        kept->count = 0;
    }
    return kept;
}

/* Takes what an upstream is told of the TLVs of a whole header. Without any, a
 * checksum alone asks for one of ours. */
static bool keep_tlvs(struct preface *preface, const unsigned char *bytes,
                      size_t length)
{
    size_t at = proxy_header_tlvs(bytes, length);
    struct preface_bytes *kept = NULL;
    size_t crc_at = 0;

    if (at < length) {
        kept = bytes_create(length - at);
        if (kept == NULL || !proxy_tlv_scan(bytes, length, at, &crc_at)) {
            free(kept);
            return false;
        }
        kept->count =
            (uint32_t)proxy_tlv_pass(bytes + at, length - at, kept->bytes);
        if (kept->count == 0 && crc_at == 0) {
            free(kept);
            kept = NULL;
        }
    }
    preface_end(preface);
    preface->kept = kept;
    return true;
}

bool preface_add_tls(struct preface *preface, const struct sock *client)
{
    const struct preface_bytes *before = preface->kept;
    size_t count = before == NULL ? 0 : before->count;
    struct preface_bytes *kept = bytes_create(count + PROXY_TLV_TLS_MAX);
    struct sock_tls tls;
    struct proxy_tls told;

    if (kept == NULL) {
        return false;
    }
    sock_ask_tls(client, &tls);
    told = (struct proxy_tls){
        .version = tls.version,
        .protocol = tls.protocol,
        .protocol_bytes = tls.protocol_bytes,
        .name = tls.name,
        .name_bytes = tls.name == NULL ? 0 : strlen(tls.name),
        .common_name = tls.common_name,
        .common_name_bytes = tls.common_name_bytes,
        .shown = tls.shown,
        .resumed = tls.resumed,
        .verified = tls.verified,
    };
    if (count > 0) {
        count = proxy_tlv_without_tls(before->bytes, count, kept->bytes);
    }
    kept->count =
        (uint32_t)(count + proxy_tlv_of_tls(&told, kept->bytes + count));
    preface_end(preface);
    preface->kept = kept;
    return true;
}

/* ---- the PROXY header ---- */

/* A whole header, which may be the one that is kept. */
static enum step take_header(struct preface *preface, struct sock *client,
                             const struct proxy_header *header,
                             const unsigned char *bytes, size_t length,
                             const struct addr *peer, struct service **service)
{
    preface->header = *header;
    preface->has_header = true;
    if (!keep_tlvs(preface, bytes, length)) {
        return failed(preface, CAUSE_LOCAL_RESOURCE);
    }
    /* The ClientHello may have come with it. */
    return preface->listen->named_count == 0
               ? STEP_DONE
               : preface_read(preface, client, peer, service);
}

static enum step read_long_header(struct preface *preface, struct sock *client,
                                  const struct addr *peer,
                                  struct service **service)
{
    struct preface_bytes *gathered = preface->kept;
    struct proxy_header header;
    size_t count;

    while (gathered->count < gathered->size) {
        switch (sock_recv(client, gathered->bytes + gathered->count,
                          gathered->size - gathered->count, &count)) {
        case IO_OK:
            gathered->count += (uint32_t)count;
            break;
        case IO_AGAIN:
        case IO_BUSY:
            return STEP_WAITS;
        case IO_EOF:
            return failed(preface, CAUSE_BAD_HEADER);
        default:
            return failed(preface, CAUSE_CLIENT_RESET);
        }
    }
    if (proxy_header_parse(gathered->bytes, gathered->size, &header) <= 0) {
        return failed(preface, CAUSE_BAD_HEADER);
    }
    return take_header(preface, client, &header, gathered->bytes,
                       gathered->size, peer, service);
}

/* A header of version 2 may be longer than what the kernel queues. Only those
 * who may send headers get memory for it. */
static enum step begin_long_header(struct preface *preface, struct sock *client,
                                   const unsigned char *bytes,
                                   const struct addr *peer,
                                   struct service **service)
{
    uint32_t size = 16 + (((uint32_t)bytes[14] << 8) | bytes[15]);

    preface->kept = bytes_create(size);
    if (preface->kept == NULL) {
        return failed(preface, CAUSE_LOCAL_RESOURCE);
    }
    return read_long_header(preface, client, peer, service);
}

/* Takes the header, whose length is known, out of the kernel's queue. */
static bool consume(struct sock *client, unsigned char *bytes, size_t length)
{
    size_t count;

    while (length > 0) {
        if (sock_recv(client, bytes, length, &count) != IO_OK) {
            return false;
        }
        length -= count;
    }
    return true;
}

static enum step read_header(struct preface *preface, struct sock *client,
                             unsigned char *bytes, size_t count,
                             const struct addr *peer, struct service **service)
{
    struct proxy_header header;
    int length = proxy_header_parse(bytes, count, &header);

    if (length == 0) {
        return count == PREFACE_BYTES_MAX
                   ? begin_long_header(preface, client, bytes, peer, service)
                   : wait_for_more(preface, client);
    }
    if (length < 0 || !consume(client, bytes, (size_t)length)) {
        return failed(preface, CAUSE_BAD_HEADER);
    }
    return take_header(preface, client, &header, bytes, (size_t)length, peer,
                       service);
}

enum step preface_read(struct preface *preface, struct sock *client,
                       const struct addr *peer, struct service **service)
{
    unsigned char bytes[PREFACE_BYTES_MAX];
    size_t count;

    if (!(client->ready & SOCK_READABLE)) {
        return STEP_WAITS;
    }
    if (preface->kept != NULL && !preface->has_header) {
        return read_long_header(preface, client, peer, service);
    }
    switch (sock_peek(client, bytes, sizeof(bytes), &count)) {
    case IO_OK:
        break;
    case IO_AGAIN:
    case IO_BUSY:
        return STEP_WAITS;
    case IO_EOF:
        preface->silent = true;
        return failed(preface, CAUSE_BAD_HEADER);
    default:
        return failed(preface, CAUSE_CLIENT_RESET);
    }
    return preface->listen->service->config->proxy_protocol &&
                   !preface->has_header
               ? read_header(preface, client, bytes, count, peer, service)
               : read_hello(preface, client, bytes, count, peer, service);
}
