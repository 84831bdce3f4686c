#include "proxy/upstream_header.h"

#include "proxy/preface.h"
#include "wire/proxy_tlv.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TLV_BYTES (48u * 1024)

static const struct proxy_header came = {
    .source = {.family = AF_INET, .port = 1, .ip = {1, 2, 3, 4}},
    .destination = {.family = AF_INET, .port = 2, .ip = {5, 6, 7, 8}},
};

static struct preface_bytes *make_tlvs(void)
{
    struct preface_bytes *tlvs = calloc(1, sizeof(*tlvs) + TLV_BYTES);

    assert_non_null(tlvs);
    tlvs->size = tlvs->count = TLV_BYTES;
    tlvs->bytes[0] = 0xee;
    tlvs->bytes[1] = (TLV_BYTES - 3) >> 8;
    tlvs->bytes[2] = (TLV_BYTES - 3) & 0xff;
    for (size_t i = 3; i < TLV_BYTES; i++) {
        tlvs->bytes[i] = (unsigned char)(i * 7 >> 3);
    }
    return tlvs;
}

/* What the peer has; the rest of the buffer is as it was. */
static size_t read_some(int fd, uint8_t *bytes, size_t size)
{
    ssize_t count = recv(fd, bytes, size, MSG_DONTWAIT);

    return count > 0 ? (size_t)count : 0;
}

/* The socket takes a part of it at a time. */
static void a_header_goes_on_where_the_socket_was_full(void **state)
{
    static uint8_t wanted[PROXY_HEADER_MAX + 1], got[PROXY_HEADER_MAX + 1];
    struct preface_bytes *tlvs = make_tlvs();
    const struct upstream_header what = {.version = PROXY_V2,
                                         .client_addr = &came.source,
                                         .header = &came,
                                         .tlvs = tlvs};
    enum cause cause = CAUSE_NONE;
    unsigned waits = 0;
    size_t count = 0;
    uint32_t sent = 0;
    size_t length;
    int ends[2], small = 1;

    (void)state;
    length = proxy_header_format_v2(&came, wanted, false);
    length = proxy_tlv_append(wanted, length, tlvs->bytes, tlvs->count);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends),
                     0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    struct sock sock = {.fd = ends[0], .options = SOCK_OPTION_UNIX};
    while (upstream_header_send(&what, &sock, &sent, &cause) == STEP_WAITS) {
        assert_true(++waits < length);
        count += read_some(ends[1], got + count, sizeof(got) - count);
    }
    count += read_some(ends[1], got + count, sizeof(got) - count);
    assert_true(waits > 1);
    assert_int_equal(cause, CAUSE_NONE);
    assert_int_equal(sent, length);
    assert_int_equal(count, length);
    assert_memory_equal(got, wanted, length);
    close(ends[0]);
    close(ends[1]);
    free(tlvs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_goes_on_where_the_socket_was_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
