#include "proxy/handshake.h"

#include "base/log.h"

#include <errno.h>

bool handshake_may_step(struct plane *plane)
{
    return plane->handshakes++ < HANDSHAKE_STEPS_MAX;
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
                              const char *address)
{
    const char *reason = sock_tls_error();
    char name[ADDR_HOST_MAX + 16];
    int error = errno;
    uint32_t count;

    if (reason == NULL) {
        return;
    }
    count = limited_log_add(&plane->shared->tls_errors, plane->loop.now_ns);
    if (count > 0) {
        log_write(LOG_WARN, "tls error service=%s %s=%s reason=\"%s\" count=%u",
                  service->config->name, side,
                  log_quote(address, name, sizeof(name)), reason, count);
    }
    errno = error;
}
