/*
 * Any bytes as a name server's answer, and as what follows the question in one:
 * what is read from it can be connected to, and the same again.
 */
#include "wire/dns_answer.h"

#include "base/address.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NAME "_a._tcp.b"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *bytes, size_t length)
{
    static struct srv_record records[DNS_ANSWER_RECORDS(DNS_ANSWER_MAX)];
    struct dns_answer answer = {.records = records};

    if (dns_answer_parse(bytes, length, NAME, &answer) < 0) {
        return;
    }
    assert(answer.count <= DNS_ANSWER_RECORDS(length));
    assert(answer.ttl_s <= INT32_MAX);
    for (size_t i = 0; i < answer.count; i++) {
        assert(records[i].port != 0);
        assert(memchr(records[i].target, 0, sizeof(records[i].target)));
        assert(address_is_host(records[i].target));
    }
}

/* After a good header, whose number of records comes from the data. */
static void check_records(const uint8_t *data, size_t size)
{
    static const uint8_t head[] = "\1\2\x81\x80\0\1\0\0\0\0\0\0"
                                  "\2_a\4_tcp\1b\0\0\x21\0\1";
    size_t length = sizeof(head) - 1 + size - 1;
    uint8_t *bytes = malloc(length);

    assert(bytes != NULL);
    memcpy(bytes, head, sizeof(head) - 1);
    bytes[7] = data[0];
    memcpy(bytes + sizeof(head) - 1, data + 1, size - 1);
    check(bytes, length);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > DNS_ANSWER_MAX) {
        return 0;
    }
    check(data, size);
    if (size > 0) {
        check_records(data, size);
    }
    return 0;
}
