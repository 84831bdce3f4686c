/*
 * upgrade_message: what the two processes of an upgrade say to each other: each
 * message is one or more records (base/record.h) in a channel (net/channel.h).
 *
 *      the old process                        the new process
 *      HELLO                             ──▶
 *                                        ◀──  HELLO
 *      NAME, SOCKET ..., ESTATE_END      ──▶        a NEXT for each message
 *                                        ◀──  NEXT  once it has prepared its
 *                                                   configuration and sockets
 *      the ledger ..., LEDGER_END        ──▶        a NEXT for each message
 *                                        ◀──  PREPARED
 *      SESSIONS, ANNOUNCED ...,
 *      ANNOUNCED_END                     ──▶        a NEXT for each message
 *                                        ◀──  PREPARED
 *      freezes
 *      the ledger ..., SESSIONS,
 *      BYTES, SESSION ..., SESSIONS_END  ──▶        a NEXT for each message
 *                                        ◀──  STAYS what it cannot take up
 *                                        ◀──  READY it holds all else, frozen
 *      COMMIT                            ──▶
 *                                        ◀──  STARTED, and then bytes move
 *      gives up what the other has
 *      the ledger, again and again       ──▶
 *      GOODBYE                           ──▶
 *
 * Until STARTED the old process has everything and can go on. If the new one
 * cannot, it says FAILED at any time before. Connections are announced if the
 * new one has said in HELLO that they may be.
 */
#ifndef EVPROXY_CONTROL_UPGRADE_MESSAGE_H
#define EVPROXY_CONTROL_UPGRADE_MESSAGE_H

#include "base/record.h"
#include "net/channel.h"

/* In the environment of the new process: "CHANNEL,LOG", two descriptors. */
#define UPGRADE_VARIABLE "EVPROXY_UPGRADE"

/* Raised when what is written cannot be read by the rules of records alone; and
 * the least one that the writer's records can be read by. */
#define UPGRADE_FORMAT       1
#define UPGRADE_FORMAT_LEAST 1

#define UPGRADE_SILENCE_NS (10 * NS_PER_S)

/* Tags of records, beside those of control/ledger.h. They never change their
 * meaning. */
enum {
    UPGRADE_HELLO = 1 | RECORD_CRITICAL,
    UPGRADE_NAME = 2,
    UPGRADE_SOCKET = 3 | RECORD_CRITICAL,
    UPGRADE_ESTATE_END = 4 | RECORD_CRITICAL,
    UPGRADE_LEDGER_END = 5 | RECORD_CRITICAL,
    UPGRADE_SESSIONS = 6 | RECORD_CRITICAL,
    UPGRADE_BYTES_UP = 7 | RECORD_CRITICAL,
    UPGRADE_BYTES_DOWN = 8 | RECORD_CRITICAL,
    UPGRADE_SESSION = 9 | RECORD_CRITICAL,
    UPGRADE_SESSIONS_END = 10 | RECORD_CRITICAL,
    UPGRADE_COMMIT = 11 | RECORD_CRITICAL,
    UPGRADE_GOODBYE = 12,
    UPGRADE_ANNOUNCED = 13 | RECORD_CRITICAL,
    UPGRADE_ANNOUNCED_END = 14 | RECORD_CRITICAL,

    UPGRADE_NEXT = 0x40 | RECORD_CRITICAL,
    UPGRADE_PREPARED = 0x41 | RECORD_CRITICAL,
    UPGRADE_READY = 0x42 | RECORD_CRITICAL,
    UPGRADE_STARTED = 0x43 | RECORD_CRITICAL,
    UPGRADE_FAILED = 0x44 | RECORD_CRITICAL, /* a text: why */
    UPGRADE_STAYS = 0x45 | RECORD_CRITICAL,
};

/* The part of HELLO that decides whether its writer can be understood; the
 * others are in control/hello. */
#define UPGRADE_HELLO_LEAST (2 | RECORD_CRITICAL)

/* Of SESSIONS: how many there are, and the descriptors that travel with them.
 */
enum {
    UPGRADE_SESSIONS_COUNT = 1,
    UPGRADE_SESSIONS_DESCRIPTORS = 2,
};

/* Of COMMIT: when the old process froze. Of STAYS: the number, in their order,
 * of each session that stays in the old process. */
enum {
    UPGRADE_COMMIT_FROZEN_NS = 1,
    UPGRADE_STAYS_NUMBER = 1 | RECORD_CRITICAL,
};

/* Begins to write into a message. */
static inline struct record_writer
upgrade_message_writer(struct channel_message *message)
{
    message->fd_count = 0;
    return (struct record_writer){message->bytes, sizeof(message->bytes), 0,
                                  false};
}

static inline struct record_reader
upgrade_message_reader(const struct channel_message *message)
{
    return (struct record_reader){message->bytes, message->count};
}

#endif
