/*
 * check_docs: the sample file has every configuration key, in its section and
 * with its default, and each of the other documents mentions every key.
 *
 *   check_docs SAMPLE DOCUMENT...
 *
 * In the sample a key is set to its default. A key that has no default, or that
 * some builds lack, is a comment ("# key = ..."). The sample has no other keys.
 */
#include "config/config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void report(const char *file, const struct config_key_info *key,
                   const char *what)
{
    fprintf(stderr, "%s: '%s' of [%s] %s\n", file, key->name, key->section,
            what);
    failures++;
}

/* The whole file; free() it. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    ssize_t got = -1;

    if (file != NULL) {
        got = getdelim(&text, &size, '\0', file);
        fclose(file);
    }
    if (got < 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    return text;
}

/* ---- names in a text ---- */

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool has_word(const char *text, const char *word)
{
    size_t length = strlen(word);

    for (const char *at = strstr(text, word); at != NULL;
         at = strstr(at + 1, word)) {
        if ((at == text || !is_word(at[-1])) && !is_word(at[length])) {
            return true;
        }
    }
    return false;
}

static void check_document(const char *path)
{
    struct config_key_info key;
    char *text = read_text(path);

    for (size_t i = 0; config_key(i, &key); i++) {
        if (!has_word(text, key.name)) {
            report(path, &key, "is not mentioned");
        }
    }
    free(text);
}

/* ---- lines of the sample ---- */

/* A line "key = value" or "# key = value". */
struct line {
    char section[16];
    char key[64];
    char value[128];
    bool comment;
};

static bool read_line(const char *text, struct line *line)
{
    int used = 0;

    if (sscanf(text, "[%15[a-z]", line->section) == 1) {
        return false;
    }
    line->comment = strncmp(text, "# ", 2) == 0;
    text += line->comment ? 2 : 0;
    line->value[0] = '\0';
    sscanf(text, "%63[a-z0-9_] = %n%127[^\n]", line->key, &used, line->value);
    return used > 0;
}

static bool same_key(const struct line *line, const struct config_key_info *key)
{
    return strcmp(line->section, key->section) == 0 &&
           strcmp(line->key, key->name) == 0;
}

/* What is wrong with the line of the key, or NULL. */
static const char *check_line(const struct line *line,
                              const struct config_key_info *key)
{
    bool valued = key->default_text[0] != '\0';
    bool everywhere = key->available && !key->optional;

    if (line->comment && everywhere && (valued || key->required)) {
        return "is a comment";
    }
    if (!line->comment && !everywhere) {
        return "is set, but some builds lack it";
    }
    if (!line->comment && !valued && !key->required) {
        return "is set, but has no default";
    }
    if (valued && strcmp(line->value, key->default_text) != 0) {
        return "has another default";
    }
    return NULL;
}

/* Calls visit for each line of the sample until it returns true. */
typedef bool (*line_fn)(const struct line *line, const void *arg);

static bool each_line(const char *text, line_fn visit, const void *arg)
{
    struct line line = {.section = ""};

    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (read_line(at, &line) && visit(&line, arg)) {
            return true;
        }
    }
    return false;
}

struct wanted {
    const char *file;
    const struct config_key_info *key;
};

static bool visit_wanted(const struct line *line, const void *arg)
{
    const struct wanted *wanted = arg;
    const char *why;

    if (!same_key(line, wanted->key)) {
        return false;
    }
    why = check_line(line, wanted->key);
    if (why != NULL) {
        report(wanted->file, wanted->key, why);
    }
    return true;
}

static bool visit_known(const struct line *line, const void *arg)
{
    struct config_key_info key;

    for (size_t i = 0; config_key(i, &key); i++) {
        if (same_key(line, &key)) {
            return false;
        }
    }
    key = (struct config_key_info){.section = line->section, .name = line->key};
    report(arg, &key, "is not a key");
    return false;
}

static void check_sample(const char *path)
{
    struct config_key_info key;
    char *text = read_text(path);

    for (size_t i = 0; config_key(i, &key); i++) {
        struct wanted wanted = {.file = path, .key = &key};

        if (!each_line(text, visit_wanted, &wanted)) {
            report(path, &key, "is missing");
        }
    }
    each_line(text, visit_known, path);
    free(text);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs("usage: check_docs SAMPLE DOCUMENT...\n", stderr);
        return 2;
    }
    check_sample(argv[1]);
    for (int i = 2; i < argc; i++) {
        check_document(argv[i]);
    }
    return failures > 0;
}
