#include "proxy/preface.h"

#include "base/log.h"
#include "proxy/admission.h"
#include "proxy/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/param.h>

bool preface_is_due(const struct listen_socket *listen)
{
    return listen->service->config->proxy_protocol || listen->named_count > 0;
}

enum cause preface_admit(const struct service *service, const struct addr *peer)
{
    const struct config_service *config = service->config;

    if (!config->proxy_protocol) {
        return CAUSE_NONE;
    }
    for (size_t i = 0; i < config->proxy_from_count; i++) {
        if (network_contains(&config->proxy_from[i], peer)) {
            return CAUSE_NONE;
        }
    }
    return CAUSE_DENIED;
}

/* At most one line a second in all, with how many there were since the last. */
static void refuse_header(struct plane *plane, struct session *session)
{
    uint32_t count = plane_complain(plane, &plane->shared->bad_headers);
    char peer[ADDR_TEXT_MAX];

    if (count > 0) {
        log_write(LOG_WARN, "bad header service=%s from=%s count=%u",
                  session->service->config->name,
                  addr_format(&session->client, peer), count);
    }
    session_close(plane, session, CAUSE_BAD_HEADER);
}

/* Client and service are known now: may it come in? */
static void admit(struct plane *plane, struct session *session)
{
    bool in_source;
    enum cause cause = admission_enter_service(plane, session->service,
                                               &session->client, &in_source);

    if (cause != CAUSE_NONE) {
        session_close(plane, session, cause);
        return;
    }
    session->in_service = true;
    session->in_source = in_source;
    if (!session->accepted) {
        session_accepted(plane, session);
    }
    preface_admitted(plane, session);
}

void preface_admitted(struct plane *plane, struct session *session)
{
    const struct service *service = session->service;

    if (service->tls_server == NULL) {
        session_proceed(plane, session);
    } else if (sock_start_tls(&session->sock[CLIENT], service->tls_server,
                              NULL) < 0) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else {
        session_arm(plane, session);
        if (session->sock[CLIENT].ready & SOCK_READABLE) {
            session_handshake_due(plane, session);
        }
    }
}

void preface_run(struct plane *plane, struct session *session)
{
    char text[ADDR_TEXT_MAX];

    switch (sock_handshake(&session->sock[CLIENT])) {
    case IO_OK:
        session_proceed(plane, session);
        break;
    case IO_AGAIN:
        break; /* header_timeout has an eye on it */
    case IO_BUSY:
        session_handshake_later(plane, session);
        break;
    default:
        if (errno == EPROTO) {
            session_complain(plane, session, "client",
                             addr_format(&session->client, text));
            session_close(plane, session, CAUSE_TLS_ERROR);
        } else {
            session_close(plane, session, CAUSE_CLIENT_RESET);
        }
        break;
    }
}

/* Whether the service takes the name: 0 no, 1 by a wildcard, 2 exactly. */
static int takes_name(const struct config_service *config, const char *name)
{
    int best = 0;

    for (size_t i = 0; i < config->sni_count; i++) {
        if (client_hello_matches(config->sni[i], name)) {
            best = MAX(best, config->sni[i][0] == '*' ? 1 : 2);
        }
    }
    return best;
}

/* The service for a name ("": none was given); NULL: nobody's. */
static struct service *route(const struct listen_socket *listen,
                             const char *name)
{
    struct service *rest =
        listen->service->config->sni_count == 0 ? listen->service : NULL;
    struct service *best = rest;
    int best_match = 0;

    for (size_t i = 0; i < listen->named_count; i++) {
        int match = takes_name(listen->named[i]->config, name);

        if (match > best_match) {
            best = listen->named[i];
            best_match = match;
        }
    }
    return best;
}

