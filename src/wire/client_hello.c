#include "wire/client_hello.h"

#include "base/value.h"

#include <string.h>
#include <strings.h>
#include <sys/param.h>

#define RECORD_HEAD_BYTES 5
#define RECORD_MAX        (1u << 14)
#define LABEL_MAX         63 /* RFC 1035, 2.3.4 */
#define NAME_MAX_BYTES    (CLIENT_HELLO_NAME_MAX - 1)

enum { RECORD_HANDSHAKE = 22, MESSAGE_CLIENT_HELLO = 1, MAJOR_VERSION = 3 };
enum { EXTENSION_SERVER_NAME = 0, EXTENSION_ALPN = 16, NAME_HOST = 0 };

/*
 * A position in the message, whose bytes are the payloads of records:
 *
 *      | head | payload | head | payload         (not yet received)
 *                  ^    ^                   ^
 *                 at    at + fragment     count
 *
 * While a vector of the message is read, left covers that vector only.
 */
struct cursor {
    const uint8_t *bytes;
    size_t count;
    size_t at;
    size_t fragment; /* bytes of this record's payload from at on */
    size_t left;     /* bytes of the innermost vector from at on */
    bool wrong;      /* no further bytes can make it a ClientHello */
};

static bool fail(struct cursor *cursor)
{
    cursor->wrong = true;
    return false;
}

/* RFC 8446, 5.1: the minor version must be ignored; an empty fragment of a
 * handshake is forbidden. */
static bool record_open(struct cursor *cursor)
{
    const uint8_t *head = cursor->bytes + cursor->at;
    size_t received = cursor->count - cursor->at;

    if ((received > 0 && head[0] != RECORD_HANDSHAKE) ||
        (received > 1 && head[1] != MAJOR_VERSION)) {
        return fail(cursor);
    }
    if (received < RECORD_HEAD_BYTES) {
        return false;
    }
    cursor->fragment = (size_t)head[3] << 8 | head[4];
    cursor->at += RECORD_HEAD_BYTES;
    if (cursor->fragment < 1 || cursor->fragment > RECORD_MAX) {
        return fail(cursor);
    }
    return true;
}

/*
 * Advances over bytes of the message, and copies them if into is not NULL. This
 * and the following functions answer false when bytes are missing. They also do
 * when bytes are wrong, and then set cursor->wrong.
 */
static bool read_bytes(struct cursor *cursor, uint8_t *into, size_t bytes)
{
    if (bytes > cursor->left) {
        return fail(cursor);
    }
    cursor->left -= bytes;
    while (bytes > 0) {
        size_t step;

        if (cursor->fragment == 0 && !record_open(cursor)) {
            return false;
        }
        step = MIN(MIN(bytes, cursor->fragment), cursor->count - cursor->at);
        if (step == 0) {
            return false;
        }
        if (into != NULL) {
            memcpy(into, cursor->bytes + cursor->at, step);
            into += step;
        }
        cursor->at += step;
        cursor->fragment -= step;
        bytes -= step;
    }
    return true;
}

static bool skip_bytes(struct cursor *cursor, size_t bytes)
{
    return read_bytes(cursor, NULL, bytes);
}

/* A number of 1 to 3 bytes. */
static bool read_number(struct cursor *cursor, unsigned bytes, size_t *out)
{
    uint8_t digits[3];

    if (!read_bytes(cursor, digits, bytes)) {
        return false;
    }
    *out = 0;
    for (unsigned i = 0; i < bytes; i++) {
        *out = *out << 8 | digits[i];
    }
    return true;
}

/* The length of a vector, from min to max; it fits the enclosing vector. */
static bool read_length(struct cursor *cursor, unsigned bytes, size_t min,
                        size_t max, size_t *out)
{
    if (!read_number(cursor, bytes, out)) {
        return false;
    }
    if (*out < min || *out > max || *out > cursor->left) {
        return fail(cursor);
    }
    return true;
}

static bool skip_vector(struct cursor *cursor, unsigned bytes, size_t min,
                        size_t max)
{
    size_t size;

    return read_length(cursor, bytes, min, max, &size) &&
           skip_bytes(cursor, size);
}

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of 1 to 63 characters with dots between them, 253 bytes at most. */
static bool is_host_name(const char *name)
{
    const char *label = name;

    if (strnlen(name, CLIENT_HELLO_NAME_MAX) > NAME_MAX_BYTES) {
        return false;
    }
    for (;;) {
        const char *end = label;

        while (is_name_character(*end)) {
            end++;
        }
        if (end == label || end - label > LABEL_MAX) {
            return false;
        }
        if (*end != '.') {
            return *end == '\0';
        }
        label = end + 1;
    }
}

