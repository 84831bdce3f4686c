#include "tls_upstream.h"

#include "socket.h"
#include "stats.h"
#include "tls_socket.h"

#include <stdio.h>

const struct identity *tls_upstream_identity(void)
{
    static struct identity identity;

    if (identity.certificate[0] == '\0') {
        identity =
            identity_for("upstream", "DNS:up.example, DNS:other.example, "
                                     "DNS:localhost, IP:127.0.0.1, IP:::1");
    }
    return &identity;
}

struct tls_options tls_upstream_options(int version)
{
    return (struct tls_options){.identity = tls_upstream_identity(),
                                .version = version};
}

const char *tls_upstream_keys(const struct identity *ca, const char *more)
{
    static char texts[4][1024];
    static unsigned turn;
    char *text = texts[turn++ % 4];

    snprintf(text, sizeof(texts[0]),
             "upstream_tls = yes\nupstream_tls_ca = %s\n%s",
             ca != NULL ? ca->certificate : "off", more);
    return text;
}

struct pair tls_upstream_pair(const struct fixture *fixture,
                              const struct tls_options *upstream)
{
    struct pair pair;

    pair.client = socket_connect(&fixture->front);
    pair.upstream = tls_socket_accept(fixture->listener, upstream);
    return pair;
}

void tls_upstream_each_version(const char *service, tls_part_fn part)
{
    for (unsigned i = 0; i < TLS_VERSIONS; i++) {
        struct tls_options upstream = tls_upstream_options(tls_versions[i]);
        struct fixture fixture;

        fixture_open(&fixture, "access_log = yes",
                     tls_upstream_keys(identity_authority(), service));
        part(&fixture, &upstream);
        stats_await(fixture.proxy, NULL, NULL, "buffers_lent", 0);
        fixture_close(&fixture);
    }
}
