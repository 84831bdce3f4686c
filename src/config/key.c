#include "config/key.h"

#include "config/array.h"
#include "config/snapshot.h"

#include <stdlib.h>
#include <string.h>

const char *key_section_name(enum key_section section)
{
    return section == KEY_GLOBAL ? "global" : "service";
}

/* The owned text of a value, or NULL if its type owns none. */
static char **owned_text(const struct key *key, void *value)
{
    switch (key->field.type) {
    case KEY_TEXT:
        return value;
    case KEY_FILE:
        return &((struct config_file *)value)->path;
    case KEY_RULE:
        return &((struct config_rule *)value)->path;
    default:
        return NULL;
    }
}

static void *field_of(const struct key *key, const void *section)
{
    return (char *)section + key->field.offset;
}

static bool text_equal(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool key_equal(const struct key *key, const void *a, const void *b)
{
    void *left = field_of(key, a);
    void *right = field_of(key, b);

    if (key->field.type == KEY_PLAIN) {
        return memcmp(left, right, key->field.width) == 0;
    }
    if (key->field.type == KEY_FILE && ((struct config_file *)left)->off !=
                                           ((struct config_file *)right)->off) {
        return false;
    }
    return text_equal(*owned_text(key, left), *owned_text(key, right));
}

int key_copy(const struct key *key, void *to, const void *from)
{
    void *value = field_of(key, to);
    void *source = field_of(key, from);
    char **owned = owned_text(key, source);
    char *copy = NULL;

    if (owned != NULL && *owned != NULL) {
        copy = strdup(*owned);
        if (copy == NULL) {
            return -1;
        }
    }
    key_clear(key, to);
    memcpy(value, source, key->field.width);
    if (owned != NULL) {
        *owned_text(key, value) = copy;
    }
    return 0;
}

static void clear_value(const struct key *key, void *value)
{
    char **owned = owned_text(key, value);

    if (owned != NULL) {
        free(*owned);
    }
    if (key->field.type == KEY_EXCHANGE) {
        free(((struct config_exchange *)value)->send.bytes);
        free(((struct config_exchange *)value)->expect.bytes);
    }
    memset(value, 0, key->field.width);
}

static size_t *count_of(const struct key *key, void *section)
{
    return (size_t *)((char *)section + key->field.count_offset);
}

void key_clear(const struct key *key, void *section)
{
    void *field = field_of(key, section);
    char **list = field;

    if (key->field.count_offset == 0) {
        clear_value(key, field);
        return;
    }
    for (size_t i = 0; i < *count_of(key, section); i++) {
        clear_value(key, *list + i * key->field.width);
    }
    free(*list);
    *list = NULL;
    *count_of(key, section) = 0;
}

void *key_push(const struct key *key, void *section)
{
    return array_push(field_of(key, section), count_of(key, section),
                      key->field.width);
}
