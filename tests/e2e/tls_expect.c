#include "tls_expect.h"

#include "socket.h"
#include "test.h"
#include "tls_socket.h"
#include "transport.h"
#include "wait.h"

#include <errno.h>
#include <string.h>

static bool is_refused(int fd, const struct tls_options *options)
{
    char byte;

    return tls_socket_handshake(fd, options, false) != 0 ||
           (transport_recv_wait(fd, &byte, 1) < 0 && errno != ETIMEDOUT);
}

void tls_expect_connect_refused(const struct loopback *address,
                                const struct tls_options *options,
                                const char *reason)
{
    int fd = socket_connect(address);

    assert_true(is_refused(fd, options));
    if (reason != NULL && strstr(tls_socket_error(), reason) == NULL) {
        fail_msg("'%s' expected, got '%s'", reason, tls_socket_error());
    }
    socket_close(fd);
}

void tls_expect_fin(int fd)
{
    char byte;
    ssize_t count;

    wait_until((count = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    assert_int_equal(count, 0);
}
