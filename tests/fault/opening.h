/*
 * opening: what stands in front of a client's own bytes: PROXY headers and
 * ClientHellos, right ones and wrong ones, written here from their
 * specifications and not by the code under test. Pure but for the random
 * numbers, which are the simulation's.
 */
#ifndef EVPROXY_FAULT_OPENING_H
#define EVPROXY_FAULT_OPENING_H

#include "base/addr.h"

#include <stdint.h>

/* A longer PROXY header than this cannot be looked at in the kernel's queue. */
#define OPENING_LOOK_BYTES (17u * 1024)

#define OPENING_HEADER_MAX (24u * 1024)
#define OPENING_HELLO_MAX  4096u
#define OPENING_TOLD_MAX   (OPENING_HEADER_MAX + 7)

enum opening_header {
    HEADER_V1,
    HEADER_V2,
    HEADER_V2_TLVS,
    HEADER_V2_LONG,  /* about OPENING_LOOK_BYTES, and more */
    HEADER_V1_LOCAL, /* UNKNOWN */
    HEADER_V2_LOCAL, /* LOCAL, or an unspecified family */
    HEADER_WRONG,
};

enum opening_hello {
    HELLO_NAMED,
    HELLO_NAMELESS,
    HELLO_WRONG, /* no name can be read from it */
};

/* What the headers name. */
struct opening_ends {
    struct addr source;
    struct addr destination; /* of the same family */
};

/* Write it and answer its bytes. The hello differs by the mark, within its
 * first 64 bytes. */
uint32_t opening_write_header(enum opening_header kind,
                              const struct opening_ends *ends,
                              uint8_t bytes[OPENING_HEADER_MAX]);
uint32_t opening_write_hello(enum opening_hello kind, const char *name,
                             uint8_t mark, uint8_t bytes[OPENING_HELLO_MAX]);

/* The header that an upstream is told of them; ends NULL: of a connection
 * without addresses. version: 1 or 2. came: the header that came, whose TLVs
 * are in the second. */
uint32_t opening_write_told(unsigned version, const struct opening_ends *ends,
                            const uint8_t *came, uint32_t came_bytes,
                            uint8_t bytes[OPENING_TOLD_MAX]);

#endif
