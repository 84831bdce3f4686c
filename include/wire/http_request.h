/*
 * http_request: the head of an HTTP/1.0 or HTTP/1.1 request (RFC 9112), read as
 * it comes. Pure. It keeps what a server of a few fixed paths needs: the
 * method, the path and the version. Field lines are checked and forgotten, so
 * a request takes this struct and no buffer besides.
 *
 * A body is not read. HTTP/1.1 requires a Host field, but checks of other load
 * balancers come without one, and no answer depends on it: it is not demanded.
 */
#ifndef EVPROXY_WIRE_HTTP_REQUEST_H
#define EVPROXY_WIRE_HTTP_REQUEST_H

#include "base/base.h"

#include <stdint.h>
#include <sys/types.h>

#define HTTP_HEAD_MAX   16384 /* bytes of a head; a longer one is malformed */
#define HTTP_PATH_MAX   512   /* bytes of a path, and the final zero */
#define HTTP_METHOD_MAX 16    /* bytes of a method, and the final zero */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_OTHER };

/* All-zero: nothing has been read. */
struct http_request {
    /* Of a request that was read to its end: */
    enum http_method method;
    unsigned minor;           /* HTTP/1.minor: 0 or 1 */
    char path[HTTP_PATH_MAX]; /* as it came, without query and fragment; of an
                                 absolute URL the part behind the host */

    /* Of the parser: */
    uint8_t state;
    uint16_t count;             /* bytes of the head so far */
    uint16_t length;            /* of path, or of word */
    char word[HTTP_METHOD_MAX]; /* the method, or the version */
};

/*
 * Reads on with the bytes that follow those of earlier calls. > 0: so many of
 * them belong to the head, which is complete. 0: all of them do, and more must
 * come. -1: malformed; the request is not to be used again.
 */
ssize_t http_request_read(struct http_request *request, const char *bytes,
                          size_t count) WARN_UNUSED;

/* Decodes "%2F" and the like in place. -1: malformed, or the text has a zero
 * byte; it may be changed then. */
int http_decode(char *text) WARN_UNUSED;

#endif
