/*
 * upstream: a small server behind the proxy, to try the proxy by hand.
 *
 * It greets with its address ("hello from 127.0.0.1:9001"), which shows the
 * upstream that was picked, then echoes every line. Each connection has a
 * thread: that is simple, and no example of how to serve many.
 *
 *      upstream ADDRESS PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char greeting[80]; /* set before the first thread starts */

static bool send_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0) {
            return false;
        }
        bytes += sent;
        count -= (size_t)sent;
    }
    return true;
}

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    char bytes[4096];
    ssize_t count = 0;

    bool open = send_all(fd, greeting, strlen(greeting));
    while (open && (count = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
        open = send_all(fd, bytes, (size_t)count);
    }
    close(fd);
    return NULL;
}

static void serve_in_thread(int fd)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
        close(fd);
        return;
    }
    pthread_detach(thread);
}

/* A listening socket, or -1 with errno. */
static int listen_on(const char *address, const char *port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port))};
    const int on = 1;

    if (inet_pton(AF_INET, address, &in.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: upstream ADDRESS PORT\n");
        return 2;
    }
    int fd = listen_on(argv[1], argv[2]);
    if (fd < 0) {
        fprintf(stderr, "upstream: %s:%s: %s\n", argv[1], argv[2],
                strerror(errno));
        return 1;
    }
    snprintf(greeting, sizeof(greeting), "hello from %s:%s\n", argv[1],
             argv[2]);
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            serve_in_thread(client);
        }
    }
}
