#include "control/http_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_MAX 1024

static const struct {
    unsigned status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {400, "Bad Request"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {503, "Service Unavailable"},
};

const char *http_status_reason(unsigned status)
{
    size_t i = 0;

    while (i < ARRAY_LEN(reasons) - 1 && reasons[i].status != status) {
        i++;
    }
    return reasons[i].reason;
}

void http_answer_text(struct http_answer *answer, unsigned status,
                      const char *text)
{
    *answer = (struct http_answer){
        .status = status,
        .type = "text/plain; charset=utf-8",
        .headers = status == 405 ? "Allow: GET, HEAD\r\n" : NULL,
        .bytes = text,
        .count = strlen(text),
    };
}

void http_answer_add_head(const struct http_answer *answer, struct text *text,
                          size_t place, ssize_t length, bool chunked)
{
    char head[HEAD_MAX];
    char framing[64] = "";
    char *gap;
    int count;

    if (chunked) {
        snprintf(framing, sizeof(framing), "Transfer-Encoding: chunked\r\n");
    } else if (length >= 0) {
        snprintf(framing, sizeof(framing), "Content-Length: %zd\r\n", length);
    }
    count = snprintf(head, sizeof(head),
                     "HTTP/1.1 %u %s\r\n"
                     "Content-Type: %s\r\n"
                     "%s"
                     "Connection: close\r\n"
                     "Cache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\n"
                     "%s\r\n",
                     answer->status, http_status_reason(answer->status),
                     answer->type, framing,
                     answer->headers == NULL ? "" : answer->headers);
    gap = text_insert(text, place, (size_t)count);
    if (gap != NULL) {
        memcpy(gap, head, (size_t)count);
    }
}
