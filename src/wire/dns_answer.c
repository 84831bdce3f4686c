#include "wire/dns_answer.h"

#include "base/address.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define HEADER_BYTES 12
#define LABEL_MAX    63

/* Aliases in a row. No sane zone has so many; a ring of them ends here. */
#define ALIASES_MAX 16

enum { TYPE_CNAME = 5, TYPE_SRV = 33, CLASS_IN = 1 };

/* Bits of the header's second word. */
enum {
    ANSWER = 0x8000,
    OPERATION = 0x7800,
    TRUNCATED = 0x0200,
    ERROR_CODE = 0x000f,
};

struct packet {
    const uint8_t *bytes;
    size_t length;
    size_t answers;  /* offset of the first record */
    unsigned counts; /* of the records, as the header says */
};

/* One record; offsets in the packet. */
struct record {
    char owner[ADDR_HOST_MAX];
    unsigned type;
    unsigned class;
    uint32_t ttl_s;
    size_t data;
    size_t end;
};

/* ---- fields ---- */

static unsigned read16(const struct packet *packet, size_t at)
{
    return (unsigned)packet->bytes[at] << 8 | packet->bytes[at + 1];
}

/* Writes a label as text, in lower case. Characters that no host name has
 * become
 * '?', so that the text equals no name that can be asked for. */
static size_t write_label(char *text, const uint8_t *label, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        bool plain = label[i] < 0x80 &&
                     (isalnum(label[i]) || label[i] == '-' || label[i] == '_');

        text[i] = plain ? (char)tolower(label[i]) : '?';
    }
    return bytes;
}

/*
 * Reads the name at *at and sets *at behind it. Each pointer leads to bytes
 * before those that led to it, so that no ring of them lasts. -1: malformed.
 */
static int read_name(const struct packet *packet, size_t *at,
                     char text[ADDR_HOST_MAX])
{
    size_t from = *at, begin = *at, used = 0;
    bool jumped = false;

    while (from < packet->length) {
        unsigned byte = packet->bytes[from++];

        if (byte == 0) {
            text[used > 0 ? used - 1 : 0] = '\0'; /* the last dot */
            *at = jumped ? *at : from;
            return 0;
        }
        if (byte <= LABEL_MAX) {
            if (byte > packet->length - from ||
                used + byte + 1 > ADDR_HOST_MAX) {
                return -1;
            }
            used += write_label(text + used, packet->bytes + from, byte);
            text[used++] = '.';
            from += byte;
            continue;
        }
        if (byte < 0xc0 || from == packet->length) {
            return -1;
        }
        *at = jumped ? *at : from + 1;
        jumped = true;
        from = (byte & 0x3f) << 8 | packet->bytes[from];
        if (from >= begin) {
            return -1;
        }
        begin = from;
    }
    return -1;
}

/* Reads the record at *at and sets *at behind it. -1: malformed. */
static int read_record(const struct packet *packet, size_t *at,
                       struct record *record)
{
    if (read_name(packet, at, record->owner) < 0 || packet->length - *at < 10) {
        return -1;
    }
    record->type = read16(packet, *at);
    record->class = read16(packet, *at + 2);
    record->ttl_s =
        (uint32_t)read16(packet, *at + 4) << 16 | read16(packet, *at + 6);
    if (record->ttl_s > INT32_MAX) {
        record->ttl_s = 0; /* RFC 2181, 8 */
    }
    record->data = *at + 10;
    record->end = record->data + read16(packet, *at + 8);
    *at = record->end;
    return record->end <= packet->length ? 0 : -1;
}

/* ---- the question ---- */

static bool same_name(const char *text, const char *name)
{
    size_t length = strlen(name);

    length -= length > 0 && name[length - 1] == '.';
    return strlen(text) == length && strncasecmp(text, name, length) == 0;
}

/* Whether the packet is a whole, good answer to the question for the name. */
static bool read_head(struct packet *packet, const char *name)
{
    size_t at = HEADER_BYTES;
    char text[ADDR_HOST_MAX];

    if (packet->length < HEADER_BYTES ||
        (read16(packet, 2) & (ANSWER | OPERATION | TRUNCATED | ERROR_CODE)) !=
            ANSWER ||
        read16(packet, 4) != 1 || read_name(packet, &at, text) < 0 ||
        packet->length - at < 4 || read16(packet, at) != TYPE_SRV ||
        read16(packet, at + 2) != CLASS_IN || !same_name(text, name)) {
        return false;
    }
    packet->counts = read16(packet, 6);
    packet->answers = at + 4;
    return true;
}

/* ---- the answer ---- */

static void use_ttl(struct dns_answer *answer, const struct record *record)
{
    if (answer->ttl_s > record->ttl_s) {
        answer->ttl_s = record->ttl_s;
    }
}

/* Replaces the name by what it is an alias of. 0: it is none; -1: malformed. */
static int follow_alias(const struct packet *packet, char name[ADDR_HOST_MAX],
                        struct dns_answer *answer)
{
    size_t at = packet->answers;
    struct record record;

    for (unsigned i = 0; i < packet->counts; i++) {
        if (read_record(packet, &at, &record) < 0) {
            return -1;
        }
        if (record.type == TYPE_CNAME && record.class == CLASS_IN &&
            strcmp(record.owner, name) == 0) {
            use_ttl(answer, &record);
            at = record.data;
            return read_name(packet, &at, name) < 0 || at != record.end ? -1
                                                                        : 1;
        }
    }
    return 0;
}

/* Adds the service's record, if it can be used. -1: malformed. */
static int take_record(const struct packet *packet, const struct record *record,
                       struct dns_answer *answer)
{
    struct srv_record *added = &answer->records[answer->count];
    size_t at = record->data + 6;

    if (record->end < at || read_name(packet, &at, added->target) < 0 ||
        at != record->end) {
        return -1;
    }
    added->priority = (uint16_t)read16(packet, record->data);
    added->weight = (uint16_t)read16(packet, record->data + 2);
    added->port = (uint16_t)read16(packet, record->data + 4);
    if (added->port != 0 && address_is_host(added->target)) {
        use_ttl(answer, record);
        answer->count++;
    }
    return 0;
}

static int take_records(const struct packet *packet, const char *name,
                        struct dns_answer *answer)
{
    size_t at = packet->answers;
    struct record record;

    for (unsigned i = 0; i < packet->counts; i++) {
        if (read_record(packet, &at, &record) < 0 ||
            (record.type == TYPE_SRV && record.class == CLASS_IN &&
             strcmp(record.owner, name) == 0 &&
             take_record(packet, &record, answer) < 0)) {
            return -1;
        }
    }
    return 0;
}

int dns_answer_parse(const uint8_t *bytes, size_t length, const char *name,
                     struct dns_answer *answer)
{
    struct packet packet = {.bytes = bytes, .length = length};
    size_t at = HEADER_BYTES;
    char current[ADDR_HOST_MAX];
    int aliases = 0, result;

    answer->count = 0;
    answer->ttl_s = UINT32_MAX;
    if (!read_head(&packet, name) || read_name(&packet, &at, current) < 0) {
        return -1;
    }
    do {
        result = follow_alias(&packet, current, answer);
    } while (result > 0 && ++aliases < ALIASES_MAX);
    if (result == 0) {
        result = take_records(&packet, current, answer);
    }
    if (answer->count == 0) {
        answer->ttl_s = 0;
    }
    return result == 0 ? 0 : -1;
}
