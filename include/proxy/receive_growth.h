/*
 * receive_growth: when the receive buffer of a relay's source may grow. Pure.
 *
 * The kernel grows the receive buffer of a TCP socket while its bytes are read
 * quickly (receive autotuning), and takes the first burst for a quick reader:
 * what the sink's kernel has room for. If the sink then reads slowly, or not at
 * all, megabytes from the source wait in the kernel for each connection. So the
 * buffer may grow only while the source is what is waited for:
 *
 *                a full read or a wait for the sink,
 *                and the balance is low
 *      UNTOUCHED ─────────────────────────────────────▶ HELD
 *                                                       │  ▲
 *                                the balance is high    ▼  │ as above
 *                                                       FREE
 *
 * The balance is time. What was waited for the source counts for growth, and
 * what was waited for the sink counts against it. Each byte counts for it as
 * well, so that the balance of a sink that takes 62.5 MB a second or more rises
 * though it is always waited for: what such a sink leaves behind is little in
 * time. A sink that is slower stays held all the time.
 *
 * A source is near until an order finds that it is far away. For a longer wait
 * than a near source's round trip its window is not the reason: that one does
 * not count. A source that is far away fills its window once in a round trip,
 * and a window that is held in the slow start of both ways costs round trips.
 * So it begins as FREE, and its balance counts time and bytes GROWTH_FAR times
 * less.
 *
 * An order costs system calls. So there is none for a connection that never
 * fills a block, and later orders need credit, which full reads earn: there are
 * at most GROWTH_ORDERS orders and one more for every GROWTH_READS full reads.
 *
 * While the machine is short of memory for TCP (tight), no buffer is released,
 * and each wait for the sink holds one, for which there is credit.
 */
#ifndef EVPROXY_PROXY_RECEIVE_GROWTH_H
#define EVPROXY_PROXY_RECEIVE_GROWTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Full reads for each order, and the orders that a connection has without. */
#define GROWTH_READS  50u
#define GROWTH_ORDERS 5u

/* The unit of the balance, in ns, and how many bytes count as much: 62.5 MB in
 * a second. */
#define GROWTH_UNIT_NS    4096
#define GROWTH_UNIT_BYTES 256
#define GROWTH_FAR        16

/*
 * In units: the balance from which on the buffer may grow (33 ms), up to which
 * it is held the first time and later (-33 ms), the bounds of the balance (-37
 * and 66 ms), and the most that one wait for the source (25 ms) and for the
 * sink (16 ms) counts. Bytes alone take 2 MB: more than a sink's kernel takes
 * for a reader that never reads.
 */
#define GROWTH_FREE_FROM       8000
#define GROWTH_HELD_FROM       1000
#define GROWTH_HELD_AGAIN_FROM (-8000)
#define GROWTH_LEAST           (-9000)
#define GROWTH_MOST            16000
#define GROWTH_SOURCE_MOST     6000
#define GROWTH_SINK_MOST       4000

/* After a longer wait for the source, it was idle or slow itself: a near one,
 * and one that is far away. */
#define GROWTH_NEAR_MOST_NS UINT64_C(5000000)
#define GROWTH_FAR_MOST_NS  UINT64_C(1000000000)

/* Before so many bytes of the source, a wait for it is that for an answer. */
#define GROWTH_FROM_BYTES 8192

/* A read of fewer bytes is not looked at: requests pay nothing. */
#define GROWTH_READ_MIN 1000

enum growth_state {
    GROWTH_UNTOUCHED, /* zero: as at the start */
    GROWTH_HELD,
    GROWTH_HELD_WIDE, /* and to be made small when its bytes have been read */
    GROWTH_FREE,
};

enum growth_order {
    GROWTH_NOTHING, /* leave the buffer alone */
    GROWTH_SHRINK,  /* make it small, and hold it */
    GROWTH_HOLD,    /* hold it at its size */
    GROWTH_RELEASE, /* let the kernel grow it again */
};

struct receive_growth {
    int16_t balance;   /* in units; above zero: for growth */
    uint8_t credit;    /* in full reads */
    uint8_t state : 7; /* enum growth_state */
    bool far : 1;
};

/* An order to shrink the buffer met a source that is far away. */
void receive_growth_is_far(struct receive_growth *growth);

/*
 * The source gave count bytes, total of them with these. full: as many as were
 * asked for, so that more may be there. waited_ns: how long it was waited for;
 * 0: it was not.
 */
enum growth_order receive_growth_read(struct receive_growth *growth,
                                      size_t count, uint64_t total, bool full,
                                      uint64_t waited_ns, bool tight);

/* The sink takes nothing now. Not to be called before a block was filled. */
enum growth_order receive_growth_sink_waits(struct receive_growth *growth,
                                            bool tight);

/* The sink takes bytes again after so long. */
void receive_growth_sink_waited(struct receive_growth *growth,
                                uint64_t waited_ns);

/* All of it as a number, for another process. That of zero is zero. */
uint32_t receive_growth_save(const struct receive_growth *growth);

/* False: no such number, and growth is not touched. */
bool receive_growth_restore(struct receive_growth *growth, uint32_t number);

#endif