static void to_lower(char *name)
{
    for (; *name != '\0'; name++) {
        if (*name >= 'A' && *name <= 'Z') {
            *name = (char)(*name - 'A' + 'a');
        }
    }
}

/* bytes: the length of the name, which comes next. */
static bool read_host(struct cursor *cursor, size_t bytes,
                      struct client_hello *hello)
{
    char name[CLIENT_HELLO_NAME_MAX + 1]; /* and a dot at its end */

    if (bytes > CLIENT_HELLO_NAME_MAX || hello->name[0] != '\0') {
        return fail(cursor);
    }
    if (!read_bytes(cursor, (uint8_t *)name, bytes)) {
        return false;
    }
    if (name[bytes - 1] == '.') {
        bytes--;
    }
    name[bytes] = '\0';
    if (strlen(name) != bytes || !is_host_name(name)) {
        return fail(cursor);
    }
    to_lower(name);
    memcpy(hello->name, name, bytes + 1);
    return true;
}

/* RFC 6066, 3: one name of each type; only one type is defined. */
static bool read_server_names(struct cursor *cursor, struct client_hello *hello)
{
    size_t list;

    if (!read_length(cursor, 2, 1, UINT16_MAX, &list)) {
        return false;
    }
    if (list != cursor->left) {
        return fail(cursor);
    }
    while (cursor->left > 0) {
        size_t type;
        size_t bytes;

        if (!read_number(cursor, 1, &type) ||
            !read_length(cursor, 2, 1, UINT16_MAX, &bytes)) {
            return false;
        }
        if (!(type == NAME_HOST ? read_host(cursor, bytes, hello)
                                : skip_bytes(cursor, bytes))) {
            return false;
        }
    }
    return true;
}

/* Whether the bytes are whole names of 1 to 255 bytes, a length before each. */
static bool is_protocol_list(const uint8_t *list, size_t bytes)
{
    size_t at = 0;

    while (at < bytes && list[at] > 0) {
        at += list[at] + 1u;
    }
    return at == bytes;
}

/* bytes: the length of the extension. A bad list is none: the server will
 * refuse it, and the name still says which server that is. */
static bool read_protocols(struct cursor *cursor, size_t bytes,
                           struct client_hello *hello)
{
    uint8_t list[2 + CLIENT_HELLO_ALPN_MAX];

    if (bytes < 2 || bytes > sizeof(list) || hello->alpn_bytes > 0) {
        return skip_bytes(cursor, bytes);
    }
    if (!read_bytes(cursor, list, bytes)) {
        return false;
    }
    bytes -= 2;
    if (((size_t)list[0] << 8 | list[1]) == bytes &&
        is_protocol_list(list + 2, bytes)) {
        memcpy(hello->alpn, list + 2, bytes);
        hello->alpn_bytes = (uint16_t)bytes;
    }
    return true;
}

static bool read_extension(struct cursor *cursor, bool *named,
                           struct client_hello *hello)
{
    size_t type;
    size_t bytes;
    size_t outer;
    bool read;

    if (!read_number(cursor, 2, &type) ||
        !read_length(cursor, 2, 0, UINT16_MAX, &bytes)) {
        return false;
    }
    if (type == EXTENSION_ALPN) {
        return read_protocols(cursor, bytes, hello);
    }
    if (type != EXTENSION_SERVER_NAME) {
        return skip_bytes(cursor, bytes);
    }
    if (*named) {
        return fail(cursor);
    }
    *named = true;
    outer = cursor->left - bytes;
    cursor->left = bytes;
    read = read_server_names(cursor, hello);
    cursor->left = outer;
    return read;
}

/* May be absent before TLS 1.3; they end the message. */
static bool read_extensions(struct cursor *cursor, struct client_hello *hello)
{
    bool named = false;
    size_t bytes;

    if (cursor->left == 0) {
        return true;
    }
    if (!read_length(cursor, 2, 0, UINT16_MAX, &bytes)) {
        return false;
    }
    if (bytes != cursor->left) {
        return fail(cursor);
    }
    while (cursor->left > 0) {
        if (!read_extension(cursor, &named, hello)) {
            return false;
        }
    }
    return true;
}

