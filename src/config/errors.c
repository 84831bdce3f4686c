#include "config/errors.h"

#include "base/utf8.h"
#include "config/array.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void config_errors_add(struct config_errors *errors, unsigned line,
                       const char *format, ...)
{
    struct config_error *error;
    char *message;
    va_list args;
    int length;

    va_start(args, format);
    length = vasprintf(&message, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    utf8_clean(message, (size_t)length);
    error = array_push(&errors->list, &errors->count, sizeof(*error));
    if (error == NULL) {
        free(message);
        return;
    }
    *error = (struct config_error){.line = line, .message = message};
}

/* An insertion sort: it is stable, and the errors are few and nearly sorted. */
void config_errors_sort(struct config_errors *errors, size_t from)
{
    struct config_error *list = errors->list;

    for (size_t i = from + 1; i < errors->count; i++) {
        struct config_error moved = list[i];
        size_t j = i;

        /* The subtraction makes line 0 the greatest. */
        while (j > from && list[j - 1].line - 1 > moved.line - 1) {
            list[j] = list[j - 1];
            j--;
        }
        list[j] = moved;
    }
}

void config_errors_fini(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->list[i].message);
    }
    free(errors->list);
    *errors = (struct config_errors){0};
}
