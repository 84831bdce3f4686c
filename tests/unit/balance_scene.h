/*
 * balance_scene: upstreams 10.0.x.y:80 as a pick sees them, and clients.
 */
#ifndef EVPROXY_TESTS_BALANCE_SCENE_H
#define EVPROXY_TESTS_BALANCE_SCENE_H

#include "base/addr.h"
#include "base/hash.h"
#include "service/balance.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NODES_MAX 1024
#define KINDS     (BALANCE_RANDOM + 1)

struct scene {
    struct balance balance;
    struct balance_node nodes[NODES_MAX];
    bool down[NODES_MAX];
    uint32_t active[NODES_MAX];
    uint32_t slow; /* this one has a share of its weight, if that is not 0: */
    uint32_t share;
    uint32_t bound; /* percent; 0: none */
    uint32_t count;
    uint32_t asked; /* calls of usable */
};

static inline bool scene_usable(void *arg, uint32_t i)
{
    struct scene *scene = arg;

    assert_true(i < scene->count);
    scene->asked++;
    return !scene->down[i];
}

static inline uint32_t scene_active(void *arg, uint32_t i)
{
    struct scene *scene = arg;

    assert_true(i < scene->count);
    return scene->active[i];
}

static inline uint32_t scene_share(void *arg, uint32_t i)
{
    const struct scene *scene = arg;

    assert_true(i < scene->count);
    return i == scene->slow ? scene->share : BALANCE_SHARE_ALL;
}

static inline uint32_t scene_total(const struct scene *scene)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < scene->count; i++) {
        total += scene->active[i];
    }
    return total;
}

static inline uint64_t node_id(uint32_t i)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "10.0.%" PRIu32 ".%" PRIu32 ":80",
                          i / 250, i % 250 + 1);

    return hash_bytes(text, (size_t)length, 0);
}

static inline void scene_set(struct scene *scene, uint32_t count)
{
    memset(scene, 0, sizeof(*scene));
    scene->count = count;
    for (uint32_t i = 0; i < count; i++) {
        scene->nodes[i].id = node_id(i);
        scene->nodes[i].weight = 1;
    }
}

static inline void scene_start(struct scene *scene, enum config_balance kind)
{
    assert_int_equal(
        balance_init(&scene->balance, kind, scene->nodes, scene->count), 0);
}

static inline ssize_t scene_pick(struct scene *scene, uint64_t client,
                                 uint64_t random)
{
    struct balance_view view = {
        .usable = scene_usable,
        .load = scene_active,
        .share = scene->share == 0 ? NULL : scene_share,
        .active = scene_active,
        .bound = scene->bound,
        .total = scene->bound == 0 ? 0 : scene_total(scene) + 1,
        .arg = scene,
    };

    return balance_pick(&scene->balance, client, random, &view);
}

/* The n-th of the addresses from 192.168.0.0 on. */
static inline uint64_t client_hash(uint32_t n)
{
    struct addr addr = {.family = AF_INET};
    uint32_t ip = htonl(UINT32_C(0xc0a80000) + n);

    memcpy(addr.ip, &ip, sizeof(ip));
    return addr_hash(&addr, 32, 128);
}

#endif
