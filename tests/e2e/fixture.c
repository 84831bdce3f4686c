#include "fixture.h"

#include "socket.h"

static void start(struct fixture *fixture, const char *upstream_options,
                  const char *global, const char *service)
{
    fixture->proxy = proxy_start("[global]\n%s\n"
                                 "[service web]\nlisten = %s\n"
                                 "upstream = %s %s\n%s\n",
                                 global, fixture->front.text,
                                 fixture->back.text, upstream_options, service);
}

void fixture_open_at(struct fixture *fixture, const struct loopback *front,
                     const char *upstream_options, const char *global,
                     const char *service)
{
    *fixture = (struct fixture){.front = *front, .back = loopback_new()};
    fixture->listener = socket_listen(&fixture->back);
    start(fixture, upstream_options, global, service);
}

void fixture_open(struct fixture *fixture, const char *global,
                  const char *service)
{
    struct loopback front = loopback_new();

    fixture_open_at(fixture, &front, "", global, service);
}

void fixture_open_server(struct fixture *fixture, server_fn serve,
                         const void *arg, const char *global,
                         const char *service)
{
    *fixture = (struct fixture){
        .front = loopback_new(), .back = loopback_new(), .listener = -1};
    fixture->server = server_start(&fixture->back, serve, arg);
    start(fixture, "", global, service);
}

void fixture_open_back(struct fixture *fixture, const struct loopback *back,
                       const char *global, const char *service)
{
    *fixture = (struct fixture){
        .front = loopback_new(), .back = *back, .listener = -1};
    start(fixture, "", global, service);
}

void fixture_close(struct fixture *fixture)
{
    proxy_stop(fixture->proxy);
    if (fixture->server != NULL) {
        server_stop(fixture->server);
    }
}

void fixture_reload(struct fixture *fixture, const char *service)
{
    proxy_configure(fixture->proxy,
                    "[service web]\nlisten = %s\nupstream = %s\n%s\n",
                    fixture->front.text, fixture->back.text, service);
    proxy_reload(fixture->proxy);
}

void fixture_reload_other(struct fixture *fixture, const char *name,
                          const struct loopback *front)
{
    proxy_configure(fixture->proxy,
                    "[service %s]\nlisten = %s\nupstream = %s\n", name,
                    front->text, fixture->back.text);
    proxy_reload(fixture->proxy);
}
