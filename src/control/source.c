#include "control/source.h"

#include "base/log.h"
#include "config/load.h"

#include <stdio.h>
#include <string.h>

const char *source_name(const struct source *source)
{
    return source->path != NULL ? source->path : "command line";
}

struct config *source_load(const struct source *source,
                           struct config_errors *errors)
{
    if (source->path != NULL) {
        return load_file(source->path, errors);
    }
    return load_text(source->text, strlen(source->text), errors);
}

void source_format_error(const struct source *source,
                         const struct config_error *error, char *text,
                         size_t size)
{
    /* The user has not written the lines of a text made from options. */
    if (source->path == NULL || error->line == 0) {
        snprintf(text, size, "%s: %s", source_name(source), error->message);
    } else {
        snprintf(text, size, "%s:%u: %s", source->path, error->line,
                 error->message);
    }
}

void source_print_errors(const struct source *source,
                         const struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        char text[LOG_LINE_MAX];

        source_format_error(source, &errors->list[i], text, sizeof(text));
        log_write(LOG_ERROR, "%s", text);
    }
    if (errors->count == 0) {
        log_write(LOG_ERROR, "%s: out of memory", source_name(source));
    }
}

void source_print_warnings(const struct source *source,
                           const struct config *config)
{
    for (size_t i = 0; i < config->warnings.count; i++) {
        char text[LOG_LINE_MAX];

        source_format_error(source, &config->warnings.list[i], text,
                            sizeof(text));
        log_write(LOG_WARN, "%s", text);
    }
}

void source_print_failure(const struct source *source, const char *sentence,
                          unsigned line)
{
    const struct config_error error = {.line = line,
                                       .message = (char *)sentence};
    char text[LOG_LINE_MAX];

    if (line == 0) {
        log_write(LOG_ERROR, "evproxy: %s", sentence);
    } else {
        source_format_error(source, &error, text, sizeof(text));
        log_write(LOG_ERROR, "%s", text);
    }
}
