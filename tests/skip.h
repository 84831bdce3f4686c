/*
 * skip: ends a test as skipped, and says why. tests/run.sh shows the reason in
 * its last lines. Include cmocka.h before it.
 */
#ifndef EVPROXY_TESTS_SKIP_H
#define EVPROXY_TESTS_SKIP_H

/* The arguments are printf's; the reason has no newline. */
#define skip_because(...)                                                      \
    do {                                                                       \
        print_message("skipped: ");                                            \
        print_message(__VA_ARGS__);                                            \
        print_message("\n");                                                   \
        skip();                                                                \
    } while (0)

#endif
