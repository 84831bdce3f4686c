#include "test.h"

#include <stdlib.h>
#include <string.h>

bool test_slow(void)
{
    const char *slow = getenv("EVPROXY_TEST_SLOW");

    return slow != NULL && slow[0] != '\0' && strcmp(slow, "0") != 0;
}