static bool skip_version(struct cursor *cursor)
{
    size_t major;

    if (!read_number(cursor, 1, &major)) {
        return false;
    }
    return major == MAJOR_VERSION ? skip_bytes(cursor, 1) : fail(cursor);
}

static bool skip_ciphers(struct cursor *cursor)
{
    size_t bytes;

    if (!read_length(cursor, 2, 2, UINT16_MAX - 1, &bytes)) {
        return false;
    }
    return bytes % 2 == 0 ? skip_bytes(cursor, bytes) : fail(cursor);
}

static bool open_message(struct cursor *cursor)
{
    size_t type;
    size_t bytes;

    cursor->left = CLIENT_HELLO_MAX;
    if (!read_number(cursor, 1, &type)) {
        return false;
    }
    if (type != MESSAGE_CLIENT_HELLO) {
        return fail(cursor);
    }
    if (!read_length(cursor, 3, 0, CLIENT_HELLO_MAX, &bytes)) {
        return false;
    }
    cursor->left = bytes;
    return true;
}

/* RFC 8446, 4.1.2: version, random, session, ciphers, compression. */
static bool read_hello(struct cursor *cursor, struct client_hello *hello)
{
    return open_message(cursor) && skip_version(cursor) &&
           skip_bytes(cursor, 32) && skip_vector(cursor, 1, 0, 32) &&
           skip_ciphers(cursor) && skip_vector(cursor, 1, 1, UINT8_MAX) &&
           read_extensions(cursor, hello);
}

int client_hello_parse(const uint8_t *bytes, size_t count,
                       struct client_hello *out)
{
    struct cursor cursor = {.bytes = bytes, .count = count};
    struct client_hello hello = {.alpn_bytes = 0};

    if (!read_hello(&cursor, &hello)) {
        return cursor.wrong ? -1 : 0;
    }
    *out = hello;
    return (int)cursor.at;
}

enum client_hello_state client_hello_state(const uint8_t *bytes, size_t count)
{
    struct cursor cursor = {.bytes = bytes, .count = count, .left = 4};
    size_t type;
    size_t length;

    if (!read_number(&cursor, 1, &type)) {
        return cursor.wrong ? CLIENT_HELLO_NONE : CLIENT_HELLO_INCOMPLETE;
    }
    if (type != MESSAGE_CLIENT_HELLO) {
        return CLIENT_HELLO_NONE;
    }
    if (!read_number(&cursor, 3, &length)) {
        return cursor.wrong ? CLIENT_HELLO_NONE : CLIENT_HELLO_INCOMPLETE;
    }
    if (length > CLIENT_HELLO_MAX - 4) {
        return CLIENT_HELLO_TOO_LONG;
    }
    cursor.left = length;
    if (skip_bytes(&cursor, length)) {
        return CLIENT_HELLO_WHOLE;
    }
    return cursor.wrong ? CLIENT_HELLO_NONE : CLIENT_HELLO_INCOMPLETE;
}

/* ---- patterns ------------------------------------------------------------ */

const char *client_hello_check_pattern(const char *pattern)
{
    const char *name = strncmp(pattern, "*.", 2) == 0 ? pattern + 2 : pattern;
    size_t bytes = strlen(name);

    if (is_host_name(name)) {
        return NULL;
    }
    if (strchr(name, '*') != NULL) {
        return value_sentence(VALUE_QUOTE " has a '*' that is not its whole"
                                          " first label (example: *.b.example)",
                              pattern);
    }
    if (bytes > 1 && name[bytes - 1] == '.') {
        return value_sentence(VALUE_QUOTE " ends with a dot", pattern);
    }
    return value_sentence(
        VALUE_QUOTE " is not a host name (examples: a.example, *.b.example)",
        pattern);
}

bool client_hello_matches(const char *pattern, const char *name)
{
    const char *dot = strchr(name, '.');

    if (pattern[0] != '*') {
        return strcasecmp(pattern, name) == 0;
    }
    return dot != NULL && dot > name && strcasecmp(pattern + 1, dot) == 0;
}

/* ---- protocols ----------------------------------------------------------- */

bool client_hello_offers(const struct client_hello *hello, const char *protocol)
{
    size_t bytes = strlen(protocol);

    for (size_t at = 0; at < hello->alpn_bytes; at += hello->alpn[at] + 1u) {
        if (hello->alpn[at] == bytes &&
            memcmp(hello->alpn + at + 1, protocol, bytes) == 0) {
            return true;
        }
    }
    return false;
}
