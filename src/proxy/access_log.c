#include "proxy/access_log.h"

#include "base/log.h"

#include <inttypes.h>

void access_log_write(const struct access_log_entry *entry)
{
    const struct upstream *upstream = entry->upstream;
    char client[ADDR_TEXT_MAX];
    char quoted[sizeof(upstream->text) + 2];
    uint32_t rtt_us = 0;
    uint32_t retransmits = 0;

    if (entry->sock != NULL) {
        sock_quality(entry->sock, &rtt_us, &retransmits);
    }
    log_write(
        LOG_RECORD,
        "conn service=%s client=%s upstream=%s cause=%s bytes_up=%" PRIu64
        " bytes_down=%" PRIu64 " connect_us=%" PRIu32 " duration_ms=%" PRIu64
        " rtt_us=%" PRIu32 " retransmits=%" PRIu32,
        entry->service->config->name, addr_format(entry->client, client),
        log_quote(upstream == NULL ? "-" : upstream->text, quoted,
                  sizeof(quoted)),
        cause_name(entry->cause), entry->bytes[UP], entry->bytes[DOWN],
        entry->connect_us, entry->duration_ns / NS_PER_MS, rtt_us, retransmits);
}
