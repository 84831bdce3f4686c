/*
 * command: one run of evproxy to its end, and what it wrote. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_COMMAND_H
#define EVPROXY_TESTS_E2E_COMMAND_H

#include <sys/resource.h>

struct command_result {
    int status; /* exit status, -1 if a signal ended it */
    char out[8192];
    char err[8192];
};

/* arguments: NULL-ended, from argv[0] on. The second form sets RLIMIT_NOFILE,
 * soft and hard; 0: ours. */
void command_run(struct command_result *result, const char *const *arguments);
void command_run_within(struct command_result *result, rlim_t descriptors,
                        const char *const *arguments);

/* Writes the configuration to a file of that name in the test's directory and
 * lets evproxy check it (-t). Answers the path, valid until the next file. */
const char *command_check(struct command_result *result, const char *name,
                          const char *config);

/* Checks a service at 127.0.0.1:81 with an upstream and these lines, of which
 * the first is line 4. evproxy must refuse it, with that text in its errors. */
void command_expect_error(const char *service, const char *error);

#endif
