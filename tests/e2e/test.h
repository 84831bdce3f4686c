/*
 * test: cmocka with the headers that must come before it, whether this run is a
 * slow one, and what the system has.
 */
#ifndef EVPROXY_TESTS_E2E_TEST_H
#define EVPROXY_TESTS_E2E_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../skip.h"

/*
 * True under a sanitizer, valgrind or an emulator, by EVPROXY_TEST_SLOW=1. A
 * slow run does fewer rounds, waits longer and compares no figures of time or
 * memory. Any thread.
 */
bool test_slow(void);

/* By EVPROXY_TEST_LONG=1: more rounds of what is random. Any thread. */
bool test_long(void);

/* Skip the test where the system lacks what it needs: as many descriptors (the
 * soft limit is raised to the hard one before main), or a name for the loopback
 * address, which a bare system without /etc/hosts has not. */
void test_need_descriptors(unsigned long count);
void test_need_localhost(void);

#endif
