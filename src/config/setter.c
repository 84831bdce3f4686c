#include "config/setter.h"

#include "base/addr.h"
#include "base/value.h"
#include "config/config.h"
#include "wire/client_hello.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 4096 /* a page: what can go back to the system */

const char setter_out_of_memory[] = "out of memory";

const char *setter_about(const char *text, const char *why)
{
    return why == setter_out_of_memory || strstr(why, text) != NULL
               ? why
               : value_sentence(VALUE_QUOTE ": %s", text, why);
}

static void *field_of(const struct key *key, void *section)
{
    return (char *)section + key->offset;
}

static void store(const struct key *key, void *section, uint64_t value)
{
    void *field = field_of(key, section);

    switch (key->width) {
    case sizeof(uint8_t):
        *(uint8_t *)field = (uint8_t)value;
        break;
    case sizeof(uint32_t):
        *(uint32_t *)field = (uint32_t)value;
        break;
    default:
        *(uint64_t *)field = value;
        break;
    }
}

const char *setter_number(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_number(text, key->min, key->max, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

const char *setter_limit(const struct key *key, void *section, const char *text,
                         unsigned line)
{
    uint64_t value;
    const char *why = value_limit(text, key->max, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

const char *setter_workers(const struct key *key, void *section,
                           const char *text, unsigned line)
{
    if (strcmp(text, "auto") == 0) {
        store(key, section, 0);
        return NULL;
    }
    return setter_number(key, section, text, line);
}

const char *setter_size(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    uint64_t value;
    const char *why;

    (void)line;
    if (key->min == 0 && strcmp(text, "off") == 0) {
        store(key, section, 0);
        return NULL;
    }
    why = value_size(text, key->min, key->max, &value);
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

const char *setter_block_size(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    uint64_t value;
    const char *why = value_size(text, key->min, key->max, &value);

    if (why == NULL && value % BLOCK_BYTES != 0) {
        return value_sentence(VALUE_QUOTE " is not a multiple of 4K", text);
    }
    return why != NULL ? why : setter_size(key, section, text, line);
}

const char *setter_rate(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    uint64_t value;
    const char *why = value_rate(text, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

const char *setter_time(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    uint64_t value;
    const char *why = value_time(text, &value);

    (void)line;
    if (why != NULL) {
        return why;
    }
    if (value < key->min) {
        return value_sentence(
            VALUE_QUOTE " is too short: it must be more than 0", text);
    }
    if (key->max > 0 && value > key->max) {
        return value_sentence(VALUE_QUOTE
                              " is too long: it may be %ju seconds at most",
                              text, (uintmax_t)(key->max / NS_PER_S));
    }
    store(key, section, value);
    return NULL;
}

const char *setter_bool(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    bool value;
    const char *why = value_bool(text, &value);

    (void)line;
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

const char *setter_choice(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    unsigned index;
    const char *why =
        value_choice(text, key->choices, key->choice_count, &index);

    (void)line;
    if (why == NULL) {
        store(key, section, key->min + index);
    }
    return why;
}

const char *setter_text(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    char *copy = strdup(text);

    (void)line;
    if (copy == NULL) {
        return setter_out_of_memory;
    }
    memcpy(field_of(key, section), &copy, sizeof(copy));
    return NULL;
}

const char *setter_file(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    struct config_file *file = field_of(key, section);
    char *path = strdup(text);

    if (path == NULL) {
        return setter_out_of_memory;
    }
    *file = (struct config_file){.path = path, .line = line};
    return NULL;
}

const char *setter_upstream_ca(const struct key *key, void *section,
                               const char *text, unsigned line)
{
    struct config_service *service = section;

    if (strcmp(text, "off") == 0) {
        service->upstream_tls_unverified = true;
        return NULL;
    }
    return setter_file(key, section, text, line);
}

/* What has only digits and dots, or a colon, was meant as an address. */
static const char *check_peer_name(const char *text)
{
    struct addr addr;
    const char *why = addr_parse_ip(text, &addr);

    if (why == NULL || text[strspn(text, "0123456789.")] == '\0' ||
        strchr(text, ':') != NULL) {
        return why;
    }
    if (strchr(text, '*') != NULL) {
        return value_sentence(VALUE_QUOTE " is not the name of one host", text);
    }
    return client_hello_check_pattern(text);
}

const char *setter_peer_name(const struct key *key, void *section,
                             const char *text, unsigned line)
{
    const char *why = check_peer_name(text);

    return why != NULL ? why : setter_text(key, section, text, line);
}
