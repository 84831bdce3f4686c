#include "wire/http_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Reads the text whole, and byte by byte; both must agree. */
static ssize_t read_text(const char *text, struct http_request *request)
{
    size_t count = strlen(text);
    struct http_request slow = {.state = 0};
    ssize_t whole, answer = 0;

    *request = (struct http_request){.state = 0};
    whole = http_request_read(request, text, count);
    for (size_t i = 0; i < count && answer == 0; i++) {
        answer = http_request_read(&slow, text + i, 1);
        if (answer > 0) {
            answer = (ssize_t)i + 1;
        }
    }
    assert_int_equal(answer, whole);
    if (whole > 0) {
        assert_int_equal(slow.method, request->method);
        assert_int_equal(slow.minor, request->minor);
        assert_string_equal(slow.path, request->path);
    }
    return whole;
}

static void assert_read(const char *text, enum http_method method,
                        const char *path, unsigned minor)
{
    struct http_request request;
    ssize_t answer = read_text(text, &request);

    if (answer != (ssize_t)strlen(text)) {
        fail_msg("answer %zd to: %s", answer, text);
    }
    assert_int_equal(request.method, method);
    assert_string_equal(request.path, path);
    assert_int_equal(request.minor, minor);
}

static void assert_malformed(const char *text)
{
    struct http_request request;

    if (read_text(text, &request) != -1) {
        fail_msg("taken: %s", text);
    }
}

static void requests_are_read(void **state)
{
    (void)state;
    assert_read("GET / HTTP/1.0\r\n\r\n", HTTP_GET, "/", 0);
    assert_read("GET /metrics HTTP/1.1\r\nHost: a:9100\r\n\r\n", HTTP_GET,
                "/metrics", 1);
    assert_read("HEAD /healthz HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
                HTTP_HEAD, "/healthz", 1);
    assert_read("GET /livez HTTP/1.0\n\n", HTTP_GET, "/livez", 0);
    assert_read("\r\n\r\nGET / HTTP/1.1\r\n\r\n", HTTP_GET, "/", 1);
    assert_read("GET / HTTP/1.1\r\nX-Empty:\r\nX:\ttab\r\n\r\n", HTTP_GET, "/",
                1);
}

static void other_methods_are_read_too(void **state)
{
    (void)state;
    assert_read("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
                HTTP_OTHER, "/metrics", 1);
    assert_read("get / HTTP/1.1\r\n\r\n", HTTP_OTHER, "/", 1);
    assert_read("OPTIONS * HTTP/1.1\r\n\r\n", HTTP_OTHER, "*", 1);
    assert_read("GETS / HTTP/1.1\r\n\r\n", HTTP_OTHER, "/", 1);
}

static void query_and_fragment_are_left_out(void **state)
{
    (void)state;
    assert_read("GET /metrics?a=b/c?d HTTP/1.1\r\n\r\n", HTTP_GET, "/metrics",
                1);
    assert_read("GET /?x HTTP/1.1\r\n\r\n", HTTP_GET, "/", 1);
    assert_read("GET /#x HTTP/1.1\r\n\r\n", HTTP_GET, "/", 1);
    assert_read("GET /a%3Fb HTTP/1.1\r\n\r\n", HTTP_GET, "/a%3Fb", 1);
}

static void of_an_absolute_url_the_path_is_taken(void **state)
{
    (void)state;
    assert_read("GET http://a:9100/metrics HTTP/1.1\r\n\r\n", HTTP_GET,
                "/metrics", 1);
    assert_read("GET HTTP://a HTTP/1.1\r\n\r\n", HTTP_GET, "/", 1);
    assert_read("GET http://a?b/c HTTP/1.1\r\n\r\n", HTTP_GET, "/", 1);
    assert_malformed("GET https://a/ HTTP/1.1\r\n\r\n");
    assert_malformed("GET ftp://a/ HTTP/1.1\r\n\r\n");
}

static void a_request_may_stop_anywhere(void **state)
{
    static const char text[] = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\nbody";
    struct http_request request;

    (void)state;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        ssize_t head = (ssize_t)sizeof(text) - 1 - 4;
        char part[sizeof(text)] = {0};

        memcpy(part, text, i);
        assert_int_equal(read_text(part, &request),
                         (ssize_t)i < head ? 0 : head);
    }
}

