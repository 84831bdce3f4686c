#include "proxy/upstream_header.h"

#include "proxy/preface.h"
#include "wire/proxy_tlv.h"

#include <stdlib.h>

static struct proxy_header make_header(const struct upstream_header *what)
{
    struct proxy_header header = {.source = *what->client_addr};

    if (what->header != NULL) {
        return *what->header;
    }
    sock_local(what->client, &header.destination);
    header.local = header.source.family == AF_UNIX;
    return header;
}

static enum step failed(enum cause *cause, enum cause why)
{
    *cause = why;
    return STEP_FAILED;
}

static enum step send_rest(struct sock *upstream, const unsigned char *bytes,
                           size_t length, uint32_t *sent, enum cause *cause)
{
    size_t count;

    while (*sent < length) {
        switch (
            sock_send(upstream, bytes + *sent, length - *sent, false, &count)) {
        case IO_OK:
            *sent += (uint32_t)count;
            break;
        case IO_ERROR:
            return STEP_DONE;
        case IO_AGAIN:
            return STEP_WAITS;
        default:
            return failed(cause, CAUSE_LOCAL_RESOURCE);
        }
    }
    return STEP_DONE;
}

static enum step send_short(const struct upstream_header *what,
                            struct sock *upstream, uint32_t *sent,
                            enum cause *cause)
{
    unsigned char bytes[PROXY_HEADER_V1_MAX]; /* the longer of the two */
    struct proxy_header header = make_header(what);
    size_t length = what->version == PROXY_V1
                        ? proxy_header_format_v1(&header, (char *)bytes)
                        : proxy_header_format_v2(&header, bytes, false);

    return send_rest(upstream, bytes, length, sent, cause);
}

/* The rest of one that the socket did not take whole is the same header, made
 * again. */
static enum step send_with_tlvs(const struct upstream_header *what,
                                struct sock *upstream, uint32_t *sent,
                                enum cause *cause)
{
    const struct preface_bytes *tlvs = what->tlvs;
    struct proxy_header header = make_header(what);
    unsigned char *bytes =
        malloc(PROXY_HEADER_V2_MAX + tlvs->count + PROXY_TLV_CRC_BYTES);
    enum step step = STEP_DONE;
    size_t length;

    if (bytes == NULL) {
        return failed(cause, CAUSE_LOCAL_RESOURCE);
    }
    length = proxy_header_format_v2(&header, bytes, false);
    length = proxy_tlv_append(bytes, length, tlvs->bytes, tlvs->count);
    step = length == 0 ? failed(cause, CAUSE_BAD_HEADER)
                       : send_rest(upstream, bytes, length, sent, cause);
    free(bytes);
    return step;
}

/* A header without addresses has no TLVs: its receiver must skip them. */
static bool has_tlvs(const struct upstream_header *what)
{
    const struct proxy_header *header = what->header;

    if (what->tlvs == NULL || what->version == PROXY_V1) {
        return false;
    }
    return header == NULL ? addr_is_ip(what->client_addr)
                          : addr_is_ip(&header->source);
}

enum step upstream_header_send(const struct upstream_header *what,
                               struct sock *upstream, uint32_t *sent,
                               enum cause *cause)
{
    return has_tlvs(what) ? send_with_tlvs(what, upstream, sent, cause)
                          : send_short(what, upstream, sent, cause);
}
