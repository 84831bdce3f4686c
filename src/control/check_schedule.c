#include "control/check_schedule.h"

#include "base/hash.h"

#include <sys/param.h>

#define SPREAD      20  /* the interval differs by up to this part of it */
#define SLOTS       125 /* in an interval, or more */
#define SLOT_MAX_NS (8 * NS_PER_MS)

uint64_t check_first_ns(uint64_t now_ns, uint64_t interval_ns, uint64_t *random)
{
    return now_ns + hash_random(random) % interval_ns;
}

uint64_t check_next_ns(uint64_t begun_ns, uint64_t interval_ns,
                       uint64_t *random)
{
    uint64_t spread = interval_ns / SPREAD;

    return begun_ns + interval_ns - spread +
           hash_random(random) % (2 * spread + 1);
}

uint64_t check_slot_ns(uint64_t due_ns, uint64_t interval_ns)
{
    uint64_t slot_ns = MIN(interval_ns / SLOTS, SLOT_MAX_NS);

    return slot_ns == 0 ? due_ns : (due_ns + slot_ns / 2) / slot_ns * slot_ns;
}

uint64_t check_latest_ns(uint64_t begun_ns, uint64_t interval_ns)
{
    return begun_ns + interval_ns + interval_ns / SPREAD;
}

enum check_turn check_count(uint32_t *streak, bool down, bool passed,
                            uint32_t rise, uint32_t fall)
{
    if (passed != down) {
        *streak = 0;
        return CHECK_STAYS;
    }
    if (++*streak < (passed ? rise : fall)) {
        return CHECK_STAYS;
    }
    *streak = 0;
    return passed ? CHECK_COMES_UP : CHECK_GOES_DOWN;
}
