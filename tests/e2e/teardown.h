/*
 * teardown: what a test leaves behind, failed or not, is gone before the next
 * one begins: processes, threads, servers and sockets.
 */
#ifndef EVPROXY_TESTS_E2E_TEARDOWN_H
#define EVPROXY_TESTS_E2E_TEARDOWN_H

#include "test.h"

/* A row of cmocka's table. */
#define E2E(test) cmocka_unit_test_teardown(test, teardown)

int teardown(void **state);

#endif
