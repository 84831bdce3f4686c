#include "config/draft.h"

#include "config/array.h"
#include "config/key.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 63 /* of a service */

/* ---- errors ---- */

void draft_error(struct draft *draft, unsigned line, const char *format, ...)
{
    size_t found = draft->errors->count - draft->errors_before;
    char *message;
    va_list args;
    int length;

    draft->failed = true;
    if (found > CONFIG_ERRORS_MAX) {
        return;
    }
    if (found == CONFIG_ERRORS_MAX) {
        line = 0;
        format = "there are more errors, which are not shown";
    }
    va_start(args, format);
    length = vasprintf(&message, format, args);
    va_end(args);
    if (length >= 0) {
        config_errors_add(draft->errors, line, "%s", message);
        free(message);
    }
}

/* ---- sections ---- */

static struct config_service *last_service(struct draft *draft)
{
    return &draft->config->services[draft->config->service_count - 1];
}

/* What stands between the kind of a section and its name. */
static const char *gap(const char *name)
{
    return *name == '\0' ? "" : " ";
}

static unsigned *seen_line(struct draft_seen *seen, const struct key *key)
{
    return &seen->line[key - key_table];
}

static void begin_global(struct draft *draft, unsigned line, const char *name)
{
    draft->place = DRAFT_LOST;
    if (*name != '\0') {
        draft_error(draft, line, "[global] takes no name, but has '%.64s'",
                    name);
    } else if (draft->global_line != 0) {
        draft_error(draft, line, "[global] stands in line %u already",
                    draft->global_line);
    } else {
        draft->place = DRAFT_GLOBAL;
        draft->global_line = line;
    }
}

static void check_service_name(struct draft *draft, unsigned line,
                               const char *name)
{
    static const char messages[] = "abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

    if (*name == '\0') {
        draft_error(draft, line, "[service] needs a name: [service NAME]");
    } else if (name[strspn(name, messages)] != '\0') {
        draft_error(draft, line,
                    "service name '%.64s' has more than messages, digits, '.', "
                    "'_' and '-'",
                    name);
    } else if (strlen(name) > NAME_BYTES_MAX) {
        draft_error(draft, line,
                    "service name '%.64s...' is longer than %d bytes", name,
                    NAME_BYTES_MAX);
    }
}

/* Adds a service with all its defaults, and the place for its keys' lines. */
static int add_service(struct draft *draft, unsigned line, const char *name)
{
    struct config *config = draft->config;
    struct config_service *service;
    struct draft_seen *seen;
    char *copy = strdup(name);

    if (copy == NULL) {
        return -1;
    }
    seen = array_push(&draft->services, &draft->service_count, sizeof(*seen));
    if (seen == NULL) {
        goto free_copy;
    }
    service =
        array_push(&config->services, &config->service_count, sizeof(*service));
    if (service == NULL) {
        goto drop_seen;
    }
    service->name = copy;
    service->line = line;
    return key_set_defaults(KEY_SERVICE, service) == NULL ? 0 : -1;
drop_seen:
    draft->service_count--;
free_copy:
    free(copy);
    return -1;
}

static void begin_service(struct draft *draft, unsigned line, const char *name)
{
    check_service_name(draft, line, name);
    draft->place = DRAFT_SERVICE;
    if (add_service(draft, line, name) != 0) {
        draft->place = DRAFT_LOST;
        draft->lost = true;
        draft_error(draft, line, "out of memory");
    }
}

static void begin_section(struct draft *draft, unsigned line, const char *kind,
                          const char *name)
{
    if (strcmp(kind, "global") == 0) {
        begin_global(draft, line, name);
        return;
    }
    if (strcmp(kind, "service") == 0) {
        begin_service(draft, line, name);
        return;
    }
    draft->place = DRAFT_LOST;
    draft->lost = true;
    if (*kind != '\0') {
        draft_error(draft, line,
                    "unknown section '%.64s' (sections: [global], "
                    "[service NAME])",
                    kind);
    }
}

/* ---- pairs ---- */

static void complain_unknown(struct draft *draft, enum key_section section,
                             unsigned line, const char *name)
{
    enum key_section other = section == KEY_GLOBAL ? KEY_SERVICE : KEY_GLOBAL;
    const struct key *near = key_suggest(section, name);
    const char *of = section == KEY_SERVICE ? last_service(draft)->name : "";

    if (key_find(other, name) != NULL) {
        draft_error(draft, line, "key '%s' belongs in [%s], not in [%s%s%.64s]",
                    name, key_section_names[other], key_section_names[section],
                    gap(of), of);
    } else if (near != NULL) {
        draft_error(draft, line,
                    "unknown key '%s' in [%s%s%.64s]; did you mean '%s'?", name,
                    key_section_names[section], gap(of), of, near->name);
    } else {
        draft_error(draft, line, "unknown key '%.64s' in [%s%s%.64s]", name,
                    key_section_names[section], gap(of), of);
    }
}

static void set_key(struct draft *draft, const struct key *key, void *fields,
                    unsigned line, const char *value)
{
    const char *why = NULL;

    if (*value == '\0') {
        draft_error(draft, line, "%s has no value", key->name);
    } else if (key->set != NULL) {
        why = key->set(key, fields, value, line);
    } else if (key->default_taken && strcmp(value, key->default_text) == 0) {
        return;
    } else if (key->lack != NULL) {
        why = key->lack;
    } else {
        draft_error(draft, line, "%s is not available in this build",
                    key->name);
    }
    if (why != NULL) {
        draft_error(draft, line, "%s: %s", key->name, why);
    }
}

static void take_pair(struct draft *draft, enum key_section section,
                      unsigned line, const char *name, const char *value)
{
    bool global = section == KEY_GLOBAL;
    struct draft_seen *seen =
        global ? &draft->global : &draft->services[draft->service_count - 1];
    void *fields = global ? (void *)draft->config : last_service(draft);
    const struct key *key = key_find(section, name);
    unsigned *first;

    if (key == NULL) {
        complain_unknown(draft, section, line, name);
        return;
    }
    first = seen_line(seen, key);
    if (*first != 0 && !key->repeatable) {
        draft_error(draft, line, "%s = %.64s: %s stands in line %u already",
                    name, value, name, *first);
        return;
    }
    *first = line;
    set_key(draft, key, fields, line, value);
}

void draft_take(void *arg, enum ini_event event, unsigned line,
                const char *name, const char *value)
{
    struct draft *draft = arg;

    if (event == INI_ERROR) {
        draft_error(draft, line, "%s", value);
    } else if (event == INI_SECTION) {
        begin_section(draft, line, name, value);
    } else if (draft->place == DRAFT_GLOBAL) {
        take_pair(draft, KEY_GLOBAL, line, name, value);
    } else if (draft->place == DRAFT_SERVICE) {
        take_pair(draft, KEY_SERVICE, line, name, value);
    } else if (draft->place == DRAFT_NONE) {
        draft_error(draft, line, "key '%.64s' stands before any section", name);
    }
}

unsigned draft_global_line(const struct draft *draft, const char *name)
{
    return draft->global.line[key_find(KEY_GLOBAL, name) - key_table];
}

unsigned draft_service_line(const struct draft *draft, size_t service,
                            const char *name)
{
    const struct draft_seen *seen = &draft->services[service];

    return seen->line[key_find(KEY_SERVICE, name) - key_table];
}
