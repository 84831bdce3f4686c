#include "control/health_talk.h"

#include "config/health_value.h"
#include "net/connect.h"
#include "service/check_cause.h"
#include "wire/proxy_header.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES        16384
#define REQUEST_BYTES_MAX 3072    /* path and host are bounded */
#define LINGER_BYTES_MAX  1048576 /* read after the verdict */

_Static_assert(HEALTH_TEXT_MAX <= EXPECTATION_BYTES_MAX,
               "every text can be found");

/* ---- what it works with ---- */

static const struct config_service *config_of(const struct health_talk *talk)
{
    return talk->service->config;
}

static const struct config_upstream *line_of(const struct health_talk *talk)
{
    return talk->service->lines[talk->place];
}

static bool is_datagram(const struct health_talk *talk)
{
    return config_of(talk)->mode == CONFIG_UDP;
}

static enum talk fail(struct health_talk *talk, uint32_t cause, int error)
{
    talk->cause = cause;
    talk->error = error;
    return TALK_FAILED;
}

static uint32_t cause_of_error(int error)
{
    switch (error) {
    case ETIMEDOUT:
        return CHECK_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
        return CHECK_RESET;
    default:
        return CHECK_REFUSED;
    }
}

/* A shortage of this machine says nothing of the upstream, except one of ports:
 * clients have none either then. */
static enum talk fail_connect(struct health_talk *talk, int error)
{
    if (connect_error_is_shortage(error) && error != EADDRNOTAVAIL &&
        error != EAGAIN) {
        return TALK_SHORTAGE;
    }
    return fail(talk, error == ETIMEDOUT ? CHECK_TIMEOUT : CHECK_REFUSED,
                error);
}

/* An answer of sock other than IO_OK. */
static enum talk stopped(struct health_talk *talk, enum io io)
{
    switch (io) {
    case IO_AGAIN:
        return TALK_WAITS;
    case IO_BUSY:
        return TALK_SHORTAGE;
    default:
        return fail(talk, cause_of_error(errno), errno);
    }
}

/* ---- what is sent ---- */

/* Sends what is left of the bytes. True: all are sent; else *answer is set. */
static bool send_all(struct health_talk *talk, const void *bytes, size_t count,
                     enum talk *answer)
{
    while (talk->sent < count) {
        size_t sent = 0;
        enum io io = sock_send(&talk->sock, (const char *)bytes + talk->sent,
                               count - talk->sent, false, &sent);

        if (io != IO_OK) {
            *answer = stopped(talk, io);
            return false;
        }
        talk->sent += (uint32_t)sent;
    }
    talk->sent = 0;
    return true;
}

static bool send_header(struct health_talk *talk, enum talk *answer)
{
    const struct proxy_header nobody = {.local = true};
    uint8_t v2[PROXY_HEADER_V2_MAX];
    char v1[PROXY_HEADER_V1_MAX];

    if (is_datagram(talk)) {
        return true;
    }
    switch (line_of(talk)->proxy_protocol) {
    case PROXY_V1:
        return send_all(talk, v1, proxy_header_format_v1(&nobody, v1), answer);
    case PROXY_V2:
        return send_all(talk, v2, proxy_header_format_v2(&nobody, v2, false),
                        answer);
    default:
        return true;
    }
}

/* The upstream's host with its port; without a zone, which only this machine
 * knows. */
static const char *default_host(const struct health_talk *talk,
                                char text[ADDR_HOST_MAX + 8])
{
    const struct endpoint *endpoint =
        &talk->service->upstreams[talk->place]->endpoint;
    const char *host = service_host(talk->service, talk->place);
    char ip[ADDR_TEXT_MAX];
    struct addr addr;

    if (endpoint->u.any.sa_family == AF_UNIX) {
        return "localhost";
    }
    addr_from_sockaddr(&addr, &endpoint->u.any);
    if (addr.port == 0) { /* the upstream has no port of its own */
        addr.port = (uint16_t)config_of(talk)->health_port;
    }
    if (host != NULL) {
        snprintf(text, ADDR_HOST_MAX + 8, "%s:%u", host, addr.port);
    } else {
        snprintf(text, ADDR_HOST_MAX + 8, "%s", addr_format(&addr, ip));
    }
    return text;
}

static bool send_request(struct health_talk *talk, enum talk *answer)
{
    const struct config_service *config = config_of(talk);
    char host[ADDR_HOST_MAX + 8];
    char request[REQUEST_BYTES_MAX];
    int bytes =
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: evproxy\r\n"
                 "Accept: */*\r\nConnection: close\r\n\r\n",
                 config->health_path,
                 config->health_host != NULL ? config->health_host
                                             : default_host(talk, host));

    return send_all(talk, request, (size_t)bytes, answer);
}

static bool ask(struct health_talk *talk, enum talk *answer)
{
    const struct config_bytes *question;

    if (talk->kind == HEALTH_HTTP) {
        return send_request(talk, answer);
    }
    question = &config_of(talk)->health_exchanges[talk->exchange].send;
    return question->bytes == NULL ||
           send_all(talk, question->bytes, question->count, answer);
}

