#include "control/source_record.h"

enum {
    SERVICE = 1 | RECORD_CRITICAL,
    HIGH = 2 | RECORD_CRITICAL,
    LOW = 3 | RECORD_CRITICAL,
    PREFIX = 4 | RECORD_CRITICAL,
    ACCEPT_FULL_NS = 5,
    UP_FULL_NS = 6,
    DOWN_FULL_NS = 7,
};

void source_record_write(const struct source_state *debt, unsigned tag,
                         uint32_t service, struct record_writer *writer)
{
    size_t begun = record_begin(writer, tag);

    record_put_number(writer, SERVICE, service);
    record_put_number(writer, HIGH, debt->id.high);
    record_put_number(writer, LOW, debt->id.low);
    record_put_number(writer, PREFIX, debt->id.prefix);
    record_put_number(writer, ACCEPT_FULL_NS, debt->accept_full_ns);
    record_put_number(writer, UP_FULL_NS, debt->byte_full_ns[UP]);
    record_put_number(writer, DOWN_FULL_NS, debt->byte_full_ns[DOWN]);
    record_end(writer, begun);
}

struct parts {
    uint64_t service;
    uint64_t prefix;
    struct source_state *debt;
};

static bool read_part(const struct record *part, void *arg)
{
    struct parts *parts = arg;
    struct source_state *debt = parts->debt;

    switch (part->tag) {
    case SERVICE:
        return record_number(part, UINT32_MAX, &parts->service);
    case HIGH:
        return record_number(part, UINT64_MAX, &debt->id.high);
    case LOW:
        return record_number(part, UINT64_MAX, &debt->id.low);
    case PREFIX:
        return record_number(part, UINT8_MAX, &parts->prefix);
    case ACCEPT_FULL_NS:
        return record_number(part, UINT64_MAX, &debt->accept_full_ns);
    case UP_FULL_NS:
        return record_number(part, UINT64_MAX, &debt->byte_full_ns[UP]);
    case DOWN_FULL_NS:
        return record_number(part, UINT64_MAX, &debt->byte_full_ns[DOWN]);
    default:
        return record_may_be_skipped(part);
    }
}

bool source_record_read(const struct record *record, uint32_t *service,
                        struct source_state *debt)
{
    struct parts parts = {UINT32_MAX, 0, debt};

    *debt = (struct source_state){0};
    if (!record_each(record_enter(record), read_part, &parts)) {
        return false;
    }
    *service = (uint32_t)parts.service;
    debt->id.prefix = (uint8_t)parts.prefix;
    return true;
}
