#include "config/load.h"

#include "base/file.h"
#include "config/check.h"
#include "config/draft.h"
#include "config/hint.h"
#include "config/ini.h"
#include "config/rules.h"

#include <stdlib.h>

_Static_assert(INI_BYTES_MAX % (1 << 20) == 0, "whole MiB");

struct config *load_text(const char *text, size_t count,
                         struct config_errors *errors)
{
    size_t errors_before = errors->count;
    unsigned line = 0;
    const char *other = hint_syntax(text, count, &line);
    struct draft draft;

    if (other != NULL) { /* instead of an error for each of its lines */
        config_errors_add(errors, line, "%s", other);
        return NULL;
    }
    if (draft_init(&draft, errors) == 0) {
        ini_parse(text, count, draft_event, &draft);
        check_whole(&draft);
        rules_build(&draft);
        draft_complete(&draft);
    }
    config_errors_sort(errors, errors_before);
    return draft_finish(&draft);
}

struct config *load_file(const char *path, struct config_errors *errors)
{
    struct config *config = NULL;
    const char *why;
    size_t count;
    char *text = file_read(path, INI_BYTES_MAX >> 20, &count, &why);

    if (text == NULL) {
        config_errors_add(errors, 0, "%s", why);
    } else {
        config = load_text(text, count, errors);
    }
    free(text);
    return config;
}
