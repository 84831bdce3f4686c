/*
 * http_client: one client of the HTTP server: its socket, its request, and what
 * is sent of its answer. Control thread. How long it may take, and how many
 * there are, is known by control/http_server.h.
 *
 *      READING ─▶ WRITING ─▶ LINGERING ─▶ over
 *
 * In LINGERING the answer is sent, with a FIN, and what the client still sends
 * is thrown away until it closes: a socket that is closed with unread bytes is
 * reset, which could cost the client its answer.
 */
#ifndef EVPROXY_CONTROL_HTTP_CLIENT_H
#define EVPROXY_CONTROL_HTTP_CLIENT_H

#include "base/text.h"
#include "control/http_answer.h"
#include "net/sock.h"
#include "wire/http_request.h"

#include <stdbool.h>
#include <stddef.h>

/* Fills in the answer to a request. */
typedef void (*http_handle_fn)(void *arg, const struct http_request *request,
                               struct http_answer *answer);

enum http_client_state { HTTP_READING, HTTP_WRITING, HTTP_LINGERING };

enum http_client_step {
    HTTP_CLIENT_MOVED, /* bytes have moved; there may be more to do at once */
    HTTP_CLIENT_WAITS, /* for an event, or for http_server_wake */
    HTTP_CLIENT_OVER,  /* to be closed by http_client_close */
};

struct http_client {
    struct sock sock; /* fd -1: there is no client */
    enum http_client_state state;
    struct http_request request;
    struct http_answer answer;
    struct text out; /* bytes that are ready to be sent */
    size_t sent;     /* of out, then of the answer's fixed body */
    bool fixed;      /* out is sent, the fixed body is next */
    bool chunked;
    bool begun; /* the head is in out, or sent */
    bool whole; /* all of the answer is in out, or sent */
};

/* Takes the socket. */
void http_client_open(struct http_client *client, const struct sock *sock);

/* Does a little: one read, or one write of at most a piece. */
enum http_client_step http_client_step(struct http_client *client,
                                       http_handle_fn handle, void *arg);

/* Tries to send an answer in one write, instead of one that has not begun. */
void http_client_refuse(struct http_client *client, unsigned status);

/* With a reset if an answer was begun and is not whole. */
void http_client_close(struct http_client *client);

#endif
