#include "control/handed.h"

#include "config/array.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum handed_tag {
    TAG_TYPE = 1 | RECORD_CRITICAL,
    TAG_OWNER = 2 | RECORD_CRITICAL,
    TAG_INHERITED = 3,
    TAG_ENDPOINT = 4 | RECORD_CRITICAL, /* a sockaddr: one machine, one ABI */
    TAG_DROPPED = 5,
};

static bool add(struct handed *handed, const struct handed_socket *socket)
{
    struct handed_socket *added =
        array_push(&handed->list, &handed->count, sizeof(*added));

    if (added != NULL) {
        *added = *socket;
    }
    return added != NULL;
}

/* ---- handing over ---- */

static bool add_listen(struct handed *handed,
                       const struct listen_socket *listen, unsigned workers)
{
    bool udp = listen->service->config->mode == CONFIG_UDP;
    struct handed_socket socket = {
        .type = udp ? SOCK_DGRAM : SOCK_STREAM,
        .inherited = listen->inherited,
        .endpoint = listen->endpoint,
    };

    for (unsigned i = 0; i < workers; i++) {
        socket.fd = listen->fds[i];
        socket.owner = i;
        socket.dropped_known = udp;
        socket.dropped = udp ? listen->dropped[i] : 0;
        if (socket.fd >= 0 && !add(handed, &socket)) {
            return false;
        }
    }
    return true;
}

static bool add_inherited(struct handed *handed,
                          const struct inherited *inherited)
{
    for (size_t i = 0; i < inherited->count; i++) {
        const struct handed_socket socket = {
            .fd = inherited->list[i].fd,
            .type = inherited->list[i].type,
            .owner = HANDED_MANAGER,
            .endpoint = inherited->list[i].endpoint,
        };

        if (!add(handed, &socket)) {
            return false;
        }
    }
    return true;
}

int handed_collect(struct handed *handed, const struct generation *generation,
                   const struct handed_socket *http,
                   const struct inherited *inherited)
{
    *handed = (struct handed){0};
    for (size_t i = 0; i < generation->listen_count; i++) {
        if (!add_listen(handed, &generation->listens[i], generation->workers)) {
            goto fail;
        }
    }
    if ((http->fd < 0 || add(handed, http)) &&
        add_inherited(handed, inherited)) {
        return 0;
    }
fail:
    handed_free(handed);
    return -1;
}

void handed_write(const struct handed_socket *socket, unsigned tag,
                  struct record_writer *writer)
{
    size_t begun = record_begin(writer, tag);

    record_put_number(writer, TAG_TYPE, (uint64_t)socket->type);
    record_put_number(writer, TAG_OWNER, socket->owner);
    record_put_number(writer, TAG_INHERITED, socket->inherited);
    record_put(writer, TAG_ENDPOINT, &socket->endpoint.u,
               socket->endpoint.length);
    if (socket->dropped_known) {
        record_put_number(writer, TAG_DROPPED, socket->dropped);
    }
    record_end(writer, begun);
}

/* ---- taking over ---- */

static bool read_part(const struct record *part, void *arg)
{
    struct handed_socket *socket = arg;
    uint64_t number;

    switch (part->tag) {
    case TAG_TYPE:
        return record_number(part, INT32_MAX, &number) &&
               (socket->type = (int)number, true);
    case TAG_OWNER:
        return record_number(part, UINT32_MAX, &number) &&
               (socket->owner = (uint32_t)number, true);
    case TAG_INHERITED:
        return record_number(part, 1, &number) &&
               (socket->inherited = number, true);
    case TAG_DROPPED:
        socket->dropped_known = record_number(part, UINT32_MAX, &number);
        socket->dropped = socket->dropped_known ? (uint32_t)number : 0;
        return socket->dropped_known;
    case TAG_ENDPOINT:
        if (part->count > sizeof(socket->endpoint.u)) {
            return false;
        }
        socket->endpoint.length = (socklen_t)part->count;
        return record_copy(part, &socket->endpoint.u, part->count);
    default:
        return record_may_be_skipped(part);
    }
}

bool handed_read(struct handed *handed, const struct record *record, int fd)
{
    struct handed_socket socket = {.fd = fd};

    if (!record_each(record_enter(record), read_part, &socket) ||
        !add(handed, &socket)) {
        close(fd);
        return false;
    }
    return true;
}

const struct handed_socket *handed_take(struct handed *handed, int type,
                                        const struct endpoint *endpoint,
                                        uint32_t owner)
{
    static struct handed_socket taken;

    for (size_t i = 0; i < handed->count; i++) {
        size_t at = (handed->search_at + i) % handed->count;
        struct handed_socket *socket = &handed->list[at];

        if (socket->fd >= 0 && socket->type == type && socket->owner == owner &&
            endpoint_equal(&socket->endpoint, endpoint)) {
            taken = *socket;
            socket->fd = -1;
            handed->search_at = at + 1;
            return &taken;
        }
    }
    return NULL;
}

bool handed_move_inherited(struct handed *handed, struct inherited *inherited)
{
    for (size_t i = 0; i < handed->count; i++) {
        struct handed_socket *socket = &handed->list[i];

        if (socket->owner != HANDED_MANAGER) {
            continue;
        }
        if (inherited_adopt(inherited, socket->fd) < 0) {
            return false;
        }
        socket->fd = -1;
    }
    return true;
}

void handed_free(struct handed *handed)
{
    free(handed->list);
    *handed = (struct handed){0};
}

void handed_close(struct handed *handed)
{
    for (size_t i = 0; i < handed->count; i++) {
        if (handed->list[i].fd >= 0) {
            close(handed->list[i].fd);
        }
    }
    handed_free(handed);
}
