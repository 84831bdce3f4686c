/*
 * srv: a service "web" whose upstreams are in SRV records. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_SRV_H
#define EVPROXY_TESTS_E2E_SRV_H

#include "pair.h"

#define SRV_LINE      "upstream = srv:_web._tcp.example"
#define SRV_INTERVAL  "resolve_interval = 100ms\n"
#define SRV_UPSTREAMS 3

struct srv {
    struct loopback front;
    struct loopback back[SRV_UPSTREAMS]; /* 127.1.0.1, 127.1.0.2, ... */
    int listener[SRV_UPSTREAMS];
    struct proxy *proxy;
};

/* Opens the listeners. */
void srv_bind(struct srv *scene);

/* Starts the proxy, with lines of the service. */
void srv_start(struct srv *scene, const char *service);

/* The record of that upstream, with the target "at-127-1-0-N.example". The text
 * is valid until 8 more are made. */
const char *srv_text(const struct srv *scene, int number,
                     const char *priority_and_weight);

/* Makes the name server answer with these records; "": none. */
void srv_answer(const char *one, const char *two, const char *three);

/* A connection that reaches the upstream of that number. */
struct pair srv_connect(const struct srv *scene, int number);

/* Whether the statistics have the upstream of that number. */
bool srv_listed(const struct srv *scene, int number);

#endif
