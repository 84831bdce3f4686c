/*
 * What a connection begins with: its PROXY header, its ClientHello, or what it
 * sends instead, and where it stops.
 */
#include "rig.h"

#include <ctype.h>
#include <string.h>
#include <sys/param.h>

/* Addresses that clients have, and that PROXY headers tell. */
static const char *const local_sources[] = {"127.0.0.1", "127.0.0.2",
                                            "127.0.0.3"};
static const char *const told_sources[] = {"198.51.100.1", "198.51.100.2",
                                           "2001:db8:1::1", "2001:db8:2::1"};

/* The bytes of each connection. */
static struct {
    uint8_t head[OPENING_HEADER_MAX];
    uint8_t hello[OPENING_HELLO_MAX];
    uint8_t told[2][OPENING_TOLD_MAX];
} openings[CONNS_MAX];

static unsigned place_of(const struct conn *conn)
{
    return (unsigned)(conn - rig.conns);
}

const char *entry_source(bool told)
{
    return told ? told_sources[kernel_below(ARRAY_LEN(told_sources))]
                : local_sources[kernel_below(ARRAY_LEN(local_sources))];
}

static void set_address(struct addr *addr, const char *text, unsigned port)
{
    if (addr_parse_ip(text, addr) != NULL) {
        rig_fail("no address: %s", text);
    }
    addr->port = (uint16_t)port;
}

static enum opening_header pick_header(const struct conn *conn)
{
    static const enum opening_header kinds[] = {
        HEADER_V1,       HEADER_V1,       HEADER_V2,
        HEADER_V2,       HEADER_V2_TLVS,  HEADER_V2,
        HEADER_V1_LOCAL, HEADER_V2_LOCAL, HEADER_WRONG};

    /* Connections that share a service must not look alike to its servers. */
    if (conn->service != NULL && conn->service->clients > 1) {
        return kinds[kernel_below(6)];
    }
    if (kernel_chance(16)) {
        return HEADER_V2_LONG;
    }
    return kinds[kernel_below(rig.flood ? 6 : ARRAY_LEN(kinds))];
}

/* Writes the PROXY header. ends becomes what it names, if it is taken. Answers
 * whether it names addresses. */
static bool plan_header(struct conn *conn, struct opening_ends *ends)
{
    enum opening_header kind = pick_header(conn);
    const char *source = entry_source(true);
    bool six = strchr(source, ':') != NULL;
    unsigned place = place_of(conn);
    struct opening_ends told;

    set_address(&told.source, source, TOLD_PORT + place);
    set_address(&told.destination, six ? "2001:db8::9" : "203.0.113.9", 443);
    conn->client_peer.sends.head = openings[place].head;
    conn->client_peer.sends.head_bytes =
        opening_write_header(kind, &told, openings[place].head);
    if (kind == HEADER_V2_LONG) {
        stream_set_accept_queue(OPENING_LOOK_BYTES + 4096);
    }
    if (!(rig.listens[conn->listen].senders >> conn->local & 1)) {
        conn->entry = ENTRY_NOT_ALLOWED;
    } else if (kind == HEADER_WRONG) {
        conn->entry = ENTRY_BAD_HEADER;
    }
    if (kind < HEADER_V1_LOCAL && conn->entry == ENTRY_ROUTED) {
        conn->client = told.source;
        conn->source = source;
        *ends = told;
    }
    return kind < HEADER_V1_LOCAL;
}

/* The case of a name plays no part, and it may end with a dot. */
static void vary_name(char *name)
{
    for (; *name != 0; name++) {
        *name =
            (char)(kernel_chance(2) ? toupper((unsigned char)*name) : *name);
    }
    if (kernel_chance(8)) {
        *name++ = '.';
        *name = 0;
    }
}

/* Writes the ClientHello that comes then. A client that names no service may
 * send something else. */
