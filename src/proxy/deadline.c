#include "proxy/deadline.h"

#include "base/hash.h"

void deadline_consider_lifetime(struct deadline *earliest,
                                const struct config_service *config,
                                uint64_t born_ns, uint32_t instance)
{
    uint64_t most_ns = config->max_lifetime_ns;
    uint64_t spread;

    if (most_ns == 0) {
        return;
    }
    spread = hash_mix(born_ns + instance) >> 32;
    deadline_consider(earliest, born_ns,
                      most_ns - (most_ns / 10) * spread / UINT32_MAX,
                      CAUSE_MAX_LIFETIME);
}
