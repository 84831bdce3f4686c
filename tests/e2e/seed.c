#include "seed.h"

#include "test.h"
#include "wait.h"

#include <stdlib.h>
#include <unistd.h>

struct seeded seed_new(void)
{
    const char *given = getenv("EVPROXY_TEST_SEED");
    uint64_t anywhere = (uint64_t)wait_now_ms() ^ (uint64_t)getpid() << 32;
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : anywhere;

    print_message("EVPROXY_TEST_SEED=%" PRIu64 "\n", seed);
    return seeded_start(seed);
}
