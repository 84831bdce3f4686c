/*
 * serve: what an upstream does with a connection. Each is a server_fn, run by a
 * thread of the server; the argument is named where there is one.
 */
#ifndef EVPROXY_TESTS_E2E_SERVE_H
#define EVPROXY_TESTS_E2E_SERVE_H

void serve_echo(int fd, const void *arg);
void serve_discard(int fd, const void *arg);
void serve_close(int fd, const void *arg);
void serve_reset(int fd, const void *arg);

/* Sends one byte, then discards. */
void serve_letter(int fd, const void *letter);

/* Sends a struct stream (its fd is not used), then discards; or reads to the
 * end first. */
void serve_stream(int fd, const void *stream);
void serve_stream_after_fin(int fd, const void *stream);

#endif
