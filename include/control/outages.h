/*
 * outages: tells the log when all upstreams of a service are down, for whatever
 * reason, and when one is back:
 *
 *      service service=web state=down upstreams=2
 *      service service=web state=up
 *
 * Control thread. Upstreams go down and up in other rooms, which call this one
 * afterwards.
 */
#ifndef EVPROXY_CONTROL_OUTAGES_H
#define EVPROXY_CONTROL_OUTAGES_H

#include "control/names.h"
#include "service/generation.h"

/* An upstream of the service may have changed its state. It costs little while
 * the upstream that was seen up last is still up. */
void outages_check(const struct service *service);

/* The same for all services of the current generation; but one is not called
 * down while the first answer for a name of it is still to come. */
void outages_check_all(const struct generation *generation,
                       const struct names *names);

#endif
