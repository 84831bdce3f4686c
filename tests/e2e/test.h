/*
 * test: cmocka with the headers that must come before it, and whether this run
 * is a slow one.
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

#endif
