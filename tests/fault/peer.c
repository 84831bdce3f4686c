#include "peer.h"

#include "base/hash.h"

#include <errno.h>
#include <string.h>

/* A prime, so that no offset of any length looks like another. */
#define PATTERN_PERIOD 65521u
#define PIECE_MOST     4096u

static unsigned char pattern_bytes[PATTERN_PERIOD + PIECE_MOST];

/* The bytes of that pattern from that place on: PIECE_MOST of them. */
static const unsigned char *pattern_at(uint32_t pattern, uint32_t place)
{
    uint64_t random = 1;

    if (pattern_bytes[0] == 0) {
        for (size_t i = 0; i < PATTERN_PERIOD; i++) {
            pattern_bytes[i] = (unsigned char)(hash_random(&random) | 1);
        }
        memcpy(pattern_bytes + PATTERN_PERIOD, pattern_bytes, PIECE_MOST);
    }
    return pattern_bytes + ((uint64_t)pattern * 7919 + place) % PATTERN_PERIOD;
}

static uint32_t front_bytes(const struct peer_front *front)
{
    return front->head_bytes + front->hello_bytes;
}

void peer_copy(const struct peer_front *front, uint32_t pattern, uint32_t place,
               unsigned char *bytes, size_t count)
{
    for (; count > 0 && place < front_bytes(front); count--, place++) {
        *bytes++ = place < front->head_bytes
                       ? front->head[place]
                       : front->hello[place - front->head_bytes];
    }
    if (count > 0) {
        memcpy(bytes, pattern_at(pattern, place - front_bytes(front)), count);
    }
}

/* Whether these bytes, the next that came, are the ones that were due. */
static bool are_due(const struct peer *peer, const unsigned char *bytes,
                    size_t count)
{
    unsigned char due[PIECE_MOST];

    if (peer->got >= front_bytes(&peer->gets)) {
        return memcmp(bytes,
                      pattern_at(peer->expects,
                                 peer->got - front_bytes(&peer->gets)),
                      count) == 0;
    }
    peer_copy(&peer->gets, peer->expects, peer->got, due, count);
    return memcmp(bytes, due, count) == 0;
}

static void act(void *arg, uint64_t tag);

static void schedule(struct peer *peer)
{
    if (!peer->scheduled && peer->stream != NULL) {
        peer->scheduled = true;
        kernel_after(kernel_below(peer->plan.pause_ns), act, peer,
                     peer->stream->number);
    }
}

static void wake(void *arg)
{
    schedule(arg);
}

static void done(struct peer *peer)
{
    peer->stream->wake = NULL;
    peer->stream = NULL;
    peer->ended_ns = kernel_now_ns();
}

void peer_reset(struct peer *peer)
{
    struct stream *stream = peer->stream;

    if (peer->plan.hasty) {
        stream_hurry(stream);
    }
    peer->delivered = (uint32_t)stream->out.read;
    peer->sent_reset = true;
    peer->fin_delivered = stream->fin_sent;
    kernel_trace("peer %u  resets, %u of %u bytes delivered", peer->pattern,
                 peer->delivered, peer->sent);
    done(peer);
    stream_abort(stream);
}

/* The connection is gone. */
static void lost(struct peer *peer)
{
    struct stream *stream = peer->stream;

    kernel_trace("peer %u  is reset", peer->pattern);
    peer->got_reset = true;
    peer->refused_by_fault = stream->refused_by_fault;
    done(peer);
    stream_close(stream);
}

/* It reads no more, and will not. */
static bool stopped(const struct peer *peer)
{
    return peer->got >= peer->plan.read_most;
}

/* It was reset, and has nothing to do that would meet the error. */
static bool reset_unseen(const struct peer *peer)
{
    return peer->stream->state == STREAM_CLOSED && !peer->sent_fin;
}

/* True if it may have more to read at once. */
static bool read_some(struct peer *peer)
{
    unsigned char bytes[PIECE_MOST];
    size_t most = 1 + kernel_below(kernel_chance(4) ? 64 : PIECE_MOST);
    ssize_t count;

    if ((peer->broken || reset_unseen(peer)) &&
        (peer->got_fin || stopped(peer))) {
        lost(peer);
        return false;
    }
    if (peer->got_fin || stopped(peer)) {
        return false;
    }
    count = stream_recv(peer->stream, bytes, most, 0, most);
    if (count < 0) {
        if (errno != EAGAIN) {
            lost(peer);
        }
        return false;
    }
    if (count == 0 && peer->broken) {
        lost(peer); /* the error was told to send */
        return false;
    }
    if (count == 0) {
        kernel_trace("peer %u  got FIN after %u bytes", peer->pattern,
                     peer->got);
        peer->got_fin = true;
        return false;
    }
    peer->wrong |= !are_due(peer, bytes, (size_t)count);
    peer->got += (uint32_t)count;
    return true;
}

