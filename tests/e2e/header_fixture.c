#include "header_fixture.h"

#include "expect.h"
#include "socket.h"

#include <stdio.h>

void header_fixture_open(struct fixture *fixture, const char *service)
{
    char lines[1024];

    snprintf(lines, sizeof(lines), HEADER_TRUSTED "%s", service);
    fixture_open(fixture, "access_log = yes", lines);
}

struct pair header_pair_connect(const struct fixture *fixture,
                                const struct header *header)
{
    struct pair pair;

    pair.client = socket_connect(&fixture->front);
    header_send(pair.client, header);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

void header_expect_reset(const struct fixture *fixture,
                         const struct header *header)
{
    int fd = socket_connect(&fixture->front);

    header_send(fd, header);
    expect_reset(fd);
    socket_close(fd);
}
