/*
 * dns_answer: reads what a name server answered to a question for SRV records
 * (RFC 1035, 2782). Pure; for any bytes.
 *
 * An alias (CNAME) is followed within the answer. Records of other names and
 * types are left out. So are records whose target is ".", which says that there
 * is no such service, or is no host name, and those with port 0.
 */
#ifndef EVPROXY_WIRE_DNS_ANSWER_H
#define EVPROXY_WIRE_DNS_ANSWER_H

#include "base/base.h"
#include "base/srv_record.h"

#include <stddef.h>
#include <stdint.h>

#define DNS_ANSWER_MAX 65535 /* bytes */

/* More records than an answer of so many bytes can have. */
#define DNS_ANSWER_RECORDS(length) ((length) / 18 + 1)

struct dns_answer {
    struct srv_record *records; /* the caller's, with room for
                                   DNS_ANSWER_RECORDS; in the answer's order */
    size_t count;
    uint32_t ttl_s; /* the shortest of all that was used; 0 without records */
};

/*
 * Fills the answer. name: what was asked for; case plays no part, and neither
 * does a final dot. -1: the bytes are malformed, truncated, no answer, an error
 * of the server, or an answer to another question.
 */
int dns_answer_parse(const uint8_t *bytes, size_t length, const char *name,
                     struct dns_answer *answer) WARN_UNUSED;

#endif
