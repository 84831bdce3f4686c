#include "config/health_value.h"

#include "base/value.h"
#include "config/ini.h"
#include "config/setter.h"

#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 2048
#define HOST_MAX_BYTES 512

/* ---- escapes ---- */

/* 0 to 15; -1: not a digit. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads what follows a backslash. Returns how many characters it took; 0: that
 * is no escape. */
static size_t read_escape(const char *text, char *out)
{
    static const char letters[] = "rnt\\";
    static const char bytes[] = "\r\n\t\\";
    const char *found = *text == '\0' ? NULL : strchr(letters, *text);
    int high, low;

    if (found != NULL) {
        *out = bytes[found - letters];
        return 1;
    }
    high = *text == 'x' ? hex_digit(text[1]) : -1;
    low = high < 0 ? -1 : hex_digit(text[2]);
    if (low < 0) {
        return 0;
    }
    *out = (char)(high << 4 | low);
    return 3;
}

const char *health_value_unescape(const char *text, struct config_bytes *out)
{
    char *bytes = malloc(strlen(text) + 1);
    size_t count = 0;

    if (bytes == NULL) {
        return setter_out_of_memory;
    }
    for (const char *at = text; *at != '\0'; count++) {
        size_t taken;

        if (*at != '\\') {
            bytes[count] = *at++;
            continue;
        }
        taken = read_escape(at + 1, &bytes[count]);
        if (taken == 0) {
            free(bytes);
            return value_sentence(VALUE_QUOTE " is not an escape (escapes: "
                                              "\\r, \\n, \\t, \\\\, \\xHH)",
                                  at);
        }
        at += 1 + taken;
    }
    if (count == 0 || count > HEALTH_TEXT_MAX) {
        free(bytes);
        return count == 0 ? "the text is empty"
                          : "the text is longer than 16384 bytes";
    }
    *out = (struct config_bytes){.bytes = bytes, .count = count};
    return NULL;
}

/* ---- statuses ---- */

static const char *parse_range(char *item, struct config_statuses *out)
{
    char *dash = strchr(item, '-');
    uint64_t first, last;
    const char *why;

    if (dash != NULL) {
        *dash = '\0';
    }
    why = value_number(ini_trim(item), 100, CONFIG_STATUS_END - 1, &first);
    last = first;
    if (why == NULL && dash != NULL) {
        why =
            value_number(ini_trim(dash + 1), 100, CONFIG_STATUS_END - 1, &last);
    }
    if (why == NULL && first > last) {
        why = "the range ends before it starts";
    }
    for (; why == NULL && first <= last; first++) {
        out->bits[first / 64] |= UINT64_C(1) << (first % 64);
    }
    return why;
}

const char *health_value_parse_statuses(const char *text,
                                        struct config_statuses *out)
{
    struct config_statuses statuses = {0};
    char *list = strdup(text);
    char *rest = list;
    const char *why = list == NULL ? setter_out_of_memory : NULL;
    char *item;

    while (why == NULL && (item = strsep(&rest, ",")) != NULL) {
        why = parse_range(item, &statuses);
    }
    free(list);
    if (why != NULL) {
        return setter_about(text, why);
    }
    *out = statuses;
    return NULL;
}

bool health_value_has_status(const struct config_statuses *statuses,
                             unsigned status)
{
    return statuses->bits[status / 64] >> (status % 64) & 1;
}

/* ---- setters ---- */

/* What may stand in a line of a request without ending or splitting it. */
static bool is_graphic(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

const char *health_value_path(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    if (*text != '/') {
        return value_sentence(VALUE_QUOTE " does not begin with '/'", text);
    }
    if (!is_graphic(text)) {
        return value_sentence(
            VALUE_QUOTE " has a character that must be written as %%HH", text);
    }
    if (strlen(text) > PATH_MAX_BYTES) {
        return "the path is longer than 2048 bytes";
    }
    return setter_text(key, section, text, line);
}

const char *health_value_host(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    if (!is_graphic(text) || strlen(text) > HOST_MAX_BYTES) {
        return value_sentence(VALUE_QUOTE " is not a host name", text);
    }
    return setter_text(key, section, text, line);
}

const char *health_value_statuses(const struct key *key, void *section,
                                  const char *text, unsigned line)
{
    (void)line;
    return health_value_parse_statuses(
        text, (struct config_statuses *)((char *)section + key->field.offset));
}

/* Adds an exchange; NULL, or a sentence, and then the bytes are freed. */
static const char *add_exchange(const struct key *key, void *section,
                                const struct config_exchange *exchange)
{
    struct config_exchange *added = key_push(key, section);

    if (added == NULL) {
        free(exchange->send.bytes);
        free(exchange->expect.bytes);
        return setter_out_of_memory;
    }
    *added = *exchange;
    return NULL;
}

const char *health_value_send(const struct key *key, void *section,
                              const char *text, unsigned line)
{
    struct config_exchange exchange = {.line = line};
    const char *why = health_value_unescape(text, &exchange.send);

    return why != NULL ? why : add_exchange(key, section, &exchange);
}

const char *health_value_expect(const struct key *key, void *section,
                                const char *text, unsigned line)
{
    const struct config_service *service = section;
    struct config_exchange exchange = {.line = line};
    const char *why = health_value_unescape(text, &exchange.expect);

    if (why != NULL) {
        return why;
    }
    for (size_t i = 0; i < service->health_exchange_count; i++) {
        if (service->health_exchanges[i].expect.bytes == NULL) {
            service->health_exchanges[i].expect = exchange.expect;
            return NULL;
        }
    }
    return add_exchange(key, section, &exchange);
}
