#include "proxy/socket_options.h"

#include <string.h>

struct sock_options socket_options_of(const struct config_service *config)
{
    return (struct sock_options){
        /* Not rounded down to 0, which would be the kernel's two hours. */
        .keepalive_s =
            (uint32_t)((config->tcp_keepalive_ns + NS_PER_S - 1) / NS_PER_S),
        .user_timeout_ms = (uint32_t)(config->tcp_user_timeout_ns / NS_PER_MS),
        .notsent_lowat_bytes = (uint32_t)config->tcp_notsent_lowat,
        .backlog = config->backlog,
        .fastopen_queue = config->tcp_fastopen ? config->backlog : 0,
    };
}

_Static_assert(sizeof(struct sock_options) == 5 * sizeof(uint32_t),
               "options are compared as bytes: no padding");

bool socket_options_equal(const struct sock_options *a,
                          const struct sock_options *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}
