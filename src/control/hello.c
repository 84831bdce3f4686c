#include "control/hello.h"

#include "base/log.h"
#include "control/upgrade_message.h"

#include <string.h>

/* A tag never changes its meaning. The first version wrote those up to 6. */
enum {
    TAG_FORMAT = 1 | RECORD_CRITICAL, /* of the writer; the least decides */
    TAG_LEAST = UPGRADE_HELLO_LEAST,
    TAG_VERSION = 3,
    TAG_WORKERS = 4 | RECORD_CRITICAL,
    TAG_BUFFER_SIZE = 5,
    TAG_GENERATION = 6,
    TAG_STARTED_NS = 7,
    TAG_RELOADED = 8,
    TAG_REFUSED = 9,
    TAG_ANNOUNCES = 10,
    TAG_ACCEPT_PAUSED = 11,
    TAG_LOG_LOST = 12,
};

struct number {
    unsigned tag;
    size_t at; /* in struct hello */
    uint64_t max;
};

static const struct number numbers[] = {
    {TAG_LEAST, offsetof(struct hello, least), UINT64_MAX},
    {TAG_WORKERS, offsetof(struct hello, workers), UINT32_MAX},
    {TAG_BUFFER_SIZE, offsetof(struct hello, buffer_size), UINT32_MAX},
    {TAG_GENERATION, offsetof(struct hello, generation), UINT64_MAX},
    {TAG_STARTED_NS, offsetof(struct hello, started_ns), UINT64_MAX},
    {TAG_RELOADED, offsetof(struct hello, reloaded), UINT64_MAX},
    {TAG_REFUSED, offsetof(struct hello, refused), UINT64_MAX},
    {TAG_ANNOUNCES, offsetof(struct hello, announces), 1},
    {TAG_ACCEPT_PAUSED, offsetof(struct hello, accept_paused), UINT64_MAX},
    {TAG_LOG_LOST, offsetof(struct hello, log_lost), UINT64_MAX},
};

struct hello hello_of(const struct generation *generation,
                      const struct sample_facts *facts,
                      const struct shared *shared)
{
    return (struct hello){
        .version = EVPROXY_VERSION,
        .least = UPGRADE_FORMAT_LEAST,
        .workers = generation->workers,
        .buffer_size = generation->config->buffer_size,
        .generation = generation->number,
        .started_ns = facts->started_ns,
        .reloaded = facts->reloads[RELOADED_OK],
        .refused = facts->reloads[RELOADED_REFUSED],
        .accept_paused =
            atomic_load_explicit(&shared->accept_paused, memory_order_relaxed),
        .log_lost = log_lost(),
    };
}

void hello_write(struct record_writer *writer, const struct hello *hello)
{
    size_t begun = record_begin(writer, UPGRADE_HELLO);

    record_put_number(writer, TAG_FORMAT, UPGRADE_FORMAT);
    record_put_text(writer, TAG_VERSION, hello->version);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uint64_t value;

        memcpy(&value, (const char *)hello + numbers[i].at, sizeof(value));
        if (value != 0) {
            record_put_number(writer, numbers[i].tag, value);
        }
    }
    record_end(writer, begun);
}

static bool read_part(const struct record *part, void *arg)
{
    struct hello *hello = arg;
    uint64_t value;

    if (part->tag == TAG_FORMAT) {
        return true;
    }
    if (part->tag == TAG_VERSION) {
        if (!record_text(part, hello->version, sizeof(hello->version))) {
            hello->version[0] = '\0';
        }
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        if (numbers[i].tag == part->tag) {
            bool good = record_number(part, numbers[i].max, &value);

            memcpy((char *)hello + numbers[i].at, &value,
                   good ? sizeof(value) : 0);
            return good;
        }
    }
    return record_may_be_skipped(part);
}

bool hello_read(const struct record *record, struct hello *hello)
{
    *hello = (struct hello){.least = 0};
    return record_each(record_enter(record), read_part, hello);
}
