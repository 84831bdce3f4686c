#include "named.h"

#include "proxy.h"
#include "socket.h"

void named_open(struct named *scene, const char *service)
{
    scene->front = loopback_new();
    scene->back[0] = loopback_on("127.1.0.1");
    scene->back[1] = loopback_at("127.1.0.2", &scene->back[0]);
    for (int i = 0; i < 2; i++) {
        scene->listener[i] = socket_listen(&scene->back[i]);
    }
    scene->proxy = proxy_start(
        "[service web]\nlisten = %s\nupstream = %s\n" NAMED_INTERVAL "%s",
        scene->front.text, loopback_at("up.example", &scene->back[0]).text,
        service);
}

struct pair named_connect(const struct named *scene, int number)
{
    struct pair pair = {.client = socket_connect(&scene->front)};

    pair.upstream = socket_accept(scene->listener[number]);
    pair_ping(&pair);
    return pair;
}
