#include "control/name_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 512 /* of a host or SRV name */

enum name_tag {
    TAG_HOST = 1 | RECORD_CRITICAL,
    TAG_ADDRESS = 2, /* a sockaddr */
    TAG_SRV = 3,
};
enum srv_tag {
    TAG_PRIORITY = 1,
    TAG_WEIGHT = 2,
    TAG_PORT = 3 | RECORD_CRITICAL,
    TAG_TARGET = 4 | RECORD_CRITICAL,
};

static void write_srv(const struct srv_record *srv,
                      struct record_writer *writer)
{
    size_t begun = record_begin(writer, TAG_SRV);

    record_put_number(writer, TAG_PRIORITY, srv->priority);
    record_put_number(writer, TAG_WEIGHT, srv->weight);
    record_put_number(writer, TAG_PORT, srv->port);
    record_put_text(writer, TAG_TARGET, srv->target);
    record_end(writer, begun);
}

void name_record_write(const struct name *name, unsigned tag,
                       struct record_writer *writer)
{
    size_t begun;

    if (name->count == 0) {
        return;
    }
    begun = record_begin(writer, tag);
    record_put_text(writer, TAG_HOST, name->host);
    for (size_t i = 0; i < name->count; i++) {
        if (name->kind == ADDRESS_SRV) {
            write_srv(&name->records[i], writer);
        } else {
            record_put(writer, TAG_ADDRESS, &name->addresses[i].u,
                       name->addresses[i].length);
        }
    }
    record_end(writer, begun);
}

/* ---- reading ---- */

/* The items of one name, which is of one kind. */
struct answer {
    char host[NAME_MAX_BYTES];
    struct endpoint *addresses;
    size_t address_count;
    struct srv_record *records;
    size_t record_count;
};

static bool read_address(const struct record *part, struct answer *answer)
{
    struct endpoint *list = reallocarray(
        answer->addresses, answer->address_count + 1, sizeof(*list));

    if (list == NULL) {
        return false;
    }
    answer->addresses = list;
    list += answer->address_count;
    memset(list, 0, sizeof(*list));
    if (part->count == 0 || part->count > sizeof(list->u) ||
        !record_copy(part, &list->u, part->count)) {
        return false;
    }
    list->length = (socklen_t)part->count;
    answer->address_count++;
    return true;
}

static bool read_srv_part(const struct record *part, void *arg)
{
    struct srv_record *srv = arg;
    uint64_t number = 0;

    if (part->tag == TAG_TARGET) {
        return record_text(part, srv->target, sizeof(srv->target));
    }
    if (part->tag != TAG_PRIORITY && part->tag != TAG_WEIGHT &&
        part->tag != TAG_PORT) {
        return record_may_be_skipped(part);
    }
    if (!record_number(part, UINT16_MAX, &number)) {
        return false;
    }
    *(part->tag == TAG_PRIORITY ? &srv->priority
      : part->tag == TAG_WEIGHT ? &srv->weight
                                : &srv->port) = (uint16_t)number;
    return true;
}

static bool read_srv(const struct record *record, struct answer *answer)
{
    struct srv_record *list =
        reallocarray(answer->records, answer->record_count + 1, sizeof(*list));

    if (list == NULL) {
        return false;
    }
    answer->records = list;
    list += answer->record_count;
    *list = (struct srv_record){.port = 0};
    answer->record_count++;
    return record_each(record_enter(record), read_srv_part, list) &&
           list->port != 0;
}

static bool read_part(const struct record *part, void *arg)
{
    struct answer *answer = arg;

    switch (part->tag) {
    case TAG_HOST:
        return record_text(part, answer->host, sizeof(answer->host));
    case TAG_ADDRESS:
        return read_address(part, answer);
    case TAG_SRV:
        return read_srv(part, answer);
    default:
        return record_may_be_skipped(part);
    }
}

bool name_record_read(const struct record *record, struct names *names)
{
    struct answer answer = {.host = ""};
    bool done = record_each(record_enter(record), read_part, &answer);

    if (done && answer.record_count > 0) {
        done = names_restore(names, ADDRESS_SRV, answer.host, answer.records,
                             answer.record_count) == 0;
    } else if (done && answer.address_count > 0) {
        done = names_restore(names, ADDRESS_NAME, answer.host, answer.addresses,
                             answer.address_count) == 0;
    }
    free(answer.addresses);
    free(answer.records);
    return done;
}
