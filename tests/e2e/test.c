#include "test.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static bool is_set(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

bool test_slow(void)
{
    return is_set("EVPROXY_TEST_SLOW");
}

bool test_long(void)
{
    return is_set("EVPROXY_TEST_LONG");
}

/* The soft limit is 1024 where nothing has raised it. */
__attribute__((constructor)) static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void test_need_descriptors(unsigned long count)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < count) {
        skip_because("%lu descriptors are needed", count);
    }
}

void test_need_localhost(void)
{
    struct addrinfo *known = NULL;

    if (getaddrinfo("localhost", NULL, NULL, &known) != 0) {
        skip_because("localhost does not resolve here");
    }
    freeaddrinfo(known);
}
