#include "config/ini.h"

#include "base/utf8.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ini {
    ini_fn fn;
    void *arg;
    unsigned line;
};

static void emit(const struct ini *ini, enum ini_event event, const char *name,
                 const char *value)
{
    ini->fn(ini->arg, event, ini->line, name, value);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

char *ini_trim(char *text)
{
    size_t count;

    while (is_blank(*text)) {
        text++;
    }
    count = strlen(text);
    while (count > 0 && is_blank(text[count - 1])) {
        count--;
    }
    text[count] = '\0';
    return text;
}

/* Returns what is wrong with the bytes of the line, or NULL. */
static const char *check_bytes(const char *line, size_t count)
{
    uint32_t character;
    size_t length;

    for (size_t i = 0; i < count; i += length) {
        length = utf8_read(line + i, count - i, &character);
        if (length == 0) {
            return "the line is not valid UTF-8";
        }
        if (character == '\0') {
            return "the line has a NUL byte";
        }
        if ((character < 0x20 && character != '\t') || character == 0x7f) {
            return "the line has a control byte";
        }
    }
    return NULL;
}

static void cut_comment(char *line)
{
    for (char *at = line; *at != '\0'; at++) {
        if ((*at == '#' || *at == ';') && (at == line || is_blank(at[-1]))) {
            *at = '\0';
            return;
        }
    }
}

/* The pairs that follow belong to an unknown section. */
static void refuse_section(const struct ini *ini, const char *why)
{
    emit(ini, INI_ERROR, "", why);
    emit(ini, INI_SECTION, "", "");
}

/* The line starts with '['. What stands between the brackets has no comment:
 * '#' and ';' may be part of a name. */
static void parse_section(const struct ini *ini, char *line)
{
    char *end = strchr(line, ']');
    char *kind;
    char *name;

    if (end == NULL) {
        refuse_section(ini, "']' is missing at the end of the section's line");
        return;
    }
    cut_comment(end);
    if (*ini_trim(end + 1) != '\0') {
        refuse_section(ini, "there is text after the ']' of the section");
        return;
    }
    *end = '\0';
    kind = ini_trim(line + 1);
    name = kind + strcspn(kind, " \t");
    if (kind == name) {
        refuse_section(ini, "there is nothing between '[' and ']'");
        return;
    }
    if (*name != '\0') {
        *name++ = '\0';
    }
    emit(ini, INI_SECTION, kind, ini_trim(name));
}

static void parse_pair(const struct ini *ini, char *line)
{
    char *equals = strchr(line, '=');
    char why[128];

    if (equals == NULL) {
        snprintf(why, sizeof(why), "'=' is missing in '%.64s'", line);
        emit(ini, INI_ERROR, "", why);
        return;
    }
    if (equals == line) {
        emit(ini, INI_ERROR, "", "there is no key before '='");
        return;
    }
    *equals = '\0';
    emit(ini, INI_PAIR, ini_trim(line), ini_trim(equals + 1));
}

/* line[count] is a zero. */
static void parse_line(const struct ini *ini, char *line, size_t count)
{
    const char *why;

    if (count > 0 && line[count - 1] == '\r') {
        line[--count] = '\0';
    }
    why = check_bytes(line, count);
    if (why != NULL && line[strspn(line, " \t")] == '[') {
        refuse_section(ini, why);
        return;
    }
    if (why != NULL) {
        emit(ini, INI_ERROR, "", why);
        return;
    }
    line = ini_trim(line);
    if (*line == '[') {
        parse_section(ini, line);
        return;
    }
    cut_comment(line);
    line = ini_trim(line);
    if (*line != '\0') {
        parse_pair(ini, line);
    }
}

/* text[count] is a zero. Each newline becomes one as its line is parsed. */
static void parse_lines(struct ini *ini, char *text, size_t count)
{
    char *end = text + count;
    char *stop;

    for (char *line = text; line < end; line = stop + 1) {
        stop = memchr(line, '\n', (size_t)(end - line));
        if (stop == NULL) {
            stop = end;
        }
        *stop = '\0';
        ini->line++;
        parse_line(ini, line, (size_t)(stop - line));
    }
}

/* Some editors put a byte order mark before UTF-8. */
static size_t mark_length(const char *text, size_t count)
{
    return count >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

void ini_parse(const char *text, size_t count, ini_fn fn, void *arg)
{
    struct ini ini = {.fn = fn, .arg = arg};
    size_t skip;
    char *copy;

    if (count > INI_BYTES_MAX) {
        emit(&ini, INI_ERROR, "", "it is larger than 1 MiB");
        return;
    }
    copy = malloc(count + 1);
    if (copy == NULL) {
        emit(&ini, INI_ERROR, "", "out of memory");
        return;
    }
    if (count > 0) {
        memcpy(copy, text, count);
    }
    copy[count] = '\0';
    skip = mark_length(copy, count);
    parse_lines(&ini, copy + skip, count - skip);
    free(copy);
}