/* ---- what comes ---- */

/* TALK_WAITS: it is not decided yet. */
static enum talk take_status(struct health_talk *talk, const uint8_t *bytes,
                             size_t count)
{
    while (count > 0) {
        int taken = http_status_read(&talk->status, bytes, count);
        unsigned status = talk->status.status;

        if (taken <= 0) {
            return taken == 0 ? TALK_WAITS : fail(talk, CHECK_BAD_ANSWER, 0);
        }
        if (health_value_has_status(&config_of(talk)->health_status, status)) {
            return TALK_PASSED;
        }
        /* The answer follows an interim one, but not an upgrade. */
        if (status >= 200 || status == 101) {
            return fail(talk, check_cause_of_status(status), 0);
        }
        bytes += taken;
        count -= (size_t)taken;
    }
    return TALK_WAITS;
}

/* Begins to wait for the answer of the present pair. */
static bool expect(struct health_talk *talk)
{
    const struct config_bytes *text =
        &config_of(talk)->health_exchanges[talk->exchange].expect;

    free(talk->expectation);
    talk->expectation = expectation_create(text->bytes, text->count);
    return talk->expectation != NULL;
}

static enum talk take_answer(struct health_talk *talk, const uint8_t *bytes,
                             size_t count)
{
    const struct config_service *config = config_of(talk);

    while (count > 0) {
        int taken = expectation_read(talk->expectation, bytes, count);

        if (taken <= 0) {
            return taken == 0 ? TALK_WAITS : fail(talk, CHECK_NO_MATCH, 0);
        }
        if (++talk->exchange == config->health_exchange_count) {
            return TALK_PASSED;
        }
        if (!expect(talk)) {
            return TALK_SHORTAGE;
        }
        if (config->health_exchanges[talk->exchange].send.bytes != NULL) {
            talk->phase = TALK_ASK; /* what is left belongs to no answer */
            return TALK_WAITS;
        }
        bytes += taken;
        count -= (size_t)taken;
    }
    return TALK_WAITS;
}

static enum talk ended(struct health_talk *talk)
{
    return fail(talk, talk->kind == HEALTH_HTTP ? CHECK_CLOSED : CHECK_NO_MATCH,
                0);
}

/* Part of an answer has come. The other end may hold the rest back until that
 * part is acknowledged (Nagle's algorithm). */
static void acknowledge(const struct health_talk *talk)
{
    bool part = talk->status.seen > 0 ||
                (talk->expectation != NULL && talk->expectation->seen > 0);

    if (part && !is_datagram(talk)) {
        sock_set_int(talk->sock.fd, IPPROTO_TCP, TCP_QUICKACK, 1);
    }
}

/* Reads as long as there is something and the phase stays. */
static enum talk listen_on(struct health_talk *talk)
{
    uint8_t bytes[READ_BYTES];
    enum talk answer = TALK_WAITS;

    while (answer == TALK_WAITS && talk->phase == TALK_LISTEN) {
        size_t count = 0;
        enum io io = IO_AGAIN;

        /* Of datagrams more may be queued behind one that was short. */
        if (is_datagram(talk) || (talk->sock.ready & SOCK_READABLE)) {
            io = sock_recv(&talk->sock, bytes, sizeof(bytes), &count);
        }
        if (io == IO_EOF && is_datagram(talk)) {
            continue; /* an empty one */
        }
        if (io == IO_EOF) {
            return ended(talk);
        }
        if (io == IO_AGAIN) {
            acknowledge(talk);
        }
        if (io != IO_OK) {
            return stopped(talk, io);
        }
        answer = talk->kind == HEALTH_HTTP ? take_status(talk, bytes, count)
                                           : take_answer(talk, bytes, count);
    }
    return answer;
}

/* ---- its course ---- */

/* The connection stands, and TLS on it. */
static enum talk secured(struct health_talk *talk)
{
    if (talk->kind == HEALTH_TCP || talk->kind == HEALTH_OFF) {
        return TALK_PASSED;
    }
    if (talk->kind == HEALTH_EXPECT && !expect(talk)) {
        return TALK_SHORTAGE;
    }
    talk->phase = TALK_ASK;
    return health_talk_continue(talk);
}

static enum talk start_tls(struct health_talk *talk)
{
    const struct sock nobody = {.fd = -1};
    char text[ADDR_TEXT_MAX];
    const struct sock_peer peer = {
        .name = service_upstream_name(talk->service, talk->place, text),
        .place = talk->place,
        .other = &nobody,
    };

    if (sock_start_tls(&talk->sock, talk->service->tls_check, &peer) < 0) {
        return TALK_SHORTAGE;
    }
    talk->phase = TALK_TLS;
    return TALK_HANDSHAKE;
}

static enum talk connected(struct health_talk *talk)
{
    enum talk answer = TALK_WAITS;

