#include "test.h"

#include "../setting.h"

#include <netdb.h>
#include <sys/resource.h>

bool test_slow(void)
{
    return setting_is_on("EVPROXY_TEST_SLOW");
}

bool test_long(void)
{
    return setting_is_on("EVPROXY_TEST_LONG");
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
