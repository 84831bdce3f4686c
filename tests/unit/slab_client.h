/*
 * slab_client: a slab's cache that counts its wakes.
 */
#ifndef EVPROXY_TESTS_SLAB_CLIENT_H
#define EVPROXY_TESTS_SLAB_CLIENT_H

#include "base/slab.h"

#define BLOCK 4096u
#define LARGE 2048u /* blocks: enough for full caches */

struct client {
    struct slab_cache cache;
    unsigned wakes;
};

static inline void client_wake(void *arg)
{
    struct client *client = arg;

    client->wakes++;
}

static inline void client_init(struct client *client, struct slab *slab)
{
    client->wakes = 0;
    slab_cache_init(&client->cache, slab, client_wake, client);
}

static inline void *client_borrow(struct client *client)
{
    return slab_borrow(&client->cache);
}

static inline void client_return(struct client *client, void *block)
{
    slab_return(&client->cache, block);
}

#endif