static void choose_service(struct plane *plane, struct session *session,
                           const char *name)
{
    struct service *service = route(session->notes->listen, name);

    if (service == NULL) {
        session_close(plane, session, CAUSE_NO_ROUTE);
        return;
    }
    session->service = service;
    admit(plane, session);
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

/* What has come is not all of it: waits for more if there can be more. */
static void want_more(struct plane *plane, struct session *session)
{
    const struct sock *sock = &session->sock[CLIENT];

    if (sock->ready & SOCK_ERROR) {
        session_close(plane, session, CAUSE_CLIENT_RESET);
    } else if (sock->ready & SOCK_HANGUP) {
        refuse_header(plane, session);
    }
}

static void take_header(struct plane *plane, struct session *session,
                        const struct proxy_header *header)
{
    session->notes->header = *header;
    session->notes->has_header = true;
    if (!header->local) {
        session->client = header->source;
    }
    if (session->notes->listen->named_count == 0) {
        admit(plane, session);
    } else {
        preface_event(plane, session); /* the ClientHello may be here too */
    }
}

/*
 * A header of version 2 may be longer than what the kernel holds for a reader.
 * Such a one, which only they send who may, is gathered in memory of its own.
 */
static void begin_long_header(struct plane *plane, struct session *session,
                              const unsigned char *bytes)
{
    struct notes *notes = session->notes;

    notes->long_size = 16 + (((uint32_t)bytes[14] << 8) | bytes[15]);
    notes->long_header = malloc(notes->long_size);
    if (notes->long_header == NULL) {
        session_close(plane, session, CAUSE_LOCAL_RESOURCE);
    } else {
        preface_event(plane, session);
    }
}

static void read_long_header(struct plane *plane, struct session *session)
{
    struct notes *notes = session->notes;
    struct proxy_header header;
    size_t count;

    while (notes->long_count < notes->long_size) {
        switch (sock_recv(&session->sock[CLIENT],
                          notes->long_header + notes->long_count,
                          notes->long_size - notes->long_count, &count)) {
        case IO_OK:
            notes->long_count += (uint32_t)count;
            break;
        case IO_AGAIN:
        case IO_BUSY:
            return;
        case IO_EOF:
            refuse_header(plane, session);
            return;
        default:
            session_close(plane, session, CAUSE_CLIENT_RESET);
            return;
        }
    }
    if (proxy_header_parse(notes->long_header, notes->long_size, &header) > 0) {
        free(notes->long_header);
        notes->long_header = NULL;
        take_header(plane, session, &header);
    } else {
        refuse_header(plane, session);
    }
}

static void read_header(struct plane *plane, struct session *session,
                        unsigned char *bytes, size_t count)
{
    struct proxy_header header;
    int length = proxy_header_parse(bytes, count, &header);

    if (length == 0 && count == PREFACE_BYTES_MAX) {
        begin_long_header(plane, session, bytes);
    } else if (length == 0) {
        want_more(plane, session);
    } else if (length > 0 &&
               take(&session->sock[CLIENT], bytes, (size_t)length)) {
        take_header(plane, session, &header);
    } else {
        refuse_header(plane, session);
    }
}

/* What is not TLS, or not to be understood, asks for no name. */
static void read_hello(struct plane *plane, struct session *session,
                       const unsigned char *bytes, size_t count)
{
    struct client_hello hello = {.name = ""};
    int length = client_hello_parse(bytes, count, &hello);

    if (length == 0 && count < PREFACE_BYTES_MAX) {
        want_more(plane, session);
    } else {
        choose_service(plane, session, length > 0 ? hello.name : "");
    }
}

static void read_preface(struct plane *plane, struct session *session,
                         unsigned char *bytes, size_t count)
{
    if (session->service->config->proxy_protocol &&
        !session->notes->has_header) {
        read_header(plane, session, bytes, count);
    } else {
        read_hello(plane, session, bytes, count);
    }
}

void preface_event(struct plane *plane, struct session *session)
{
    struct sock *sock = &session->sock[CLIENT];
    unsigned char bytes[PREFACE_BYTES_MAX];
    size_t count;

    if (session->in_service) {
        session_handshake_due(plane, session); /* all else has come */
        return;
    }
    if (!(sock->ready & SOCK_READABLE)) {
        return;
    }
    if (session->notes->long_header != NULL) {
        read_long_header(plane, session);
        return;
    }
    switch (sock_peek(sock, bytes, sizeof(bytes), &count)) {
    case IO_OK:
        read_preface(plane, session, bytes, count);
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

bool preface_send(struct session *session)
{
    enum config_proxy version = PROXY_OFF;
    unsigned char bytes[PROXY_HEADER_V1_MAX]; /* the longer of the two */
    struct proxy_header header;
    size_t length;
    size_t count;

    if (session->service->sends_proxy) {
        version =
            session->service->lines[attempt_place(session)]->proxy_protocol;
    }
    if (version == PROXY_OFF) {
        return true;
    }
    header = describe(session);
    length = version == PROXY_V1
                 ? proxy_header_format_v1(&header, (char *)bytes)
                 : proxy_header_format_v2(&header, bytes, false);
    switch (sock_send(&session->sock[UPSTREAM], bytes, length, false, &count)) {
    case IO_OK:
        return count == length;
    case IO_ERROR:
        return true; /* it has gone, and may have left bytes: the relay's */
    default:
        return false;
    }
}
