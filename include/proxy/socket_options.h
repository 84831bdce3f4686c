/*
 * socket_options: which socket options a service's configuration asks for, on
 * both sides. The listener's are inherited by the sockets it accepts; when the
 * upstream's are set is tunnel's to decide. Pure.
 */
#ifndef EVPROXY_PROXY_SOCKET_OPTIONS_H
#define EVPROXY_PROXY_SOCKET_OPTIONS_H

#include "config/config.h"
#include "net/sock.h"

#include <stdbool.h>

struct sock_options socket_options_of(const struct config_service *config);

bool socket_options_equal(const struct sock_options *a,
                          const struct sock_options *b);

#endif
