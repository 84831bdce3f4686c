#include "net/receive_buffer.h"

#include <limits.h>
#include <linux/tcp.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/param.h>
#include <sys/socket.h>
#include <unistd.h>

/* The C library of older systems lacks it. */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* The lock of the receive buffer: SOCK_RCVBUF_LOCK of linux/socket.h. */
#define RECEIVE_LOCK 2

/* More bytes than that say that more is on the way than a small buffer takes.
 * What it drops is sent again after a round trip, or after a timeout. */
#define QUEUED_MOST (24 * 1024)

/* The widest window that TCP has (RFC 7323). SO_RCVBUF leaves the bound of the
 * window where autotuning last had it. */
#define WINDOW_MOST (1 << 30)

/* 0: not known. */
static int get(int fd, int name)
{
    int value = 0;
    socklen_t length = sizeof(value);

    return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : 0;
}

/* All zero if it is not known. */
static struct tcp_info get_tcp_info(int fd)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof(info);

    (void)getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info;
}

/* The size that a socket has when it asks for the most. */
static int probe_widest(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int bytes;

    if (fd < 0) {
        return 0;
    }
    sock_set_int(fd, SOL_SOCKET, SO_RCVBUF, INT_MAX / 2);
    bytes = get(fd, SO_RCVBUF);
    close(fd);
    return bytes;
}

/* The widest buffer that can be set; -1: a lock cannot be taken off again. 0:
 * not known now. All sockets of a machine answer the same. */
static int widest(int fd)
{
    static atomic_int answer;
    int bytes = atomic_load_explicit(&answer, memory_order_relaxed);
    int locks;
    socklen_t length = sizeof(locks);

    if (bytes == 0) {
        bytes = getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &length) == 0
                    ? probe_widest()
                    : -1;
        atomic_store_explicit(&answer, bytes, memory_order_relaxed);
    }
    return bytes;
}

/* Whether its buffer, of that size, can be made wider later. */
static bool can_lock(const struct sock *sock, int bytes)
{
    return !(sock->options & SOCK_OPTION_UNIX) && bytes <= widest(sock->fd) / 2;
}

static void lock_size(const struct sock *sock, int bytes)
{
    sock_set_int(sock->fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

static bool is_long(uint32_t round_trip_us)
{
    return round_trip_us >= RECEIVE_BUFFER_FAR_US &&
           round_trip_us != UINT32_MAX; /* not known */
}

/* On a busy machine a single round trip, that of the handshake, can take long
 * from a near source. The one that was seen in receiving is never too short. */
static bool is_far(const struct sock *source)
{
    struct tcp_info info = get_tcp_info(source->fd);

    return is_long(info.tcpi_min_rtt) &&
           (info.tcpi_rcv_rtt == 0 || is_long(info.tcpi_rcv_rtt));
}

enum receive_buffer receive_buffer_shrink(const struct sock *source)
{
    int queued = 0;

    if (!can_lock(source, get(source->fd, SO_RCVBUF))) {
        return RECEIVE_BUFFER_FREE;
    }
    if (is_far(source)) {
        return RECEIVE_BUFFER_FAR;
    }
    if (ioctl(source->fd, FIONREAD, &queued) == 0 && queued > QUEUED_MOST) {
        sock_set_int(source->fd, SOL_SOCKET, SO_BUF_LOCK, RECEIVE_LOCK);
        return RECEIVE_BUFFER_HELD;
    }
    lock_size(source, RECEIVE_BUFFER_SMALL);
    return RECEIVE_BUFFER_SMALL_NOW;
}

void receive_buffer_hold(const struct sock *source)
{
    if (can_lock(source, get(source->fd, SO_RCVBUF))) {
        sock_set_int(source->fd, SOL_SOCKET, SO_BUF_LOCK, RECEIVE_LOCK);
    }
}

void receive_buffer_release(const struct sock *source)
{
    int bytes = get(source->fd, SO_RCVBUF);

    if (can_lock(source, bytes)) {
        lock_size(source, MAX(bytes, RECEIVE_BUFFER_WIDE));
        sock_set_int(source->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, WINDOW_MOST);
        sock_set_int(source->fd, SOL_SOCKET, SO_BUF_LOCK, 0);
    }
}