static void plan_hello(struct conn *conn)
{
    unsigned place = place_of(conn);
    enum opening_hello kind = HELLO_NAMED;

    if (conn->service == NULL || conn->service->names[0] == 0) {
        kind = (enum opening_hello)between(HELLO_NAMED, HELLO_WRONG + 1);
    }
    if (kind > HELLO_WRONG) {
        conn->client_peer.plan.total = MAX(conn->client_peer.plan.total, 1);
        conn->needed = 1; /* byte of the pattern, which tells that it is none */
        return;
    }
    vary_name(conn->name);
    conn->client_peer.sends.hello = openings[place].hello;
    conn->client_peer.sends.hello_bytes = opening_write_hello(
        kind, conn->name, (uint8_t)place, openings[place].hello);
    conn->needed = conn->client_peer.sends.hello_bytes;
    conn->whole = kind == HELLO_WRONG;
}

/* The client ends within its opening, or sends no more of it. */
static void cut_opening(struct conn *conn)
{
    struct peer *client = &conn->client_peer;
    uint32_t left = (uint32_t)kernel_below(conn->needed);

    client->sends.head_bytes = MIN(client->sends.head_bytes, left);
    client->sends.hello_bytes =
        MIN(client->sends.hello_bytes, left - client->sends.head_bytes);
    client->plan.total = 0;
    client->plan.read_most = UINT32_MAX;
    client->plan.reset_at = left;
    conn->entry = ENTRY_CUT_OFF;
    switch (kernel_below(3)) {
    case 0:
        client->plan.ending = PEER_FIN;
        break;
    case 1:
        client->plan.ending = PEER_RESET;
        client->plan.reset_at = peer_total(client);
        break;
    default:
        client->plan.ending = PEER_SILENCE;
        conn->entry = ENTRY_SILENT;
        break;
    }
}

/* A reset comes behind the opening, or within it. */
static void shift_reset(struct conn *conn)
{
    struct peer *client = &conn->client_peer;
    uint32_t front = client->sends.head_bytes + client->sends.hello_bytes;

    if (client->plan.ending == PEER_RESET && conn->entry != ENTRY_CUT_OFF) {
        client->plan.reset_at = front > 0 && kernel_chance(4)
                                    ? (uint32_t)kernel_below(front)
                                    : front + client->plan.reset_at;
    }
}

static void write_told(struct conn *conn, const struct opening_ends *ends)
{
    for (unsigned i = 0; i < 2; i++) {
        conn->told[i] = openings[place_of(conn)].told[i];
        conn->told_bytes[i] = opening_write_told(
            i + 1, ends, openings[place_of(conn)].head,
            conn->entry == ENTRY_ROUTED ? conn->client_peer.sends.head_bytes
                                        : 0,
            conn->told[i]);
    }
}

void entry_plan(struct conn *conn)
{
    struct listen *listen = &rig.listens[conn->listen];
    struct opening_ends ends;
    bool told = true;

    conn->entry = conn->service == NULL ? ENTRY_NO_ROUTE : ENTRY_ROUTED;
    conn->local = (unsigned)kernel_below(ARRAY_LEN(local_sources));
    conn->source = local_sources[conn->local];
    set_address(&conn->client, conn->source, CLIENT_PORT + place_of(conn));
    ends.source = conn->client;
    set_address(&ends.destination, "127.0.0.1", LISTEN_PORT + conn->listen);
    if (listen->named) {
        plan_hello(conn);
    }
    if (listen->proxy_protocol) {
        told = plan_header(conn, &ends);
        conn->needed += conn->client_peer.sends.head_bytes;
    }
    write_told(conn, told ? &ends : NULL);
    if (!rig.flood && conn->needed > 0 && !conn->whole && kernel_chance(8) &&
        (conn->entry == ENTRY_ROUTED || conn->entry == ENTRY_NO_ROUTE)) {
        cut_opening(conn);
    }
    shift_reset(conn);
}
