/*
 * scenario: the simulated kernel against the real one. A scenario is a sequence
 * of system calls that writes down what it sees. It is run on simulated sockets
 * and on the loopback interface, and must see the same.
 */
#ifndef EVPROXY_FAULT_SCENARIO_H
#define EVPROXY_FAULT_SCENARIO_H

#include "stream.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

struct scene {
    bool real;
    unsigned patience_ms;
    int epoll;
    int listener;
    int client;
    int server; /* accepted; watched edge-triggered */
    struct sockaddr_in address;
    char log[4096];
    size_t length;
};

typedef void (*scenario_fn)(struct scene *scene);

/* Defines the test that runs the scenario on both. */
#define SCENARIO(name)                                                         \
    static void simulated_##name##_is_as_on_linux(void **state)                \
    {                                                                          \
        (void)state;                                                           \
        scenario_compare(name);                                                \
    }

/* Fails unless the scenario sees the same on both. */
void scenario_compare(scenario_fn scenario);

/* ---- what a scenario writes down ---- */

void scene_note(struct scene *scene, const char *format, ...) PRINTF(2, 3);

/* The result of a call, with errno. */
void scene_note_call(struct scene *scene, const char *call, ssize_t result);

/* All events that epoll has now. */
void scene_note_events(struct scene *scene);

/* The results of a recv, a send and a query of SO_ERROR, which it makes. */
void scene_note_recv(struct scene *scene, int fd, size_t size);
void scene_note_send(struct scene *scene, int fd, size_t size, int flags);
void scene_note_error(struct scene *scene, int fd);

/* The bytes that are unread, and those that are not acknowledged. */
void scene_note_queues(struct scene *scene, int fd);

/* ---- what it does ---- */

/* Lets everything arrive that is under way. */
void scene_settle(struct scene *scene);

#define SCENE_EDGES (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* Adds the descriptor to epoll; name: the number of its events. */
void scene_watch(struct scene *scene, int fd, uint32_t events, int name);

/* A TCP socket that does not block, with TCP_NODELAY. */
int scene_socket(void);

void scene_connect(struct scene *scene);
void scene_accept(struct scene *scene);

/* A client and the watched end that was accepted, whose first event is over. */
void scene_establish(struct scene *scene);

/* Closes with a reset. */
void scene_reset(int fd);

#endif
