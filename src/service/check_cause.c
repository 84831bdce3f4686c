#include "service/check_cause.h"

#include <assert.h>
#include <stdio.h>

static const char *const names[] = {
    [CHECK_PASSED] = "",
    [CHECK_REFUSED] = "connect_refused",
    [CHECK_TIMEOUT] = "timeout",
    [CHECK_RESET] = "reset",
    [CHECK_CLOSED] = "closed",
    [CHECK_TLS] = "tls",
    [CHECK_BAD_ANSWER] = "bad answer",
    [CHECK_STATUS] = "status",
    [CHECK_NO_MATCH] = "no match",
};

_Static_assert(ARRAY_LEN(names) == CHECK_CAUSES, "a cause without a name");

uint32_t check_cause_of_connect(enum cause cause)
{
    switch (cause) {
    case CAUSE_CONNECT_TIMEOUT:
        return CHECK_TIMEOUT;
    case CAUSE_TLS_ERROR:
        return CHECK_TLS;
    case CAUSE_UPSTREAM_RESET:
        return CHECK_RESET;
    default:
        return CHECK_REFUSED;
    }
}

const char *check_cause_format(uint32_t cause, char text[CHECK_CAUSE_MAX])
{
    uint32_t kind = cause & 0xff;

    assert(kind < CHECK_CAUSES);
    if (kind != CHECK_STATUS) {
        return names[kind];
    }
    snprintf(text, CHECK_CAUSE_MAX, "status=%u", (unsigned)(cause >> 8) % 1000);
    return text;
}
