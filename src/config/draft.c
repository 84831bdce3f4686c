#include "config/draft.h"

#include "base/utf8.h"
#include "base/value.h"
#include "config/array.h"
#include "config/config.h"
#include "config/hint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- beginning and end ---- */

int draft_init(struct draft *draft, struct config_errors *errors)
{
    *draft = (struct draft){.errors = errors, .errors_before = errors->count};
    draft->config = calloc(1, sizeof(*draft->config));
    if (draft->config == NULL ||
        key_table_set_defaults(KEY_GLOBAL, draft->config) != NULL) {
        draft_error(draft, 0, "out of memory");
        return -1;
    }
    return 0;
}

static void set_udp_defaults(struct draft *draft, size_t index)
{
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];
        const char *why;

        if (key->udp_default == NULL ||
            draft->service_lines[index].of[i] != 0) {
            continue;
        }
        why =
            key->set(key, &draft->config->services[index], key->udp_default, 0);
        if (why != NULL) {
            draft_error(draft, 0, "%s: %s", key->name, why);
        }
    }
}

void draft_complete(struct draft *draft)
{
    struct config *config = draft->config;

    config->max_connections_line = draft_global_line(draft, "max_connections");
    config->user_line = draft_global_line(draft, "user");
    config->group_line = draft_global_line(draft, "group");
    config->buffer_memory_line = draft_global_line(draft, "buffer_memory");
    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == CONFIG_UDP) {
            set_udp_defaults(draft, i);
        }
        if (draft_service_line(draft, i, "access_log") == 0) {
            config->services[i].access_log = config->access_log;
        }
        if (draft_service_line(draft, i, "health_tls") == 0) {
            config->services[i].health_tls = config->services[i].upstream_tls;
        }
    }
}

struct config *draft_finish(struct draft *draft)
{
    free(draft->service_lines);
    if (draft->failed) {
        config_destroy(draft->config);
        return NULL;
    }
    return draft->config;
}

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

static void begin_global(struct draft *draft, unsigned line, const char *name)
{
    draft->section = DRAFT_REFUSED;
    if (*name != '\0') {
        draft_error(draft, line, "[global] takes no name, but has '%.64s'",
                    name);
    } else if (draft->global_line != 0) {
        draft_error(draft, line, "[global] is already in line %u",
                    draft->global_line);
    } else {
        draft->section = DRAFT_GLOBAL;
        draft->global_line = line;
    }
}

static bool has_control(const char *name)
{
    size_t left = strlen(name);
    uint32_t character;
    size_t length;

    for (; left > 0; name += length, left -= length) {
        length = utf8_read(name, left, &character);
        if (length == 0 || utf8_is_control(character)) {
            return true;
        }
    }
    return false;
}

static void check_service_name(struct draft *draft, unsigned line,
                               const char *name)
{
    if (*name == '\0') {
        draft_error(draft, line, "[service] needs a name: [service NAME]");
    } else if (strlen(name) >= CONFIG_NAME_MAX) {
        draft_error(draft, line,
                    "service name '%.64s...' is longer than %d bytes", name,
                    CONFIG_NAME_MAX - 1);
    } else if (has_control(name)) {
        draft_error(draft, line, "service name '%s' has a control character",
                    name);
    }
}

/* Adds a service with all its defaults, and room for the lines of its keys. */
static int add_service(struct draft *draft, unsigned line, const char *name)
{
    struct config *config = draft->config;
    struct config_service *service;
    struct draft_lines *lines;
    char *copy = strdup(name);

    if (copy == NULL) {
        return -1;
    }
    lines = array_push(&draft->service_lines, &draft->service_count,
                       sizeof(*lines));
    if (lines == NULL) {
        goto free_copy;
    }
    service =
        array_push(&config->services, &config->service_count, sizeof(*service));
    if (service == NULL) {
        goto drop_lines;
    }
    service->name = copy;
    service->line = line;
    return key_table_set_defaults(KEY_SERVICE, service) == NULL ? 0 : -1;
drop_lines:
    draft->service_count--;
free_copy:
    free(copy);
    return -1;
}

