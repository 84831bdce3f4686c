#include "srv.h"

#include "nameserver.h"
#include "proxy.h"
#include "socket.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>

const char *srv_text(const struct srv *scene, int number,
                     const char *priority_and_weight)
{
    static char texts[8][80];
    static unsigned next;
    char *text = texts[next++ % 8];

    snprintf(text, sizeof(texts[0]), "%s at-127-1-0-%d.example:%s ",
             priority_and_weight, number + 1,
             strrchr(scene->back[number].text, ':') + 1);
    return text;
}

void srv_answer(const char *one, const char *two, const char *three)
{
    char records[400];

    snprintf(records, sizeof(records), "%s%s%s", one, two, three);
    nameserver_answer_records(records, 0);
}

void srv_bind(struct srv *scene)
{
    static const char *const ip[SRV_UPSTREAMS] = {"127.1.0.1", "127.1.0.2",
                                                  "127.1.0.3"};

    scene->front = loopback_new();
    for (int i = 0; i < SRV_UPSTREAMS; i++) {
        scene->back[i] = loopback_on(ip[i]);
        scene->listener[i] = socket_listen(&scene->back[i]);
    }
}

void srv_start(struct srv *scene, const char *service)
{
    scene->proxy = proxy_start("[service web]\nlisten = %s\n" SRV_INTERVAL "%s",
                               scene->front.text, service);
}

struct pair srv_connect(const struct srv *scene, int number)
{
    struct pair pair = {.client = socket_connect(&scene->front)};

    pair.upstream = socket_accept(scene->listener[number]);
    pair_ping(&pair);
    return pair;
}

bool srv_listed(const struct srv *scene, int number)
{
    return stats_listed(scene->proxy, "web", scene->back[number].text);
}
