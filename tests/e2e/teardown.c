#include "teardown.h"

#include "proxy.h"
#include "server.h"
#include "socket.h"
#include "stream.h"
#include "udp_fixture.h"

int teardown(void **state)
{
    (void)state;
    proxy_discard_all();
    socket_shutdown_all(); /* wakes the streams' threads */
    stream_join_all();
    udp_echo_stop();
    server_stop_all();
    socket_close_all();
    return 0;
}
