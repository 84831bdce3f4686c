#include "proxy/preface.h"

#include "base/log.h"
#include "proxy/admission.h"
#include "proxy/attempt.h"

#include <stdatomic.h>

enum cause preface_admit(const struct service *service, const struct addr *peer)
{
    const struct config_service *config = service->config;

    for (size_t i = 0; i < config->proxy_from_count; i++) {
        if (network_contains(&config->proxy_from[i], peer)) {
            return CAUSE_NONE;
        }
    }
    return CAUSE_DENIED;
}

/* At most one line a second, with how many there were since the last. */
static void refuse_header(struct plane *plane, struct session *session)
{
    char peer[ADDR_TEXT_MAX];

    plane->bad_headers++;
    if (plane->loop.now_ns >= plane->bad_header_log_ns) {
        plane->bad_header_log_ns = plane->loop.now_ns + NS_PER_S;
        log_write(LOG_WARN, "bad header service=%s from=%s count=%u",
                  session->service->config->name,
                  addr_format(&session->client, peer), plane->bad_headers);
        plane->bad_headers = 0;
    }
    session_close(plane, session, CAUSE_BAD_HEADER);
}

/* The header is taken: the session knows its client. */
static void proceed(struct plane *plane, struct session *session,
                    const struct proxy_header *header)
{
    struct notes *notes = session_notes(session);
    enum cause cause;
    bool in_source;

    if (notes == NULL) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
        return;
    }
    notes->header = *header;
    notes->has_header = true;
    if (!header->local) {
        session->client = header->source;
    }
    cause = admission_enter_service(plane, session->service, &session->client,
                                    &in_source);
    if (cause != CAUSE_NONE) {
        session_close(plane, session, cause);
        return;
    }
    session->in_service = true;
    session->in_source = in_source;
    session->state = SESSION_CONNECT;
    attempt_begin(plane, session);
}

/* Takes the header, whose length is known, out of the kernel's queue. */
static bool take(struct sock *sock, unsigned char *bytes, size_t length)
{
    size_t count;

    while (length > 0) {
        if (sock_recv(sock, bytes, length, &count) != IO_OK) {
            return false;
        }
        length -= count;
    }
    return true;
}

static void parse(struct plane *plane, struct session *session,
                  unsigned char *bytes, size_t count)
{
    struct sock *sock = &session->sock[CLIENT];
    struct proxy_header header;
    int length = proxy_header_parse(bytes, count, &header);

    if (length > 0 && take(sock, bytes, (size_t)length)) {
        proceed(plane, session, &header);
    } else if (length == 0 && sock->ready & SOCK_ERROR) {
        session_close(plane, session, CAUSE_CLIENT_RESET);
    } else if (length != 0 || count == PREFACE_BYTES_MAX ||
               sock->ready & SOCK_HANGUP) {
        refuse_header(plane, session);
    }
}

void preface_event(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[CLIENT];
    unsigned char bytes[PREFACE_BYTES_MAX];
    size_t count;

    if (!(sock->ready & SOCK_READABLE)) {
        return;
    }
    switch (sock_peek(sock, bytes, sizeof(bytes), &count)) {
    case IO_OK:
        parse(plane, session, bytes, count);
        break;
    case IO_AGAIN:
    case IO_BUSY:
        break; /* header_timeout has an eye on it */
    case IO_EOF:
        refuse_header(plane, session);
        break;
    default:
        session_close(plane, session, CAUSE_CLIENT_RESET);
        break;
    }
}

/* What is to be told about this session's client. */
static struct proxy_header describe(const struct session *session)
{
    struct proxy_header header = {.source = session->client};

    if (session->notes != NULL && session->notes->has_header) {
        return session->notes->header;
    }
    sock_local(&session->sock[CLIENT], &header.destination);
    header.local = header.source.family == AF_UNIX;
    return header;
}

static enum config_proxy version_of(const struct session *session)
{
    const struct service *service = session->service;

    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (service->upstreams[i] == session->upstream) {
            return service->lines[i]->proxy_protocol;
        }
    }
    return PROXY_OFF;
}

bool preface_send(struct session *session)
{
    enum config_proxy version = PROXY_OFF;
    unsigned char bytes[PROXY_HEADER_V1_MAX]; /* the longer of the two */
    struct proxy_header header;
    size_t length;
    size_t count;

    if (session->service->sends_proxy) {
        version = version_of(session);
    }
    if (version == PROXY_OFF) {
        return true;
    }
    header = describe(session);
    length = version == PROXY_V1
                 ? proxy_header_format_v1(&header, (char *)bytes)
                 : proxy_header_format_v2(&header, bytes, false);
    return sock_send(&session->sock[UPSTREAM], bytes, length, false, &count) ==
               IO_OK &&
           count == length;
}
