#include "proxy/record.h"

#include "base/log.h"

#include <inttypes.h>

void record_write(const struct record *record)
{
    const struct upstream *upstream = record->upstream;
    char client[ADDR_TEXT_MAX];
    char quoted[sizeof(upstream->text) + 2];

    log_write(
        LOG_RECORD,
        "conn service=%s client=%s upstream=%s cause=%s bytes_up=%" PRIu64
        " bytes_down=%" PRIu64 " connect_us=%" PRIu32 " duration_ms=%" PRIu64
        " rtt_us=%" PRIu32 " retransmits=%" PRIu32,
        record->service->config->name, addr_format(record->client, client),
        log_quote(upstream == NULL ? "-" : upstream->text, quoted,
                  sizeof(quoted)),
        cause_name(record->cause), record->bytes[UP], record->bytes[DOWN],
        record->connect_us, record->duration_ns / NS_PER_MS, record->rtt_us,
        record->retransmits);
}