/* Small, large, one byte, or what fills a block of the proxy. */
static size_t piece(void)
{
    switch (kernel_below(8)) {
    case 0:
        return 1 + kernel_below(64);
    case 1:
        return 1;
    case 2:
        return PIECE_MOST;
    default:
        return 1 + kernel_below(PIECE_MOST);
    }
}

/* The next bytes to send; room: for those that must be put together. */
static const unsigned char *
next_bytes(const struct peer *peer, unsigned char room[PIECE_MOST], size_t size)
{
    uint32_t front = front_bytes(&peer->sends);

    if (peer->sent >= front) {
        return pattern_at(peer->pattern, peer->sent - front);
    }
    peer_copy(&peer->sends, peer->pattern, peer->sent, room, size);
    return room;
}

/* Whether the next piece ends with an urgent byte. Not in front of the pattern:
 * the mark would hide what is behind it from who looks at it there. */
static bool sends_urgent(const struct peer *peer)
{
    return kernel_chance(peer->plan.urgent) &&
           peer->sent >= front_bytes(&peer->sends);
}

/* True if it has sent a piece. */
static bool send_some(struct peer *peer)
{
    unsigned char room[PIECE_MOST];
    size_t left = peer_total(peer) - peer->sent;
    size_t size = piece();
    int flags = sends_urgent(peer) ? MSG_OOB : 0;
    ssize_t count;

    if (left == 0 || peer->sent_fin || peer->broken) {
        return false;
    }
    size = MIN(size, left);
    count = stream_send(peer->stream, next_bytes(peer, room, size), size, flags,
                        size);
    if (count < 0) {
        peer->broken = errno != EAGAIN;
        return peer->broken;
    }
    peer->sent += (uint32_t)count;
    if (peer->plan.hasty) {
        stream_hurry(peer->stream);
    }
    return true;
}

static bool may_end(const struct peer *peer)
{
    return peer->sent == peer_total(peer) && !peer->sent_fin && !peer->broken &&
           (peer->plan.ending == PEER_FIN ||
            peer->plan.ending == PEER_FIN_RESET ||
            (peer->plan.ending == PEER_FIN_AFTER && peer->got_fin));
}

static void end_stream(struct peer *peer)
{
    kernel_trace("peer %u  ends its stream after %u bytes", peer->pattern,
                 peer->sent);
    peer->sent_fin = stream_shutdown(peer->stream) == 0;
    peer->broken = !peer->sent_fin;
}

static bool due_to_reset(const struct peer *peer)
{
    return (peer->plan.ending == PEER_RESET &&
            peer->sent >= peer->plan.reset_at) ||
           (peer->plan.ending == PEER_FIN_RESET && peer->sent_fin &&
            kernel_chance(2));
}

/* Reads some, sends some, and ends if it is time. */
static void act(void *arg, uint64_t tag)
{
    struct peer *peer = arg;
    bool more;

    peer->scheduled = false;
    if (peer->stream == NULL || peer->stream->number != tag ||
        peer->stream->state == STREAM_CONNECTING ||
        (peer->identify != NULL && !peer->identify(peer))) {
        return;
    }
    more = read_some(peer);
    if (peer->stream != NULL && send_some(peer)) {
        more = true;
    }
    if (peer->stream != NULL && may_end(peer)) {
        end_stream(peer);
        more |= peer->broken;
    }
    if (peer->stream == NULL) {
        return;
    }
    if (due_to_reset(peer)) {
        peer_reset(peer);
    } else if (peer->got_fin && peer->sent_fin) {
        struct stream *stream = peer->stream;

        done(peer);
        stream_close(stream);
    } else if (more ||
               (peer->sent_fin && peer->plan.ending == PEER_FIN_RESET)) {
        schedule(peer);
    }
}

void peer_begin(struct peer *peer, struct stream *stream)
{
    peer->stream = stream;
    peer->began = true;
    peer->began_ns = kernel_now_ns();
    stream->wake = wake;
    stream->wake_arg = peer;
    if (peer->plan.hasty && stream->state == STREAM_OPEN) {
        act(peer, stream->number);
    } else {
        schedule(peer);
    }
}

void peer_stop(struct peer *peer)
{
    struct stream *stream = peer->stream;

    if (stream != NULL) {
        done(peer);
        stream_abort(stream);
    }
}
