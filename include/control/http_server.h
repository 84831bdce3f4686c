/*
 * http_server: a small HTTP server in the loop of the control thread. It knows
 * nothing of what it serves. One answer a connection; nothing here waits.
 *
 * At most HTTP_CLIENTS_MAX are served at once, each for HTTP_CLIENT_NS at most.
 * When there are that many, the one that has not moved for longest makes room
 * for a new one, if it has not moved for HTTP_IDLE_NS; else the new one waits
 * in the backlog. So many clients that connect and never read, or send no
 * request, do not keep others out for long.
 *
 * What there is to do for all clients is done for HTTP_SLICE_NS in a turn of
 * the loop, and goes on in the next one.
 */
#ifndef EVPROXY_CONTROL_HTTP_SERVER_H
#define EVPROXY_CONTROL_HTTP_SERVER_H

#include "base/endpoint.h"
#include "control/http_client.h"
#include "control/listeners.h"
#include "net/loop.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define HTTP_CLIENTS_MAX 64
#define HTTP_CLIENT_NS   (5 * NS_PER_S)
#define HTTP_IDLE_NS     (100 * NS_PER_MS)
#define HTTP_SLICE_NS    (2 * NS_PER_MS)
#define HTTP_FINISH_NS   NS_PER_S

struct http_slot {
    struct http_client client;
    struct wheel_timer timer; /* until its time is over */
    struct list moved;        /* in the server's list of that name */
    struct list ready;        /* likewise */
    uint64_t moved_ns;
    uint32_t instance; /* in the token */
};

struct http_listener {
    struct endpoint endpoint; /* length 0: none */
    int fd;                   /* -1: none */
    dev_t path_device; /* of a unix socket's file, which is removed only */
    ino_t path_inode;  /* if it is still the one that was made here */
};

struct http_server {
    struct loop *loop;
    unsigned kind;  /* of events and timers in the loop */
    unsigned queue; /* of the loop: a link in it calls http_server_run */
    http_handle_fn handle;
    void *arg;

    struct http_listener listener; /* in use */
    struct http_listener prepared;
    struct wheel_timer pause; /* accepting goes on then */
    bool watched;             /* the listener is in the poller */
    bool finishing;           /* no more clients, and then the loop stops */
    struct http_slot *slots;  /* HTTP_CLIENTS_MAX; NULL: never needed yet */
    unsigned count;           /* of clients */
    uint32_t instances;
    struct list moved; /* the longest unmoved first */
    struct list ready; /* clients that may go on */
    struct list link;  /* in the queue */
};

/* The fields of the first group are set, the others are zero. */
void http_server_init(struct http_server *server);

/*
 * Opens what is needed to listen there from http_server_commit on: takes the
 * socket that was passed on for the endpoint, or opens one, which belongs to
 * that user. An endpoint without length: nowhere. NULL, or a sentence without a
 * final stop, which lives until the next call; then nothing has changed. What
 * is prepared is committed or abandoned.
 */
const char *
http_server_prepare(struct http_server *server, const struct endpoint *endpoint,
                    const struct listeners_origin *origin) WARN_UNUSED;
void http_server_commit(struct http_server *server);
void http_server_abandon(struct http_server *server);

/* Takes no more clients, and stops the loop when those that it has have got
 * their answers, at the latest after HTTP_FINISH_NS. */
void http_server_finish(struct http_server *server);

/* A listener that was handed to this process is its own now. */
void http_server_own(struct http_server *server);

/* Another process has the listener too: this one closes it, leaves its path,
 * and serves the clients that it has. */
void http_server_leave(struct http_server *server);

/* Closes everything, also what is prepared. */
void http_server_fini(struct http_server *server);

static inline bool http_server_listens(const struct http_server *server)
{
    return server->listener.fd >= 0;
}

/* Answers that waited may go on. */
void http_server_wake(struct http_server *server);

/* The loop's handlers. */
void http_server_event(struct http_server *server, uint32_t index,
                       uint32_t instance, uint32_t events);
void http_server_timer(struct http_server *server, struct wheel_timer *timer);
void http_server_run(struct http_server *server);

#endif
