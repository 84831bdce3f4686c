/*
 * check_cause: why a check of an upstream failed, in one word that an atomic
 * can hold. Pure; any thread.
 */
#ifndef EVPROXY_SERVICE_CHECK_CAUSE_H
#define EVPROXY_SERVICE_CHECK_CAUSE_H

#include "base/base.h"
#include "service/stats.h"

#include <stdint.h>

enum check_cause {
    CHECK_PASSED, /* or there was no check */
    CHECK_REFUSED,
    CHECK_TIMEOUT,
    CHECK_RESET,      /* the connection was reset before the answer */
    CHECK_CLOSED,     /* it was closed before the answer */
    CHECK_TLS,        /* the handshake failed */
    CHECK_BAD_ANSWER, /* of http: no HTTP */
    CHECK_STATUS,     /* of http: a status that is not in health_status */
    CHECK_NO_MATCH,   /* of expect: the answer lacks the text */
    CHECK_CAUSES
};

/* CHECK_STATUS with its status, 0 to 999; others are used as they are. */
static inline uint32_t check_cause_of_status(unsigned status)
{
    return CHECK_STATUS | (uint32_t)status << 8;
}

/* What is held against an upstream that fail_threshold takes out. */
uint32_t check_cause_of_connect(enum cause cause);

#define CHECK_CAUSE_MAX 16

/* "connect_refused", "timeout", "status=503", "no match"; "" for a check that
 * has passed. Returns the text, or a literal. */
const char *check_cause_format(uint32_t cause, char text[CHECK_CAUSE_MAX]);

#endif
