#include "udp.h"

#include "socket.h"
#include "test.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

int udp_bind(const struct loopback *address)
{
    int fd = loopback_bind(address, SOCK_DGRAM);

    if (fd < 0) {
        fail_msg("cannot bind %s: %s", address->text, strerror(errno));
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return socket_adopt(fd);
}

int udp_connect(const char *source, const struct loopback *address)
{
    struct socket_address to = loopback_resolve(address);
    int fd = socket(to.storage.ss_family,
                    SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    if (source != NULL) {
        loopback_bind_source(fd, source);
    }
    assert_int_equal(connect(fd, (struct sockaddr *)&to.storage, to.length), 0);
    return socket_adopt(fd);
}

void udp_send(int fd, const void *bytes, size_t count)
{
    assert_int_equal(send(fd, bytes, count, 0), (ssize_t)count);
}

void udp_expect_from(int fd, const void *bytes, size_t count,
                     struct socket_address *sender)
{
    static char got[UDP_PAYLOAD_MAX + 1];
    ssize_t size;

    sender->length = sizeof(sender->storage);
    wait_until(wait_readable(fd, 100));
    size = recvfrom(fd, got, sizeof(got), 0,
                    (struct sockaddr *)&sender->storage, &sender->length);
    assert_int_equal(size, (ssize_t)count);
    assert_memory_equal(got, bytes, count);
}

void udp_expect(int fd, const void *bytes, size_t count)
{
    struct socket_address sender;

    udp_expect_from(fd, bytes, count, &sender);
}

void udp_reply(int fd, const struct socket_address *sender, const void *bytes,
               size_t count)
{
    ssize_t sent =
        sendto(fd, bytes, count, 0, (const struct sockaddr *)&sender->storage,
               sender->length);

    assert_int_equal(sent, (ssize_t)count);
}

void udp_fill(char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bytes[i] = (char)(i * 7 + i / 256);
    }
}

void udp_send_batch(int fd, const struct socket_address *sender,
                    const char *bytes)
{
    const int each = UDP_BATCH_EACH;

    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &each, sizeof(each)) != 0) {
        skip_because("the kernel has no UDP GSO");
    }
    if (sender != NULL) {
        udp_reply(fd, sender, bytes, UDP_BATCH_BYTES);
    } else {
        udp_send(fd, bytes, UDP_BATCH_BYTES);
    }
}

void udp_expect_batch(int fd, const char *bytes)
{
    for (unsigned i = 0; i < UDP_BATCH_COUNT; i++) {
        udp_expect(fd, bytes + i * UDP_BATCH_EACH, UDP_BATCH_EACH);
    }
    udp_expect(fd, bytes + UDP_BATCH_COUNT * UDP_BATCH_EACH, 1);
}
