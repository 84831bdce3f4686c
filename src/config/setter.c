#include "config/setter.h"

#include "base/addr.h"
#include "base/value.h"
#include "config/snapshot.h"
#include "wire/client_hello.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES 4096 /* the least that can go back to the system */

const char setter_out_of_memory[] = "out of memory";

const char *setter_about(const char *text, const char *why)
{
    return why == setter_out_of_memory || strstr(why, text) != NULL
               ? why
               : value_sentence(VALUE_QUOTE ": %s", text, why);
}

static void *field_of(const struct key *key, void *section)
{
    return (char *)section + key->field.offset;
}

static void store(const struct key *key, void *section, uint64_t value)
{
    void *field = field_of(key, section);

    switch (key->field.width) {
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

/* Stores the value if there is no sentence about it. Returns the sentence. */
static const char *store_if_good(const struct key *key, void *section,
                                 uint64_t value, const char *why)
{
    if (why == NULL) {
        store(key, section, value);
    }
    return why;
}

static bool is_off(const struct key *key, const char *text)
{
    return key->may_be_off && strcmp(text, "off") == 0;
}

const char *setter_number(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    uint64_t value = 0;
    const char *why = NULL;

    (void)line;
    if (key->may_be_off && key->min == 0) {
        why = value_limit(text, key->max, &value);
    } else if (!key->may_be_off ||
               (strcmp(text, "off") != 0 && strcmp(text, "0") != 0)) {
        why = value_number(text, key->min, key->max, &value);
    }
    return store_if_good(key, section, value, why);
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
    uint64_t value = 0;
    const char *why =
        is_off(key, text) ? NULL : value_size(text, key->min, key->max, &value);

    (void)line;
    return store_if_good(key, section, value, why);
}

const char *setter_block_size(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    uint64_t value = 0;
    const char *why = value_size(text, key->min, key->max, &value);

    (void)line;
    if (why == NULL && value % PAGE_BYTES != 0) {
        why = value_sentence(VALUE_QUOTE " is not a multiple of 4K", text);
    }
    return store_if_good(key, section, value, why);
}

const char *setter_rate(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    uint64_t value = 0;
    const char *why = value_rate(text, &value);

    (void)line;
    return store_if_good(key, section, value, why);
}

const char *setter_time(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    uint64_t value = 0;
    const char *why = value_time(text, &value);

    (void)line;
    if (why == NULL && value == 0 && !key->may_be_off) {
        why = value_sentence(
            VALUE_QUOTE " is too short: it must be more than 0", text);
    } else if (why == NULL && key->max > 0 && value > key->max) {
        why = value_sentence(VALUE_QUOTE
                             " is too long: it may be %ju seconds at most",
                             text, (uintmax_t)(key->max / NS_PER_S));
    }
    return store_if_good(key, section, value, why);
}

const char *setter_bool(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    bool value = false;
    const char *why = value_bool(text, &value);

    (void)line;
    return store_if_good(key, section, value, why);
}

const char *setter_choice(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    unsigned index = 0;
    const char *why =
        value_choice(text, key->choices, key->choice_count, &index);

    (void)line;
    return store_if_good(key, section, key->first_choice + index, why);
}

const char *setter_text(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    char *copy = strdup(text);

    (void)line;
    if (copy == NULL) {
        return setter_out_of_memory;
    }
    key_clear(key, section);
    memcpy(field_of(key, section), &copy, sizeof(copy));
    return NULL;
}

const char *setter_file(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    struct config_file file = {.off = is_off(key, text), .line = line};

    if (!file.off) {
        file.path = strdup(text);
        if (file.path == NULL) {
            return setter_out_of_memory;
        }
    }
    key_clear(key, section);
    *(struct config_file *)field_of(key, section) = file;
    return NULL;
}

const char *setter_listen(const struct key *key, void *section,
                          const char *text, unsigned line)
{
    struct address address = {.endpoint = {.length = 0}};
    const char *why = is_off(key, text) ? NULL : address_parse(text, &address);

    if (why != NULL) {
        return setter_about(text, why);
    }
    if (address.kind == ADDRESS_NAME) {
        return value_sentence(VALUE_QUOTE ": it needs an address, not a name",
                              text);
    }
    *(struct config_listen *)field_of(key, section) = (struct config_listen){
        .address = address, .last_port = address.port, .line = line};
    return NULL;
}

/* A text of digits and dots, or with a colon, is read as an IP address. */
static const char *check_host(const char *text)
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

const char *setter_host(const struct key *key, void *section, const char *text,
                        unsigned line)
{
    const char *why = check_host(text);

    return why != NULL ? why : setter_text(key, section, text, line);
}
