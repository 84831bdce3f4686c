/*
 * slab_client: a slab's cache that counts its wakes, and accounts of as many
 * users as there can be blocks: they can take all of them.
 */
#ifndef EVPROXY_TESTS_SLAB_CLIENT_H
#define EVPROXY_TESTS_SLAB_CLIENT_H

#include "base/slab.h"

#include <string.h>

#define BLOCK 4096u
#define LARGE 2048u /* blocks: enough for full caches */

struct client {
    struct slab_cache cache;
    struct slab_account accounts[LARGE]; /* the first where nothing is said */
    unsigned wakes;
};

static inline void client_wake(void *arg)
{
    struct client *client = arg;

    client->wakes++;
}

static inline void client_init(struct client *client, struct slab *slab)
{
    memset(client, 0, sizeof(*client));
    slab_cache_init(&client->cache, slab, client_wake, client);
}

static inline void *client_borrow(struct client *client)
{
    return slab_borrow(&client->cache, &client->accounts[0]);
}

static inline void client_return(struct client *client, void *block)
{
    slab_return(&client->cache, &client->accounts[0], block);
}

static inline void client_pass_on(struct client *client)
{
    slab_pass_on(&client->accounts[0]);
}

static inline void client_fini(struct client *client)
{
    client_pass_on(client);
    slab_cache_fini(&client->cache);
}

/* Block i for account i. */
static inline void client_borrow_all(struct client *client, void **blocks,
                                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        blocks[i] = slab_borrow(&client->cache, &client->accounts[i]);
    }
}

static inline void client_return_one(struct client *client, void **blocks,
                                     uint32_t i)
{
    slab_return(&client->cache, &client->accounts[i], blocks[i]);
}

#endif
