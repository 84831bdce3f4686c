/*
 * http: requests to metrics_listen, and their answers. What goes wrong fails
 * the test. Main thread only.
 */
#ifndef EVPROXY_TESTS_E2E_HTTP_H
#define EVPROXY_TESTS_E2E_HTTP_H

#include "loopback.h"

#include <stddef.h>
#include <stdint.h>

struct http_reply {
    int status;
    char *head;   /* with the empty line */
    char *body;   /* without chunks; with a final zero */
    size_t count; /* of the body */
};

/* Sends the text and reads until the server closes; a reset fails. Answers a
 * reply that http_free frees. */
struct http_reply http_ask(const struct loopback *address, const char *text);

/* Reads the reply from a socket of the test, and closes it. */
struct http_reply http_read(int fd);

/* GET path, by HTTP/1.1. */
struct http_reply http_get(const struct loopback *address, const char *path);
void http_free(struct http_reply *reply);

/* The status of GET path. */
int http_status(const struct loopback *address, const char *path);

/* The value of a line "name{labels} value" of /metrics; -1: there is none. The
 * second form finds it in a body. */
double http_metric(const struct loopback *address, const char *series);
double http_metric_in(const char *body, const char *series);

#endif
