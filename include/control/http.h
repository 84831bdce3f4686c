/*
 * http: what metrics_listen serves: metrics, health, and the status page with
 * its data. It has the server, takes samples for it, and keeps the histories
 * that the page draws. Control thread, in its loop.
 */
#ifndef EVPROXY_CONTROL_HTTP_H
#define EVPROXY_CONTROL_HTTP_H

#include "control/http_server.h"
#include "control/sampler.h"
#include "service/history.h"

#include <stdbool.h>

struct http {
    struct http_server server;
    struct sampler sampler;
    struct sample_facts facts; /* the daemon keeps them up to date */
    const bool *stuck; /* whether a worker's loop has not come round lately */

    struct history history; /* of the process */
    struct wheel_timer history_timer;
    struct sample *history_sample; /* NULL: none is due */
};

/* Of a struct of zeros. kind: of its events and timers in the loop; queue: of
 * its runnable links. What is given must live until http_fini. */
void http_init(struct http *http, struct loop *loop, unsigned kind,
               unsigned queue, struct generations *generations,
               const struct workers *workers, const bool *stuck);

/* Before the generations are freed. Harmless if it is done already. */
void http_fini(struct http *http);

/* As the server's. The configuration is what is to come. */
const char *http_prepare(struct http *http, const struct config *config,
                         const struct listeners_origin *origin) WARN_UNUSED;
void http_commit(struct http *http);
void http_abandon(struct http *http);

/* The loop's handlers. */
void http_event(struct http *http, uint32_t index, uint32_t instance,
                uint32_t events);
void http_timer(struct http *http, struct wheel_timer *timer);
void http_run(struct http *http, struct list *link);

#endif
