#include "proxy/access_log.h"

#include "base/log.h"

#include <inttypes.h>

void access_log_write(const struct access_log_entry *entry)
{
    const struct upstream *upstream = entry->upstream;
    char client[ADDR_TEXT_MAX];
    char name[LOG_QUOTED_MAX(CONFIG_NAME_MAX)];
    char address[LOG_QUOTED_MAX(UPSTREAM_TEXT_MAX)];
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
        log_quote(entry->service->config->name, name, sizeof(name)),
        addr_format(entry->client, client),
        log_quote(upstream == NULL ? "-" : upstream->text, address,
                  sizeof(address)),
        cause_name(entry->cause), entry->bytes[UP], entry->bytes[DOWN],
        entry->connect_us, entry->duration_ns / NS_PER_MS, rtt_us, retransmits);
}
