/*
 * Any bytes as an upgrade's session: refused, or an image within its bounds.
 */
#include "proxy/session_record.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record_reader reader = {data, size};
    struct session_record session;
    struct record record;

    while (record_next(&reader, &record) > 0) {
        if (session_record_read(&record, &session)) {
            assert(session.fd_count >= 2 &&
                   session.fd_count <= SESSION_RECORD_FDS_MAX);
            assert(session.image.relay[UP].bulk <= RELAY_BULK_MOST);
        }
    }
    return 0;
}