static void begin_service(struct draft *draft, unsigned line, const char *name)
{
    check_service_name(draft, line, name);
    draft->section = DRAFT_SERVICE;
    if (add_service(draft, line, name) != 0) {
        draft->section = DRAFT_REFUSED;
        draft->section_refused = true;
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
    draft->section = DRAFT_REFUSED;
    draft->section_refused = true;
    if (*kind != '\0') {
        draft_error(draft, line,
                    "unknown section '%.64s' (sections: [global], "
                    "[service NAME])",
                    kind);
    }
}

/* ---- pairs ---- */

static void report_unknown(struct draft *draft, enum key_section section,
                           unsigned line, const char *name)
{
    enum key_section other = section == KEY_GLOBAL ? KEY_SERVICE : KEY_GLOBAL;
    const struct key *similar = key_table_suggest(section, name);
    const char *ours = hint_key(name);
    const char *kind = key_section_name(section);
    const char *of = section == KEY_SERVICE ? last_service(draft)->name : "";
    const char *space = *of == '\0' ? "" : " ";

    if (key_table_find(other, name) != NULL) {
        draft_error(draft, line,
                    "key '%s' belongs in [%s], not in [%s%s%.128s]", name,
                    key_section_name(other), kind, space, of);
    } else if (ours != NULL) {
        draft_error(draft, line,
                    "unknown key '%s' in [%s%s%.128s]; here it is "
                    "'%s'",
                    name, kind, space, of, ours);
    } else if (similar != NULL) {
        draft_error(draft, line,
                    "unknown key '%s' in [%s%s%.128s]; did you mean '%s'?",
                    name, kind, space, of, similar->name);
    } else {
        draft_error(draft, line, "unknown key '%.64s' in [%s%s%.128s]", name,
                    kind, space, of);
    }
}

static void report_slip(struct draft *draft, const struct key *key,
                        unsigned line, const char *value, const char *slip)
{
    draft_error(draft, line, "%s: '%.64s': %s", key->name, value, slip);
}

/* The setter has refused it, and says why. */
static void report_value(struct draft *draft, const struct key *key,
                         unsigned line, const char *value, const char *why)
{
    const char *meant = hint_meant(key, value);
    const char *slip;

    if (meant != NULL) {
        draft_error(draft, line, "%s: %s; did you mean '%s'?", key->name, why,
                    meant);
    } else if ((slip = hint_slip(key, value)) != NULL) {
        report_slip(draft, key, line, value, slip);
    } else {
        draft_error(draft, line, "%s: %s", key->name, why);
    }
}

/* Whether a build that lacks the key takes the value. */
static bool is_default(const struct key *key, const char *value)
{
    bool wanted, ours;

    return key->default_taken &&
           (strcmp(value, key->default_text) == 0 ||
            (value_bool(key->default_text, &ours) == NULL &&
             value_bool(value, &wanted) == NULL && wanted == ours));
}

static void set_value(struct draft *draft, const struct key *key, void *fields,
                      unsigned line, const char *value)
{
    const char *why = NULL;
    const char *refusal = hint_refusal(key, value);

    if (*value == '\0') {
        draft_error(draft, line, "%s has no value", key->name);
    } else if (refusal != NULL) {
        report_slip(draft, key, line, value, refusal);
    } else if (key->set != NULL) {
        why = key->set(key, fields, value, line);
    } else if (is_default(key, value)) {
        return;
    } else if (key->lack != NULL) {
        why = key->lack;
    } else {
        draft_error(draft, line, "%s is not available in this build",
                    key->name);
    }
    if (why != NULL) {
        report_value(draft, key, line, value, why);
    } else if ((why = hint_doubt(key, value)) != NULL) {
        config_errors_add(&draft->config->warnings, line, "warning: %s", why);
    }
}

static void add_pair(struct draft *draft, enum key_section section,
                     unsigned line, const char *name, const char *value)
{
    bool global = section == KEY_GLOBAL;
    struct draft_lines *lines =
        global ? &draft->global_lines
               : &draft->service_lines[draft->service_count - 1];
    void *fields = global ? (void *)draft->config : last_service(draft);
    const struct key *key = key_table_find(section, name);
    unsigned *set_in;

    if (key == NULL) {
        report_unknown(draft, section, line, name);
        return;
    }
    set_in = &lines->of[key - key_table];
    if (*set_in != 0 && !key->repeatable) {
        draft_error(draft, line, "%s = %.64s: %s is already set in line %u",
                    name, value, name, *set_in);
        return;
    }
    *set_in = line;
    set_value(draft, key, fields, line, value);
}

void draft_event(void *arg, enum ini_event event, unsigned line,
                 const char *name, const char *value)
{
    struct draft *draft = arg;

    if (event == INI_ERROR) {
        draft_error(draft, line, "%s", value);
    } else if (event == INI_SECTION) {
        begin_section(draft, line, name, value);
    } else if (draft->section == DRAFT_GLOBAL) {
        add_pair(draft, KEY_GLOBAL, line, name, value);
    } else if (draft->section == DRAFT_SERVICE) {
        add_pair(draft, KEY_SERVICE, line, name, value);
    } else if (draft->section == DRAFT_NONE) {
        draft_error(draft, line, "key '%.64s' is before any section", name);
    }
}

unsigned draft_global_line(const struct draft *draft, const char *name)
{
    return draft->global_lines.of[key_table_find(KEY_GLOBAL, name) - key_table];
}

unsigned draft_service_line(const struct draft *draft, size_t service,
                            const char *name)
{
    const struct key *key = key_table_find(KEY_SERVICE, name);

    return draft->service_lines[service].of[key - key_table];
}
