/*
 * draft: a configuration under construction. Pure.
 *
 * It takes the sections and pairs of a text one by one, sets the fields of a
 * snapshot by the key table, and remembers the lines of the keys for the checks
 * of the whole in config/check.h. It goes on after an error, so that all errors
 * of a text are found at once.
 */
#ifndef EVPROXY_CONFIG_DRAFT_H
#define EVPROXY_CONFIG_DRAFT_H

#include "base/base.h"
#include "config/errors.h"
#include "config/ini.h"
#include "config/key_table.h"
#include "config/snapshot.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the next pair belongs. */
enum draft_section {
    DRAFT_NONE,    /* before any section */
    DRAFT_REFUSED, /* in a section with an error: its pairs are ignored */
    DRAFT_GLOBAL,
    DRAFT_SERVICE, /* the last one */
};

/* The line that sets each key of a section, 0 for none; of a repeatable key,
 * the last one. */
struct draft_lines {
    unsigned of[KEY_TABLE_MAX]; /* by the row of key_table */
};

struct draft {
    struct config *config;
    struct draft_lines *service_lines; /* one for each of config->services */
    size_t service_count;
    struct draft_lines global_lines;
    unsigned global_line; /* of [global]; 0: none yet */
    enum draft_section section;
    bool section_refused; /* at least one, which may have been a service */
    struct config_errors *errors;
    size_t errors_before; /* in errors when the draft began */
    bool failed;
};

/* Begins with all defaults. -1: out of memory, and an error is added. Call
 * draft_finish in either case. */
int draft_init(struct draft *draft, struct config_errors *errors) WARN_UNUSED;

/* An ini_fn, with the draft as arg. */
void draft_event(void *arg, enum ini_event event, unsigned line,
                 const char *name, const char *value);

/* Adds an error, printf-like, up to CONFIG_ERRORS_MAX of them; line 0: none. */
void draft_error(struct draft *draft, unsigned line, const char *format, ...)
    PRINTF(3, 4);

/* Sets the values that depend on other keys, and the lines of keys, after the
 * last event. */
void draft_complete(struct draft *draft);

/* Ends the draft. Returns its snapshot, or NULL if there was any error. */
struct config *draft_finish(struct draft *draft) WARN_UNUSED;

/* The line that sets the key in [global], or in the service of that number; 0:
 * none does. The key exists. */
unsigned draft_global_line(const struct draft *draft, const char *name);
unsigned draft_service_line(const struct draft *draft, size_t service,
                            const char *name);

#endif
