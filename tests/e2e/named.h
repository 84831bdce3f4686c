/*
 * named: a service "web" whose upstream is a name. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_NAMED_H
#define EVPROXY_TESTS_E2E_NAMED_H

#include "pair.h"

#define NAMED_INTERVAL "resolve_interval = 100ms\n"

/* For `evproxy -t`: three lines of a service without a name, which another
 * upstream may follow. */
#define NAMED_CHECKED                                                          \
    "[service web]\nlisten = 127.0.0.1:81\nupstream = 127.0.0.1:80\n"

struct named {
    struct loopback front;
    struct loopback back[2]; /* 127.1.0.1 and 127.1.0.2, with one port */
    int listener[2];
    struct proxy *proxy;
};

/* Starts a proxy with the upstream up.example, and further lines. */
void named_open(struct named *scene, const char *service);

/* A connection that reaches the upstream of that number. */
struct pair named_connect(const struct named *scene, int number);

#endif
