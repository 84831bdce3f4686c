#include "loopback.h"

#include "file.h"
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket at a wildcard address keeps all others from its port, so these have
 * ports of their own: other programs run at the same time. */
#define PORT_FIRST     10000u
#define PORT_COUNT     20000u
#define WILDCARD_FIRST (PORT_FIRST + PORT_COUNT)
#define WILDCARD_COUNT 2700u

/* ---- as text and as socket address ---- */

static int parse_unix(struct socket_address *to, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&to->storage;

    if (strlen(path) >= sizeof(un->sun_path)) {
        return -1;
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    to->length = sizeof(*un);
    return 0;
}

static int parse_ip(struct socket_address *to, const char *host, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&to->storage;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&to->storage;

    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        to->length = sizeof(*in);
        return 0;
    }
    if (host[0] == '\0' || inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        to->length = sizeof(*in6);
        return 0;
    }
    return -1;
}

int loopback_parse(const struct loopback *address, struct socket_address *to)
{
    const char *text = address->text;
    const char *colon = strrchr(text, ':');
    bool bracketed = text[0] == '[';
    char host[sizeof(address->text)];
    size_t length;

    memset(to, 0, sizeof(*to));
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(to, text + 5);
    }
    if (colon == NULL) {
        return -1;
    }
    length = (size_t)(colon - text) - (bracketed ? 2 : 0);
    snprintf(host, sizeof(host), "%.*s", (int)length, text + bracketed);
    return parse_ip(to, host, (uint16_t)atoi(colon + 1));
}

struct socket_address loopback_resolve(const struct loopback *address)
{
    struct socket_address to;

    if (loopback_parse(address, &to) != 0) {
        fail_msg("no address: %s", address->text);
    }
    return to;
}

static struct loopback format(const struct sockaddr_storage *storage)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)storage;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)storage;
    bool is_six = storage->ss_family == AF_INET6;
    const void *bytes =
        is_six ? (const void *)&in6->sin6_addr : (const void *)&in->sin_addr;
    char host[INET6_ADDRSTRLEN];
    struct loopback address;

    assert_non_null(inet_ntop(storage->ss_family, bytes, host, sizeof(host)));
    snprintf(address.text, sizeof(address.text), is_six ? "[%s]:%u" : "%s:%u",
             host, ntohs(is_six ? in6->sin6_port : in->sin_port));
    return address;
}

struct loopback loopback_local(int fd)
{
    struct sockaddr_storage here;
    socklen_t length = sizeof(here);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &length), 0);
    return format(&here);
}

struct loopback loopback_remote(int fd)
{
    struct sockaddr_storage there;
    socklen_t length = sizeof(there);

    assert_int_equal(getpeername(fd, (struct sockaddr *)&there, &length), 0);
    return format(&there);
}

/* ---- new ones ---- */

int loopback_bind(const struct loopback *address, int type)
{
    struct socket_address at = loopback_resolve(address);
    int on = 1;
    int fd = socket(at.storage.ss_family, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at.storage, at.length) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool is_wildcard(const char *host)
{
    return host[0] == '\0' || strcmp(host, "0.0.0.0") == 0 ||
           strcmp(host, "[::]") == 0;
}

static bool is_free(const struct loopback *address, int type)
{
    int fd = loopback_bind(address, type);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

struct loopback loopback_on(const char *host)
{
    static unsigned tried;
    bool wildcard = is_wildcard(host);
    unsigned first = wildcard ? WILDCARD_FIRST : PORT_FIRST;
    unsigned count = wildcard ? WILDCARD_COUNT : PORT_COUNT;
    unsigned start = (unsigned)getpid() * 97;
    struct loopback address;

    do {
        assert_true(tried < 10 * PORT_COUNT);
        snprintf(address.text, sizeof(address.text), "%s:%u", host,
                 first + (start + tried++) % count);
    } while (!is_free(&address, SOCK_STREAM) || !is_free(&address, SOCK_DGRAM));
    return address;
}

struct loopback loopback_new(void)
{
    unsigned pid = (unsigned)getpid();
    char host[32];

    snprintf(host, sizeof(host), "127.%u.%u.%u", 64 + (pid >> 16) % 64,
             (pid >> 8) % 256, pid % 256);
    return loopback_on(host);
}

struct loopback loopback_unix(const char *name)
{
    struct loopback address;

    snprintf(address.text, sizeof(address.text), "unix:%s", file_path(name));
    return address;
}

struct loopback loopback_at(const char *host, const struct loopback *other)
{
    struct loopback address;

    snprintf(address.text, sizeof(address.text), "%s%s", host,
             strrchr(other->text, ':'));
    return address;
}

const char *loopback_source(unsigned n)
{
    static char text[32];

    assert_in_range(n, 1, 60000);
    snprintf(text, sizeof(text), "127.%u.%u.%u", 128 + getpid() % 120, n / 256,
             n % 256);
    return text;
}

void loopback_bind_source(int fd, const char *source)
{
    struct socket_address from;
    int on = 1;

    memset(&from, 0, sizeof(from));
    assert_int_equal(parse_ip(&from, source, 0), 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    assert_int_equal(bind(fd, (struct sockaddr *)&from.storage, from.length),
                     0);
}
