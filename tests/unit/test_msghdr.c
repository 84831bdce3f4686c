/* What control messages tell of where a datagram was sent to. */
#include "net/msghdr.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The header that a datagram was received with. */
struct received {
    struct msghdr header;
    union msghdr_control control;
};

static void add(struct received *received, int level, int type,
                const void *data, size_t size)
{
    struct cmsghdr *part =
        (void *)(received->control.room + received->header.msg_controllen);

    assert_true(received->header.msg_controllen + CMSG_SPACE(size) <=
                sizeof(received->control));
    memset(part, 0, CMSG_SPACE(size));
    *part = (struct cmsghdr){
        .cmsg_level = level, .cmsg_type = type, .cmsg_len = CMSG_LEN(size)};
    memcpy(CMSG_DATA(part), data, size);
    received->header.msg_control = &received->control;
    received->header.msg_controllen += CMSG_SPACE(size);
}

static void add_in6(struct received *received, const char *ip)
{
    struct in6_pktinfo in6 = {.ipi6_ifindex = 1};

    assert_int_equal(inet_pton(AF_INET6, ip, &in6.ipi6_addr), 1);
    add(received, IPPROTO_IPV6, IPV6_PKTINFO, &in6, sizeof(in6));
}

static void add_in(struct received *received, const char *header,
                   const char *answers)
{
    struct in_pktinfo in = {
        .ipi_ifindex = 1,
        .ipi_addr.s_addr = inet_addr(header),
        .ipi_spec_dst.s_addr = inet_addr(answers),
    };

    add(received, IPPROTO_IP, IP_PKTINFO, &in, sizeof(in));
}

static void check(struct received *received, const char *local, bool group,
                  uint32_t segment)
{
    struct msghdr_info info = msghdr_read_control(&received->header);
    char text[ADDR_TEXT_MAX];

    assert_string_equal(addr_format_ip(&info.local, text), local);
    assert_int_equal(info.group, group);
    assert_int_equal(info.segment, segment);
}

static void a_unicast_address_is_ours(void **state)
{
    struct received four = {0}, six = {0}, both = {0}, none = {0};
    const int segment = 700;

    (void)state;
    add_in(&four, "192.0.2.1", "192.0.2.1");
    check(&four, "192.0.2.1", false, 0);
    add_in6(&six, "2001:db8::1");
    check(&six, "2001:db8::1", false, 0);
    add_in6(&both, "::ffff:192.0.2.1");
    add_in(&both, "192.0.2.1", "192.0.2.1");
    add(&both, IPPROTO_UDP, UDP_GRO, &segment, sizeof(segment));
    check(&both, "192.0.2.1", false, 700);
    check(&none, "", false, 0);
}

static void a_group_is_answered_from_a_unicast_address(void **state)
{
    struct received four = {0}, dual = {0}, six = {0}, unknown = {0};

    (void)state;
    add_in(&four, "192.0.2.255", "192.0.2.1");
    check(&four, "192.0.2.1", true, 0);
    add_in6(&dual, "::ffff:224.0.0.1");
    add_in(&dual, "224.0.0.1", "192.0.2.1");
    check(&dual, "192.0.2.1", true, 0);
    add_in6(&six, "ff02::1");
    check(&six, "", true, 0);
    add_in(&unknown, "192.0.2.1", "0.0.0.0");
    check(&unknown, "0.0.0.0", false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_unicast_address_is_ours),
        cmocka_unit_test(a_group_is_answered_from_a_unicast_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
