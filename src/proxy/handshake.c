#include "proxy/handshake.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>

bool handshake_may_step(struct loop *loop)
{
    struct plane *plane = plane_of(loop);
    uint64_t now_ns = clock_now_ns();

    if (plane->handshakes == 0) {
        plane->handshakes_ns = now_ns;
    } else if (plane->handshakes == HANDSHAKE_STEPS_MAX ||
               now_ns - plane->handshakes_ns >= HANDSHAKE_TURN_NS) {
        return false;
    }
    plane->handshakes++;
    return true;
}

static enum step failed(int error, const char **reason, const char *text)
{
    errno = error;
    *reason = text;
    return STEP_FAILED;
}

/* Before our answer, without which no client goes on, each end means that it
 * has left. */
static enum step client_left(const struct sock *client, const char **reason)
{
    if (client->ready & SOCK_ERROR) {
        return failed(ECONNRESET, reason, NULL);
    }
    return failed(EPROTO, reason,
                  sock_has_bytes(client) ? "the connection ended" : NULL);
}

enum step handshake_await_hello(struct sock *client, const char **reason)
{
    unsigned char bytes[HANDSHAKE_HELLO_BYTES];
    size_t count;

    if (client->ready & (SOCK_HANGUP | SOCK_ERROR)) {
        return client_left(client, reason);
    }
    if (!(client->ready & SOCK_READABLE)) {
        return STEP_WAITS;
    }
    switch (sock_peek(client, bytes, sizeof(bytes), &count)) {
    case IO_OK:
        break;
    case IO_AGAIN:
        return STEP_WAITS;
    case IO_BUSY:
        return STEP_RETRY;
    case IO_EOF:
        return failed(EPROTO, reason, NULL);
    default:
        return failed(ECONNRESET, reason, NULL);
    }
    switch (client_hello_state(bytes, count)) {
    case CLIENT_HELLO_INCOMPLETE:
        if (count < sizeof(bytes)) {
            return STEP_WAITS;
        }
        __attribute__((fallthrough));
    case CLIENT_HELLO_TOO_LONG:
        return failed(EPROTO, reason, "the ClientHello is too long");
    default:
        return STEP_RUNNABLE;
    }
}

enum step handshake_step(struct sock *sock)
{
    switch (sock_handshake(sock)) {
    case IO_OK:
        return STEP_DONE;
    case IO_AGAIN:
        return STEP_WAITS;
    case IO_BUSY:
        return STEP_RETRY;
    default:
        return STEP_FAILED;
    }
}

void handshake_report_failure(struct plane *plane,
                              const struct service *service, const char *side,
                              const char *address, const char *reason)
{
    uint32_t count =
        limited_log_add(&plane->shared->tls_errors, plane->loop.now_ns);
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char quoted[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)], text[256];
    int error = errno;

    if (count > 0) {
        log_write(LOG_WARN, "tls error service=%s %s=%s reason=\"%s\" count=%u",
                  log_quote(service->config->name, name, sizeof(name)), side,
                  log_quote(address, quoted, sizeof(quoted)),
                  log_escape(reason, text, sizeof(text)), count);
    }
    errno = error;
}
