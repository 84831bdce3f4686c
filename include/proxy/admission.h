/*
 * admission: whether a new connection is let in. Everything that counts or
 * limits new connections, each function with the one that undoes it. Any plane;
 * all planes share the counts.
 */
#ifndef EVPROXY_PROXY_ADMISSION_H
#define EVPROXY_PROXY_ADMISSION_H

#include "proxy/plane.h"

#include <stdatomic.h>
#include <stdbool.h>

/* Counts one more connection of the process, unless it is full. */
bool admission_enter_process(struct plane *plane) WARN_UNUSED;
void admission_leave_process(struct plane *plane);

/*
 * UDP sessions of all services that the process may have now: at most half of
 * its connections, unless no service is TCP, and no more than TCP leaves. Above
 * it the longest idle ones go, which is the caller's part.
 */
uint32_t admission_udp_max(const struct plane *plane);

/* Counts one more, which is a UDP session, and may be one too many until
 * another has ended. False: the process has no place for any. */
bool admission_enter_udp(struct plane *plane) WARN_UNUSED;
void admission_leave_udp(struct plane *plane);

/* A client that was let in goes on by the service of a newer generation, which
 * may count sources, or tell them apart, otherwise. Its source's buckets of
 * bytes are not used any more. */
void admission_move(struct plane *plane, const struct service *before,
                    struct service *service, const struct addr *client,
                    bool *in_source);

/*
 * Access rules, accept rates and the limits of the service and the source, in
 * that order. CAUSE_NONE: it is counted in, and admission_leave_service is due;
 * *in_source says whether by its source too.
 */
enum cause admission_enter_service(struct plane *plane, struct service *service,
                                   const struct addr *client,
                                   bool *in_source) WARN_UNUSED;
static inline void admission_leave_service(struct service *service,
                                           const struct addr *client,
                                           bool in_source);

/* Counts a connection in that another process has let in, in the process, its
 * service and its source, whatever the limits are. False: no memory. */
bool admission_restore(struct plane *plane, struct service *service,
                       const struct addr *client, bool *in_source) WARN_UNUSED;

/* ---- inline ---- */

void admission_leave_source(struct service *service, const struct addr *client);

static inline void admission_leave_service(struct service *service,
                                           const struct addr *client,
                                           bool in_source)
{
    atomic_fetch_sub_explicit(&service->state->active, 1, memory_order_relaxed);
    if (in_source) {
        admission_leave_source(service, client);
    }
}

#endif
