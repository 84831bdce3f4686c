/*
 * tunnel: the two relays of an established session. Decides which relay an
 * event pumps and what follows for the other one, and when the upstream's
 * socket gets its options. Knows nothing of sessions: it answers how the
 * session ends. The plane's thread.
 *
 *      CAUSE_NONE                          it goes on
 *      CAUSE_CLIENT_FIN, _UPSTREAM_FIN     both streams ended; who ended first
 *      CAUSE_CLIENT_RESET, _UPSTREAM_RESET that side was reset, and everything
 *                                          it sent before is written
 *
 * A short connection is worth no system call that it does not need. So the
 * socket to the upstream gets its options only when the connection turns out to
 * last: it is TUNNEL_OPTIONS_NS old, the client has sent a second request, or
 * one visit was not enough. Until then a visit moves one block at most.
 */
#ifndef EVPROXY_PROXY_TUNNEL_H
#define EVPROXY_PROXY_TUNNEL_H

#include "proxy/deadline.h"
#include "proxy/relay.h"

#include <stdbool.h>
#include <stdint.h>

#define TUNNEL_OPTIONS_NS (250 * NS_PER_MS)
/* Looks at what a peer has taken, in the time of write_timeout. */
#define TUNNEL_LOOKS 4

/* The sides, as indices: relay[i] reads from side i and writes to the other, so
 * the directions UP and DOWN are the sides they come from. */
#define CLIENT   UP
#define UPSTREAM DOWN

/* What the functions work with; made for the visit. */
struct tunnel {
    struct plane *plane;
    struct service *service;
    struct upstream *upstream;
    struct sock *sock;         /* of both sides */
    struct relay *relay;       /* of both directions */
    struct throttle *throttle; /* of both directions; NULL: no byte rates */
    uint64_t begun_ns;         /* when it was established */
};

/* What one of the relays works with. */
static inline struct relay_context tunnel_context(const struct tunnel *tunnel,
                                                  enum direction direction)
{
    struct plane *plane = tunnel->plane;

    return (struct relay_context){
        .plane = plane,
        .service = tunnel->service,
        .from = &tunnel->sock[direction],
        .to = &tunnel->sock[direction_other(direction)],
        .memory = &plane->memory[direction],
        .blocks = plane_blocks(plane, tunnel->service, direction),
        .throttle =
            tunnel->throttle == NULL ? NULL : &tunnel->throttle[direction],
        .service_bytes =
            &plane_counters(plane, tunnel->service)->bytes[direction],
        .upstream_bytes =
            &plane_upstream_counters(plane, tunnel->upstream)->bytes[direction],
    };
}

/* The upstream has taken the connection: bytes may move. */
enum cause tunnel_begin(const struct tunnel *tunnel) WARN_UNUSED;

/* Pumps both relays, whatever they waited for: after the tunnel has moved. */
enum cause tunnel_resume(const struct tunnel *tunnel) WARN_UNUSED;

/* The socket of that side has the epoll events. */
enum cause tunnel_event(const struct tunnel *tunnel, enum direction side,
                        uint32_t events) WARN_UNUSED;

/* The relay has its turn, or may have what it waited for. */
enum cause tunnel_run(const struct tunnel *tunnel,
                      enum direction direction) WARN_UNUSED;

/* A deadline without a cause has passed. */
enum cause tunnel_timer(const struct tunnel *tunnel) WARN_UNUSED;

void tunnel_deadline(const struct tunnel *tunnel, struct deadline *earliest);

/* Gives up. True if bytes are lost by it, held or not yet read: the end must
 * not look like the end of a stream then. */
bool tunnel_drop(const struct tunnel *tunnel);

#endif
