#include "proxy/udp.h"

#include <stdlib.h>
#include <sys/random.h>

struct udp *udp_create(uint64_t seed)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    uint64_t random;

    if (udp == NULL) {
        return NULL;
    }
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) {
        random = seed;
    }
    pool_init(&udp->sessions, sizeof(struct udp_session));
    flow_table_init(&udp->flows, random);
    if (datagram_batch_open(&udp->up) < 0) {
        goto free_udp;
    }
    if (datagram_batch_open(&udp->down) < 0) {
        goto close_up;
    }
    return udp;

close_up:
    datagram_batch_close(&udp->up);
free_udp:
    pool_fini(&udp->sessions);
    free(udp);
    return NULL;
}

void udp_destroy(struct udp *udp)
{
    if (udp == NULL) {
        return;
    }
    flow_table_fini(&udp->flows);
    pool_fini(&udp->sessions);
    datagram_batch_close(&udp->up);
    datagram_batch_close(&udp->down);
    free(udp);
}

bool udp_trim(struct udp *udp)
{
    bool used = datagram_batch_trim(&udp->up);

    return datagram_batch_trim(&udp->down) || used;
}
