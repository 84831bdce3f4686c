/*
 * answerer: an upstream that is checked: it notes what it is asked, and answers
 * what the test says. Each connection gets one answer, and ends.
 */
#ifndef EVPROXY_TESTS_E2E_ANSWERER_H
#define EVPROXY_TESTS_E2E_ANSWERER_H

#include "loopback.h"
#include "server.h"

#include <pthread.h>
#include <stdatomic.h>

#define ANSWERER_PAUSE "\a" /* in an answer: it pauses for a moment */

struct answerer {
    const char *_Atomic answer; /* NULL: none, and the connection stays open */
    const char *end;   /* of a question; "": an answer without a question */
    _Atomic int reset; /* connections that ended otherwise than by a FIN */
    _Atomic int asked; /* questions that were answered */
    pthread_mutex_t lock;
    char question[4096]; /* the last one; under the lock */
};

#define ANSWERER_HTTP(text)                                                    \
    {                                                                          \
        .answer = (text), .end = "\r\n\r\n",                                   \
        .lock = PTHREAD_MUTEX_INITIALIZER,                                     \
    }
#define ANSWERER_OK   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define ANSWERER_DOWN "HTTP/1.1 503 Service Unavailable\r\n\r\n"

/* A server_fn; the argument is the answerer. */
void answerer_serve(int fd, const void *arg);

/* Waits until it was asked so many times more. */
void answerer_await(struct answerer *answerer, int times);

/* The last question. Valid until the next call. Main thread only. */
const char *answerer_question(struct answerer *answerer);

#endif
