/*
 * draft: a configuration under construction. Pure.
 *
 * It takes the sections and pairs of a text one by one, sets the fields of a
 * snapshot by the key table, and keeps the lines in which keys stand, for the
 * checks of the whole in config/check.h. A complaint does not end it: all
 * errors of a text are found at once.
 *
 * The caller makes it by hand, with config, errors and errors_before, owns the
 * snapshot in it, and frees services.
 */
#ifndef EVPROXY_CONFIG_DRAFT_H
#define EVPROXY_CONFIG_DRAFT_H

#include "base/base.h"
#include "config/config.h"
#include "config/ini.h"
#include "config/key.h"

#include <stdbool.h>
#include <stddef.h>

/* Where the next pair belongs. */
enum draft_place {
    DRAFT_NONE, /* before any section */
    DRAFT_LOST, /* in a section that was refused: its pairs are passed over */
    DRAFT_GLOBAL,
    DRAFT_SERVICE,
};

/* The lines in which the keys of one section stand, 0 for none; of a key that
 * is repeated, the last. */
struct draft_seen {
    unsigned line[KEY_COUNT_MAX]; /* by the row of key_table */
};

struct draft {
    struct config *config;
    struct draft_seen *services; /* one for each of config->services */
    size_t service_count;
    struct draft_seen global;
    unsigned global_line; /* of [global], 0: none yet */
    enum draft_place place;
    bool lost; /* some section was refused: it may have been a service */
    struct config_errors *errors;
    size_t errors_before; /* that stood in errors already */
    bool failed;
};

/* Adds an error, printf-like, unless there are too many; line 0: none. */
void draft_error(struct draft *draft, unsigned line, const char *format, ...)
    PRINTF(3, 4);

/* An ini_fn, with the draft as arg. */
void draft_take(void *arg, enum ini_event event, unsigned line,
                const char *name, const char *value);

/* Where the key stands in [global], or in the service of that number; 0: it
 * does not. */
unsigned draft_global_line(const struct draft *draft, const char *name);
unsigned draft_service_line(const struct draft *draft, size_t service,
                            const char *name);

#endif
