#include "proxy/socket_options.h"

struct sock_options socket_options_of(const struct config_service *config)
{
    return (struct sock_options){
        /* Not rounded down to 0, which would be the kernel's two hours. */
        .keepalive_s =
            (uint32_t)((config->tcp_keepalive_ns + NS_PER_S - 1) / NS_PER_S),
        .user_timeout_ms = (uint32_t)(config->tcp_user_timeout_ns / NS_PER_MS),
        .notsent_lowat_bytes = (uint32_t)config->tcp_notsent_lowat,
        .backlog = config->backlog,
        .fastopen = config->tcp_fastopen,
    };
}

bool socket_options_equal(const struct sock_options *a,
                          const struct sock_options *b)
{
    return a->keepalive_s == b->keepalive_s &&
           a->user_timeout_ms == b->user_timeout_ms &&
           a->notsent_lowat_bytes == b->notsent_lowat_bytes &&
           a->backlog == b->backlog && a->fastopen == b->fastopen;
}
