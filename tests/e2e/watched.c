#include "watched.h"

#include <stdio.h>

void watched_open(struct watched *watched, const char *global,
                  const char *service)
{
    char text[512];

    watched->http = loopback_new();
    snprintf(text, sizeof(text), "metrics_listen = %s\n%s", watched->http.text,
             global);
    fixture_open(&watched->fixture, text, service);
}