    talk->phase = TALK_HEADER;
    if (!send_header(talk, &answer)) {
        return answer;
    }
    /* Whether clients could connect is all that a plain connect asks. */
    return talk->service->tls_check != NULL && talk->kind != HEALTH_OFF
               ? start_tls(talk)
               : secured(talk);
}

static enum talk continue_connect(struct health_talk *talk)
{
    int error = 0;

    if (talk->sock.ready & (SOCK_HANGUP | SOCK_ERROR)) {
        error = sock_error(&talk->sock);
    }
    if (error != 0) {
        return fail_connect(talk, error);
    }
    return talk->sock.ready & SOCK_WRITABLE ? connected(talk) : TALK_WAITS;
}

enum talk health_talk_continue(struct health_talk *talk)
{
    enum talk answer = TALK_WAITS;

    switch ((enum talk_phase)talk->phase) {
    case TALK_CONNECT:
        return continue_connect(talk);
    case TALK_HEADER:
        return connected(talk);
    case TALK_TLS:
        return TALK_HANDSHAKE;
    case TALK_ASK:
    case TALK_LISTEN:
        break;
    }
    while (answer == TALK_WAITS) {
        if (talk->phase == TALK_ASK) {
            if (!ask(talk, &answer)) {
                return answer;
            }
            talk->phase = TALK_LISTEN;
        }
        answer = listen_on(talk);
        if (talk->phase == TALK_LISTEN) {
            return answer;
        }
    }
    return answer;
}

enum talk health_talk_step(struct health_talk *talk)
{
    enum io io = sock_handshake(&talk->sock);

    if (io == IO_OK) {
        return secured(talk);
    }
    if (io == IO_AGAIN || io == IO_BUSY) {
        return stopped(talk, io);
    }
    talk->reason = sock_tls_error();
    return fail(talk, CHECK_TLS, 0);
}

/* The endpoint of the upstream, with the port of checks. */
static struct endpoint endpoint_of(const struct health_talk *talk)
{
    const struct config_service *config = config_of(talk);
    struct endpoint endpoint = talk->service->upstreams[talk->place]->endpoint;

    if (config->health_port != 0 && talk->kind != HEALTH_OFF &&
        endpoint.u.any.sa_family != AF_UNIX) {
        endpoint_set_port(&endpoint, (uint16_t)config->health_port);
    }
    return endpoint;
}

/* Whether this end writes as soon as the connection stands. Of TLS the first
 * step may have to wait for its turn. */
static bool writes_first(const struct health_talk *talk)
{
    const struct config_service *config = config_of(talk);

    if (talk->kind == HEALTH_OFF || talk->kind == HEALTH_TCP ||
        talk->service->tls_check != NULL) {
        return false;
    }
    return talk->kind == HEALTH_HTTP ||
           config->health_exchanges[0].send.bytes != NULL;
}

static enum connect_result begin_connect(struct health_talk *talk,
                                         const struct endpoint *endpoint,
                                         const struct addr *source)
{
    if (is_datagram(talk)) {
        return connect_datagram(&talk->sock, endpoint, source);
    }
    return writes_first(talk) ? connect_to_ask(&talk->sock, endpoint, source)
                              : connect_stream(&talk->sock, endpoint, source);
}

enum talk health_talk_begin(struct health_talk *talk,
                            const struct service *service, uint32_t place,
                            enum config_health kind)
{
    struct endpoint endpoint;
    struct addr address;
    const struct addr *source;

    *talk = (struct health_talk){
        .service = service, .place = place, .kind = (uint8_t)kind};
    endpoint = endpoint_of(talk);
    source =
        config_source(service->config, endpoint.u.any.sa_family, 0, &address)
            ? &address
            : NULL;
    switch (begin_connect(talk, &endpoint, source)) {
    case CONNECT_PENDING:
        return TALK_WAITS;
    case CONNECT_DONE:
        return connected(talk);
    case CONNECT_BUSY: /* a unix socket whose backlog is full */
        return fail(talk, CHECK_TIMEOUT, 0);
    default:
        return fail_connect(talk, errno);
    }
}

void health_talk_expire(struct health_talk *talk)
{
    bool answered = talk->expectation != NULL && talk->expectation->seen > 0;

    (void)fail(talk, answered ? CHECK_NO_MATCH : CHECK_TIMEOUT, 0);
}

bool health_talk_linger(struct health_talk *talk)
{
    uint8_t bytes[READ_BYTES];

    while (talk->sock.ready & SOCK_READABLE) {
        size_t count = 0;
        enum io io;

        if (talk->sock.ready & SOCK_ENDED) {
            return false;
        }
        io = sock_recv(&talk->sock, bytes, sizeof(bytes), &count);

        talk->read += (uint32_t)count;
        if (io == IO_AGAIN) {
            return true;
        }
        if (io != IO_OK || talk->read > LINGER_BYTES_MAX) {
            return false;
        }
    }
    return true;
}

void health_talk_end(struct health_talk *talk)
{
    free(talk->expectation);
    talk->expectation = NULL;
    sock_close(&talk->sock);
}
