#include "wire/client_hello.h"

#include "base/value.h"

#include <string.h>
#include <strings.h>

#define RECORD_HEAD_BYTES 5
#define RECORD_MAX        (1u << 14)
#define LABEL_MAX         63 /* RFC 1035, 2.3.4 */
#define NAME_MAX_BYTES    (CLIENT_HELLO_NAME_MAX - 1)

enum { RECORD_HANDSHAKE = 22, MESSAGE_CLIENT_HELLO = 1, MAJOR_VERSION = 3 };
enum { EXTENSION_SERVER_NAME = 0, NAME_HOST = 0 };

/*
 * A place in the message, whose bytes lie in the payloads of records:
 *
 *      | head | payload | head | payload |  came so far : to come
 *                  ^        ^                           ^
 *                  at       at + fragment               count
 *
 * Each vector of the message narrows left to itself while it is read.
 */
struct cursor {
    const uint8_t *bytes;
    size_t count;
    size_t at;
    size_t fragment; /* bytes of this record's payload that follow at */
    size_t left;     /* bytes of the innermost vector that follow at */
    bool wrong;      /* nothing that comes can help */
};

static bool fail(struct cursor *cursor)
{
    cursor->wrong = true;
    return false;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* RFC 8446, 5.1: the minor version says nothing; an empty fragment of a
 * handshake is forbidden. */
static bool record_open(struct cursor *cursor)
{
    const uint8_t *head = cursor->bytes + cursor->at;
    size_t came = cursor->count - cursor->at;

    if ((came > 0 && head[0] != RECORD_HANDSHAKE) ||
        (came > 1 && head[1] != MAJOR_VERSION)) {
        return fail(cursor);
    }
    if (came < RECORD_HEAD_BYTES) {
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
 * Passes over bytes of the message, and copies them if into is not NULL. All of
 * these functions answer false when bytes are missing, or wrong (and say so).
 */
static bool take(struct cursor *cursor, uint8_t *into, size_t bytes)
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
        step = smaller(smaller(bytes, cursor->fragment),
                       cursor->count - cursor->at);
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

static bool skip(struct cursor *cursor, size_t bytes)
{
    return take(cursor, NULL, bytes);
}

/* A number of at most 3 bytes. */
static bool number(struct cursor *cursor, unsigned bytes, size_t *out)
{
    uint8_t digits[3];

    if (!take(cursor, digits, bytes)) {
        return false;
    }
    *out = 0;
    for (unsigned i = 0; i < bytes; i++) {
        *out = *out << 8 | digits[i];
    }
    return true;
}

/* The length of a vector, from min to max, which fits the one it stands in. */
static bool length(struct cursor *cursor, unsigned bytes, size_t min,
                   size_t max, size_t *out)
{
    if (!number(cursor, bytes, out)) {
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

    return length(cursor, bytes, min, max, &size) && skip(cursor, size);
}

static bool is_name_letter(char message)
{
    return (message >= 'a' && message <= 'z') ||
           (message >= 'A' && message <= 'Z') ||
           (message >= '0' && message <= '9') || message == '-' ||
           message == '_';
}

/* Labels of 1 to 63 messages with dots between them, 253 bytes at most. */
static bool is_host_name(const char *name)
{
    const char *label = name;

    if (strnlen(name, CLIENT_HELLO_NAME_MAX) > NAME_MAX_BYTES) {
        return false;
    }
    for (;;) {
        const char *end = label;

        while (is_name_letter(*end)) {
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

static void lower(char *name)
{
    for (; *name != '\0'; name++) {
        if (*name >= 'A' && *name <= 'Z') {
            *name = (char)(*name - 'A' + 'a');
        }
    }
}

/* bytes: of the name, which is the next in the message. */
static bool read_host(struct cursor *cursor, size_t bytes,
                      struct client_hello *hello)
{
    char name[CLIENT_HELLO_NAME_MAX + 1]; /* with a dot at its end */

    if (bytes > CLIENT_HELLO_NAME_MAX || hello->name[0] != '\0') {
        return fail(cursor);
    }
    if (!take(cursor, (uint8_t *)name, bytes)) {
        return false;
    }
    if (name[bytes - 1] == '.') {
        bytes--;
    }
    name[bytes] = '\0';
    if (strlen(name) != bytes || !is_host_name(name)) {
        return fail(cursor);
    }
    lower(name);
    memcpy(hello->name, name, bytes + 1);
    return true;
}

/* RFC 6066, 3: one name of each type, of which one is known. */
static bool read_server_names(struct cursor *cursor, struct client_hello *hello)
{
    size_t list;

    if (!length(cursor, 2, 1, UINT16_MAX, &list)) {
        return false;
    }
    if (list != cursor->left) {
        return fail(cursor);
    }
    while (cursor->left > 0) {
        size_t type;
        size_t bytes;

        if (!number(cursor, 1, &type) ||
            !length(cursor, 2, 1, UINT16_MAX, &bytes)) {
            return false;
        }
        if (!(type == NAME_HOST ? read_host(cursor, bytes, hello)
                                : skip(cursor, bytes))) {
            return false;
        }
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

    if (!number(cursor, 2, &type) ||
        !length(cursor, 2, 0, UINT16_MAX, &bytes)) {
        return false;
    }
    if (type != EXTENSION_SERVER_NAME) {
        return skip(cursor, bytes);
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

/* Absent before TLS 1.2; what is there ends the message. */
static bool read_extensions(struct cursor *cursor, struct client_hello *hello)
{
    bool named = false;
    size_t bytes;

    if (cursor->left == 0) {
        return true;
    }
    if (!length(cursor, 2, 0, UINT16_MAX, &bytes)) {
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

    if (!number(cursor, 1, &major)) {
        return false;
    }
    return major == MAJOR_VERSION ? skip(cursor, 1) : fail(cursor);
}

static bool skip_ciphers(struct cursor *cursor)
{
    size_t bytes;

    if (!length(cursor, 2, 2, UINT16_MAX - 1, &bytes)) {
        return false;
    }
    return bytes % 2 == 0 ? skip(cursor, bytes) : fail(cursor);
}

static bool open_message(struct cursor *cursor)
{
    size_t type;
    size_t bytes;

    cursor->left = CLIENT_HELLO_MAX;
    if (!number(cursor, 1, &type)) {
        return false;
    }
    if (type != MESSAGE_CLIENT_HELLO) {
        return fail(cursor);
    }
    if (!length(cursor, 3, 0, CLIENT_HELLO_MAX, &bytes)) {
        return false;
    }
    cursor->left = bytes;
    return true;
}

/* RFC 8446, 4.1.2: version, random, session, ciphers, compression. */
static bool read_hello(struct cursor *cursor, struct client_hello *hello)
{
    return open_message(cursor) && skip_version(cursor) && skip(cursor, 32) &&
           skip_vector(cursor, 1, 0, 32) && skip_ciphers(cursor) &&
           skip_vector(cursor, 1, 1, UINT8_MAX) &&
           read_extensions(cursor, hello);
}

int client_hello_parse(const uint8_t *bytes, size_t count,
                       struct client_hello *out)
{
    struct cursor cursor = {.bytes = bytes, .count = count};
    struct client_hello hello = {.name = ""};

    if (!read_hello(&cursor, &hello)) {
        return cursor.wrong ? -1 : 0;
    }
    memcpy(out->name, hello.name, sizeof(out->name));
    return (int)cursor.at;
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
