/*
 * Any bytes as a PROXY header: what is answered for all of them, for fewer and
 * for those of the header alone agrees, and what was read can be written.
 */
#include "wire/proxy_header.h"
#include "wire/proxy_tlv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_addr(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static bool same(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->local == b->local && same_addr(&a->source, &b->source) &&
           same_addr(&a->destination, &b->destination);
}

static void check_prefix(const uint8_t *data, size_t count, int whole)
{
    struct proxy_header header;
    int answer = proxy_header_parse(data, count, &header);

    assert(answer == 0 || answer == whole);
    assert(whole <= 0 || (answer == 0) == (count < (size_t)whole));
}

/* Without two IP addresses only their absence can be told. */
static void check_written(const struct proxy_header *header)
{
    static const struct proxy_header local = {.local = true};
    const struct proxy_header *wanted =
        header->source.family == AF_UNIX ? &local : header;
    char line[PROXY_HEADER_V1_MAX];
    uint8_t block[PROXY_HEADER_V2_MAX];
    struct proxy_header back;
    size_t count = proxy_header_format_v1(header, line);

    assert(count < sizeof(line) && line[count] == '\0');
    assert(proxy_header_parse((const uint8_t *)line, count, &back) ==
           (int)count);
    assert(same(&back, wanted));
    count = proxy_header_format_v2(header, block, count % 2 == 0);
    assert(proxy_header_parse(block, count, &back) == (int)count);
    assert(same(&back, wanted));
}

/* What is passed on of its TLVs is read again, and passed on whole. */
static void check_passed_on(const uint8_t *data, size_t count,
                            const struct proxy_header *header)
{
    size_t at = proxy_header_tlvs(data, count);
    uint8_t *tlvs = malloc(count - at + 1);
    uint8_t *made = malloc(count + PROXY_HEADER_V2_MAX + PROXY_TLV_CRC_BYTES);
    struct proxy_header back;
    size_t passed, length;

    assert(at <= count && tlvs != NULL && made != NULL);
    passed = proxy_tlv_pass(data + at, count - at, tlvs);
    assert(passed <= count - at);
    length = proxy_header_format_v2(header, made, false);
    length = proxy_tlv_append(made, length, tlvs, passed);
    if (length > 0 && addr_is_ip(&header->source)) {
        assert(proxy_header_parse(made, length, &back) == (int)length);
        assert(same(&back, header));
        at = proxy_header_tlvs(made, length);
        assert(length - at == passed + PROXY_TLV_CRC_BYTES);
        assert(proxy_tlv_pass(made + at, length - at, made + at) == passed);
        assert(memcmp(made + at, tlvs, passed) == 0);
        assert(proxy_tlv_without_tls(tlvs, passed, tlvs) <= passed);
    }
    free(tlvs);
    free(made);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_header header;
    struct proxy_header alone;
    int answer = proxy_header_parse(data, size, &header);

    assert(answer >= -1 && answer <= (int)size);
    assert(answer <= PROXY_HEADER_MAX);
    check_prefix(data, size / 2, answer);
    check_prefix(data, size - (size > 0), answer);
    if (answer > 0) {
        check_prefix(data, (size_t)answer - 1, answer);
        assert(proxy_header_parse(data, (size_t)answer, &alone) == answer);
        assert(same(&alone, &header));
        check_written(&header);
        check_passed_on(data, (size_t)answer, &header);
    }
    return 0;
}
