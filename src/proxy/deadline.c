#include "proxy/deadline.h"

#include "base/hash.h"

void deadline_consider_lifetime(struct deadline *earliest,
                                const struct config_service *config,
                                uint64_t born_ns, uint32_t instance)
{
    uint64_t most_ns = config->max_lifetime_ns;
    unsigned __int128 tenth = most_ns / 10;

    if (most_ns == 0) {
        return;
    }
    deadline_consider(
        earliest, born_ns,
        most_ns - (uint64_t)(tenth * hash_mix(born_ns + instance) >> 64),
        CAUSE_MAX_LIFETIME);
}
