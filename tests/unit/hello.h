/*
 * hello: ClientHello messages under construction, and what is read from them.
 * One at a time.
 */
#ifndef EVPROXY_TESTS_HELLO_H
#define EVPROXY_TESTS_HELLO_H

#include "wire/client_hello.h"

#include <stddef.h>
#include <stdint.h>

#define HELLO_WHOLE 16384 /* the largest fragment that a record may hold */

/* How many bytes of the message precede its extensions. */
enum { HELLO_FIXED_BYTES = 4 + 2 + 32 + 1 + 32 + 2 + 4 + 1 + 1 };

struct bytes {
    size_t count;
    uint8_t data[7 * CLIENT_HELLO_MAX];
};

void bytes_add(struct bytes *to, const void *data, size_t count);
void bytes_add_number(struct bytes *to, size_t number, unsigned bytes);
void bytes_add_zeros(struct bytes *to, size_t count);
void bytes_set_number(uint8_t *at, size_t number); /* of two bytes */

extern struct bytes hello_message;
extern struct bytes hello_wire; /* the records that carry it */

/* A message without extensions, and with no lengths yet. */
void hello_start(void);
void hello_add_extension(unsigned type, const void *data, size_t count);
/* A server_name extension; the name's bytes may be any. */
void hello_add_name(const char *name, size_t count);
/* Cuts the message into records of so many bytes each. */
void hello_seal(size_t fragment);
/* Likewise, after it has set the lengths. */
void hello_finish(size_t fragment);

/* What a browser sends: a GREASE extension, a key share that is larger than a
 * segment, the name somewhere, padding. */
void hello_make_browser(const char *name, size_t fragment);

/* Parses a copy of just this size, so that ASan sees a read beyond it. */
int hello_parse(const void *data, size_t count,
                struct client_hello *out) WARN_UNUSED;
/* The bytes are a whole hello with that name. */
void hello_check_named(const void *data, size_t count, const char *name);
void hello_check_wire(const char *name); /* likewise */
void hello_check_refused(void);

#endif
