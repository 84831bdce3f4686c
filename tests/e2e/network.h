/*
 * network: a network that belongs to this test program, whose settings it may
 * change. There is no way back: the test is the last of its program.
 */
#ifndef EVPROXY_TESTS_E2E_NETWORK_H
#define EVPROXY_TESTS_E2E_NETWORK_H

#include <stdbool.h>

/* False: the machine does not allow it. */
bool network_enter(void);

/* The machine has this IPv4 address too, from now on. */
void network_add_address(const char *ip);

/* The kernel's choice of local ports from now on: "20000 20015\n". */
void network_narrow_ports(const char *range);

#endif
