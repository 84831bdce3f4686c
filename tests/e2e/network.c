#include "network.h"

#include "test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool network_enter(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) < 0) {
        return false;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
    close(fd);
    return true;
}

void network_add_address(const char *ip)
{
    struct ifreq alias = {.ifr_name = "lo:1"};
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, ip, &address.sin_addr), 1);
    memcpy(&alias.ifr_addr, &address, sizeof(address));
    assert_int_equal(ioctl(fd, SIOCSIFADDR, &alias), 0);
    close(fd);
}

void network_narrow_ports(const char *range)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "w");

    assert_non_null(file);
    fputs(range, file);
    assert_int_equal(fclose(file), 0);
}
