#include "proxy/transfer.h"

#include <assert.h>
#include <stdlib.h>

/* False: no memory, or the receiver has another generation. */
static bool post(const struct plane *plane, struct mailbox *mailbox,
                 const struct transfer *sent)
{
    struct transfer *transfer = malloc(sizeof(*transfer));

    if (transfer == NULL) {
        return false;
    }
    *transfer = *sent;
    if (!mailbox_post_within(mailbox, &transfer->message,
                             plane->generation->number)) {
        free(transfer);
        return false;
    }
    return true;
}

bool transfer_send(struct plane *plane, const struct listen_socket *listen,
                   const struct sock *sock, const struct addr *client)
{
    struct spread *spread = plane->shared->spread;
    unsigned to = spread_choose(spread, plane->number, plane->loop.now_ns);
    struct transfer transfer = {
        .message.type = PLANE_TRANSFER,
        .listen = listen,
        .sock = *sock,
        .client = *client,
    };

    if (to == plane->number) {
        return false;
    }
    assert(listen->service->generation == plane->generation);
    if (!post(plane, plane->shared->mailboxes[to], &transfer)) {
        spread_arrived(&spread->list[to]);
        return false;
    }
    spread_count_handed(plane->load);
    return true;
}

struct transfer *transfer_of(struct message *message)
{
    return container_of(message, struct transfer, message);
}

void transfer_done(struct plane *plane, struct transfer *transfer)
{
    spread_arrived(plane->load);
    free(transfer);
}
