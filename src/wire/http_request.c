#include "wire/http_request.h"

#include <stdbool.h>
#include <string.h>

/*
 *   START ─▶ METHOD ─▶ TARGET ─▶ PATH ─▶ QUERY ─▶ VERSION ─▶ NAME ─▶ VALUE
 *                        │        ▲ └──────────────▲  │        ▲ │      │
 *                        └▶ SCHEME ─▶ HOST         │  └─▶ LF ──┘ └─▶ END_LF
 *
 * Lines end with CR LF or with LF.
 */
enum state {
    START, /* before the method; empty lines are skipped (RFC 9112, 2.2) */
    METHOD,
    TARGET, /* its first byte */
    SCHEME, /* "http://" */
    HOST,
    PATH,
    QUERY, /* or a fragment: skipped */
    VERSION,
    LF,    /* behind the CR of a line */
    NAME,  /* the first byte of a field line */
    FIELD, /* its name */
    VALUE,
    END_LF, /* behind the CR of the empty line */
};

/* What became of a byte. */
enum verdict { BAD, GOOD, COMPLETE };

static const char scheme[] = "http://";

static bool is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
           (c >= 'a' && c <= 'z');
}

/* RFC 9110, 5.6.2 */
static bool is_token(unsigned char c)
{
    return is_alphanumeric(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

/* Neither space nor control byte. UTF-8 that is not percent-encoded is taken.
 */
static bool is_target(unsigned char c)
{
    return c > ' ' && c != 127;
}

static enum verdict go(struct http_request *request, enum state state)
{
    request->state = (uint8_t)state;
    request->length = 0;
    return GOOD;
}

static enum verdict add_word(struct http_request *request, char c)
{
    if (request->length + 1 >= HTTP_METHOD_MAX) {
        return BAD;
    }
    request->word[request->length++] = c;
    request->word[request->length] = '\0';
    return GOOD;
}

static enum verdict add_path(struct http_request *request, char c)
{
    if (request->length + 1 >= HTTP_PATH_MAX) {
        return BAD;
    }
    request->path[request->length++] = c;
    request->path[request->length] = '\0';
    return GOOD;
}

/* ---- the request line ---- */

static enum verdict end_method(struct http_request *request)
{
    if (strcmp(request->word, "GET") == 0) {
        request->method = HTTP_GET;
    } else if (strcmp(request->word, "HEAD") == 0) {
        request->method = HTTP_HEAD;
    } else {
        request->method = HTTP_OTHER;
    }
    return go(request, TARGET);
}

static enum verdict read_method(struct http_request *request, char c)
{
    if (c == ' ' && request->length > 0) {
        return end_method(request);
    }
    return is_token((unsigned char)c) ? add_word(request, c) : BAD;
}

static enum verdict read_start(struct http_request *request, char c)
{
    if (c == '\r' || c == '\n') {
        return GOOD;
    }
    go(request, METHOD);
    return read_method(request, c);
}

static enum verdict read_target(struct http_request *request, char c)
{
    if (c == '/') {
        go(request, PATH);
        return add_path(request, c);
    }
    if (c == '*' && request->method == HTTP_OTHER) { /* OPTIONS * */
        strcpy(request->path, "*");
        return go(request, QUERY);
    }
    go(request, SCHEME);
    request->length = 1;
    return (c | 0x20) == scheme[0] ? GOOD : BAD;
}

static enum verdict read_scheme(struct http_request *request, char c)
{
    char wanted = scheme[request->length++];

    if (scheme[request->length] == '\0') {
        go(request, HOST);
    }
    return c == wanted || (c | 0x20) == wanted ? GOOD : BAD;
}

static enum verdict read_query(struct http_request *request, char c)
{
    if (c == ' ') {
        return go(request, VERSION);
    }
    return is_target((unsigned char)c) ? GOOD : BAD;
}

static enum verdict read_host(struct http_request *request, char c)
{
    if (c == '/') {
        go(request, PATH);
        return add_path(request, c);
    }
    if (c == ' ' || c == '?' || c == '#') {
        strcpy(request->path, "/");
        go(request, QUERY);
    }
    return read_query(request, c);
}

static enum verdict read_path(struct http_request *request, char c)
{
    if (c == ' ' || c == '?' || c == '#') {
        go(request, QUERY);
        return read_query(request, c);
    }
    return is_target((unsigned char)c) ? add_path(request, c) : BAD;
}

static enum verdict read_version(struct http_request *request, char c)
{
    if (c != '\r' && c != '\n') {
        return add_word(request, c);
    }
    if (strcmp(request->word, "HTTP/1.0") != 0 &&
        strcmp(request->word, "HTTP/1.1") != 0) {
        return BAD;
    }
    request->minor = request->word[sizeof("HTTP/1.") - 1] == '1';
    return go(request, c == '\r' ? LF : NAME);
}

/* ---- field lines ---- */

/* A line that begins with white space would continue the one before, which is
 * obsolete (RFC 9112, 5.2). */
static enum verdict read_name(struct http_request *request, char c)
{
    if (c == '\n') {
        return COMPLETE;
    }
    if (c == '\r') {
        return go(request, END_LF);
    }
    return is_token((unsigned char)c) ? go(request, FIELD) : BAD;
}

static enum verdict read_field(struct http_request *request, char c)
{
    if (c == ':') {
        return go(request, VALUE);
    }
    return is_token((unsigned char)c) ? GOOD : BAD;
}

static enum verdict read_value(struct http_request *request, char c)
{
    if (c == '\n') {
        return go(request, NAME);
    }
    if (c == '\r') {
        return go(request, LF);
    }
    return (unsigned char)c >= ' ' || c == '\t' ? GOOD : BAD;
}

static enum verdict read_byte(struct http_request *request, char c)
{
    switch ((enum state)request->state) {
    case START:
        return read_start(request, c);
    case METHOD:
        return read_method(request, c);
    case TARGET:
        return read_target(request, c);
    case SCHEME:
        return read_scheme(request, c);
    case HOST:
        return read_host(request, c);
    case PATH:
        return read_path(request, c);
    case QUERY:
        return read_query(request, c);
    case VERSION:
        return read_version(request, c);
    case LF:
        return c == '\n' ? go(request, NAME) : BAD;
    case NAME:
        return read_name(request, c);
    case FIELD:
        return read_field(request, c);
    case VALUE:
        return read_value(request, c);
    case END_LF:
        return c == '\n' ? COMPLETE : BAD;
    }
    return BAD;
}

ssize_t http_request_read(struct http_request *request, const char *bytes,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (request->count++ == HTTP_HEAD_MAX) {
            return -1;
        }
        switch (read_byte(request, bytes[i])) {
        case BAD:
            return -1;
        case COMPLETE:
            return (ssize_t)i + 1;
        case GOOD:
            break;
        }
    }
    return 0;
}

/* ---- percent-encoding ---- */

static int digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        int high, low;

        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        high = digit(from[1]);
        low = high < 0 ? -1 : digit(from[2]);
        if (low < 0 || high + low == 0) {
            return -1;
        }
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return 0;
}
