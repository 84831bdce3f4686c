/*
 * http_answer: what is answered to one HTTP request: a status and a body, which
 * is fixed, or written piece by piece while the client reads. Control thread.
 */
#ifndef EVPROXY_CONTROL_HTTP_ANSWER_H
#define EVPROXY_CONTROL_HTTP_ANSWER_H

#include "base/text.h"
#include "wire/http_request.h"

#include <stdbool.h>
#include <stddef.h>

enum http_piece {
    HTTP_MORE,   /* a piece was added, and there are more */
    HTTP_LAST,   /* the last piece was added; it may be empty */
    HTTP_WAITS,  /* there is nothing yet: http_server_wake will follow */
    HTTP_FAILED, /* the rest cannot be made */
};

struct http_answer {
    unsigned status;     /* 200, 404, ... */
    const char *type;    /* Content-Type */
    const char *headers; /* more lines, each with CR LF; NULL: none */

    /* The body, if write is NULL; it stays as long as the process. */
    const void *bytes;
    size_t count;

    /* Adds the next piece. */
    enum http_piece (*write)(struct http_answer *answer, struct text *text);
    void (*end)(struct http_answer *answer); /* it is over, whole or not */
    void *content;                           /* for both */
};

/* A text that stays as long as the process. */
void http_answer_text(struct http_answer *answer, unsigned status,
                      const char *text);

/* Why a status is not 200: "Not Found". */
const char *http_status_reason(unsigned status);

/* Adds the status line and the header, before a body of that length (-1: not
 * known; chunked: in chunks), at that place of the text. */
void http_answer_add_head(const struct http_answer *answer, struct text *text,
                          size_t place, ssize_t length, bool chunked);

#endif