static void malformed_requests_are_refused(void **state)
{
    static const char *const malformed[] = {
        "GET\r\n",
        "GET /\r\n",
        "GET / \r\n",
        " GET / HTTP/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET / HTTP/1.1 \r\n",
        "GET /  HTTP/1.1\r\n",
        "GET / HTTP/0.9\r\n",
        "GET / HTTP/2.0\r\n",
        "GET / HTTP/1.2\r\n",
        "GET / HTTP/1.10\r\n",
        "GET / http/1.1\r\n",
        "GET * HTTP/1.1\r\n",
        "GET metrics HTTP/1.1\r\n",
        "GET /a\tb HTTP/1.1\r\n",
        "GET /\x7f HTTP/1.1\r\n",
        "G(T / HTTP/1.1\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01",
        "AVERYLONGMETHODNAME / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n",
        "GET / HTTP/1.1\r\nHost\r\n",
        "GET / HTTP/1.1\r\n: a\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n",
        "GET / HTTP/1.1\r\nA: b\x01\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\n",
        "GET / HTTP/1.1\r\n\rx",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
        assert_malformed(malformed[i]);
    }
}

static void zero_bytes_are_refused(void **state)
{
    struct http_request request = {.state = 0};

    (void)state;
    assert_int_equal(
        http_request_read(&request, "GET /\0 HTTP/1.1\r\n\r\n", 19), -1);
    request = (struct http_request){.state = 0};
    assert_int_equal(
        http_request_read(&request, "GET / HTTP/1.1\r\nA: \0\r\n\r\n", 23), -1);
}

static void heads_and_paths_have_a_length(void **state)
{
    static const char line[] = "GET / HTTP/1.1\r\nA: ";
    struct http_request request = {.state = 0};
    char text[HTTP_HEAD_MAX + 1];
    char path[HTTP_PATH_MAX + 64];

    (void)state;
    memset(text, 'b', sizeof(text));
    memcpy(text, line, sizeof(line) - 1);
    memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
    assert_int_equal(http_request_read(&request, text, sizeof(text)),
                     HTTP_HEAD_MAX);
    memset(text + HTTP_HEAD_MAX - 4, 'b', 5);
    request = (struct http_request){.state = 0};
    assert_int_equal(http_request_read(&request, text, HTTP_HEAD_MAX), 0);
    assert_int_equal(http_request_read(&request, "b", 1), -1);

    snprintf(path, sizeof(path), "GET /%0*d HTTP/1.1\r\n\r\n",
             HTTP_PATH_MAX - 2, 0);
    assert_true(read_text(path, &request) > 0);
    snprintf(path, sizeof(path), "GET /%0*d HTTP/1.1\r\n\r\n",
             HTTP_PATH_MAX - 1, 0);
    assert_malformed(path);
}

static void assert_decoded(const char *text, const char *wanted)
{
    char copy[64];

    snprintf(copy, sizeof(copy), "%s", text);
    if (wanted == NULL) {
        assert_int_equal(http_decode(copy), -1);
    } else {
        assert_int_equal(http_decode(copy), 0);
        assert_string_equal(copy, wanted);
    }
}

static void percent_encoding_is_decoded(void **state)
{
    (void)state;
    assert_decoded("", "");
    assert_decoded("web", "web");
    assert_decoded("a%20b%2fc%2F%25", "a b/c/%");
    assert_decoded("%c3%bc+", "\xc3\xbc+");
    assert_decoded("%", NULL);
    assert_decoded("%2", NULL);
    assert_decoded("a%2g", NULL);
    assert_decoded("%00", NULL);
    assert_decoded("%%20", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read),
        cmocka_unit_test(other_methods_are_read_too),
        cmocka_unit_test(query_and_fragment_are_left_out),
        cmocka_unit_test(of_an_absolute_url_the_path_is_taken),
        cmocka_unit_test(a_request_may_stop_anywhere),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(heads_and_paths_have_a_length),
        cmocka_unit_test(percent_encoding_is_decoded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
