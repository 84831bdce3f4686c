#include "proxy/deadline.h"

#include "base/hash.h"

#include <sys/param.h>

/* A single upstream that refused may be starting again: tried after this. */
#define PAUSE_NS (100 * NS_PER_MS)
/* How long a connect may still take when the client has left. */
#define ABANDONED_NS (100 * NS_PER_MS)
/* LINGER asks the kernel after a quarter of the time it has waited already. */
#define LINGER_FIRST_NS   (5 * NS_PER_MS)
#define LINGER_DEFAULT_NS (30 * NS_PER_S)

static void consider(struct deadline *earliest, uint64_t since_ns,
                     uint64_t timeout_ns, enum cause cause)
{
    if (timeout_ns != 0 && since_ns + timeout_ns < earliest->at_ns) {
        earliest->at_ns = since_ns + timeout_ns;
        earliest->cause = cause;
    }
}

uint64_t deadline_lifetime_ns(const struct config_service *config,
                              uint64_t born_ns, uint32_t instance)
{
    uint64_t most_ns = config->max_lifetime_ns;
    uint64_t spread = hash_mix(born_ns + instance) >> 32;

    return most_ns - (most_ns / 10) * spread / UINT32_MAX;
}

static uint64_t lifetime_ns(const struct session *session)
{
    return deadline_lifetime_ns(session->service->config, session->born_ns,
                                session->instance);
}

static void consider_relay(struct deadline *earliest,
                           const struct session *session,
                           enum direction direction)
{
    const struct config_service *config = session->service->config;
    const struct relay *relay = &session->relay[direction];

    switch (relay->wait) {
    case RELAY_SOURCE:
        consider(earliest, relay->moved_ns, config->read_timeout_ns,
                 CAUSE_READ_TIMEOUT);
        break;
    case RELAY_SINK:
        consider(earliest, relay->moved_ns, config->write_timeout_ns,
                 CAUSE_WRITE_TIMEOUT);
        break;
    case RELAY_TOKENS:
        consider(earliest, 0, session->throttle[direction].resume_ns,
                 CAUSE_NONE);
        break;
    default:
        break;
    }
}

static struct deadline relay_deadline(const struct session *session)
{
    const struct config_service *config = session->service->config;
    const struct relay *up = &session->relay[UP];
    const struct relay *down = &session->relay[DOWN];
    uint64_t moved_ns = MAX(up->moved_ns, down->moved_ns);
    struct deadline earliest = {UINT64_MAX, CAUSE_NONE};

    consider(&earliest, moved_ns, config->idle_timeout_ns, CAUSE_IDLE_TIMEOUT);
    consider(&earliest, session->born_ns, lifetime_ns(session),
             CAUSE_MAX_LIFETIME);
    if (up->wait == RELAY_ENDED || down->wait == RELAY_ENDED) {
        consider(&earliest, moved_ns, config->half_close_timeout_ns,
                 CAUSE_HALF_CLOSE_TIMEOUT);
    }
    if (!sock_has_options(&session->sock[UPSTREAM])) {
        consider(&earliest, session->stage_ns, SESSION_SETTLE_NS, CAUSE_NONE);
    }
    consider_relay(&earliest, session, UP);
    consider_relay(&earliest, session, DOWN);
    return earliest;
}

/* Not moved by bytes: a header in drops is no header. */
static struct deadline preface_deadline(const struct session *session)
{
    struct deadline earliest = {UINT64_MAX, CAUSE_NONE};

    consider(&earliest, session->born_ns,
             session->service->config->header_timeout_ns, CAUSE_HEADER_TIMEOUT);
    return earliest;
}

static struct deadline connect_deadline(const struct session *session)
{
    const struct config_service *config = session->service->config;
    struct deadline earliest = {UINT64_MAX, CAUSE_NONE};

    if (session->abandoned) {
        consider(&earliest, session->stage_ns, ABANDONED_NS,
                 CAUSE_CLIENT_RESET);
    } else if (session->pausing) {
        consider(&earliest, session->stage_ns, PAUSE_NS, CAUSE_NONE);
    } else {
        consider(&earliest, session->stage_ns, config->connect_timeout_ns,
                 CAUSE_CONNECT_TIMEOUT);
    }
    consider(&earliest, session->born_ns, lifetime_ns(session),
             CAUSE_MAX_LIFETIME);
    return earliest;
}

static uint64_t linger_end_ns(const struct session *session)
{
    uint64_t most_ns = session->service->config->write_timeout_ns;

    return session->stage_ns + (most_ns != 0 ? most_ns : LINGER_DEFAULT_NS);
}

bool deadline_lingered_out(const struct session *session, uint64_t now_ns)
{
    return now_ns >= linger_end_ns(session);
}

/* When to look at the kernel's queue again: at growing distances. */
static struct deadline linger_deadline(const struct session *session,
                                       uint64_t now_ns)
{
    uint64_t waited_ns = now_ns - session->stage_ns;
    uint64_t look_ns = now_ns + MAX(LINGER_FIRST_NS, waited_ns / 4);

    return (struct deadline){MIN(look_ns, linger_end_ns(session)), CAUSE_NONE};
}

struct deadline deadline_earliest(const struct session *session,
                                  uint64_t now_ns)
{
    switch (session->state) {
    case SESSION_PREFACE:
        return preface_deadline(session);
    case SESSION_CONNECT:
        return connect_deadline(session);
    case SESSION_RELAY:
        return relay_deadline(session);
    case SESSION_LINGER:
        return linger_deadline(session, now_ns);
    default:
        return (struct deadline){UINT64_MAX, CAUSE_NONE};
    }
}
