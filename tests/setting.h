/*
 * setting: variables of the environment that change what the tests do. README
 * has them.
 */
#ifndef EVPROXY_TESTS_SETTING_H
#define EVPROXY_TESTS_SETTING_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Any value is on but none and "0". */
static inline bool setting_is_on(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

#endif
