/*
 * upgrade: SIGUSR2: starts the binary that is on disk now and hands everything
 * over to it: listening sockets, established connections, counters. This is the
 * old process's part; that of the new one is control/takeover.h, and what they
 * say to each other is in control/upgrade_message.h. Control thread, in its
 * loop.
 *
 *      NONE ──▶ GREETING ──▶ ESTATE ──▶ LEDGER ──▶ ANNOUNCING
 *        ▲          │           │          │           │
 *        ├──────────┴───────────┴──────────┴───────────┤
 *        │     it fails: all goes on as it was         ▼
 *        └────────────────────────────── MOVING ◀── FREEZING
 *                                           │
 *                                           ▼
 *                                      COMMITTING ──▶ LEFT
 *
 * Until the new process has said STARTED, this one has everything, and goes on
 * if the other one ends, says so, or is silent for 10 s. Afterwards this one
 * has only the sessions that cannot move, and tells the new one how they end.
 */
#ifndef EVPROXY_CONTROL_UPGRADE_H
#define EVPROXY_CONTROL_UPGRADE_H

#include "control/changes.h"
#include "control/health.h"
#include "control/hello.h"
#include "control/http.h"
#include "control/last_words.h"
#include "control/ledger_sender.h"
#include "control/session_sender.h"
#include "control/spawn.h"
#include "control/systemd.h"
#include "control/upgrade_writer.h"
#include "control/workers.h"

#include <stdbool.h>
#include <stdint.h>

enum upgrade_phase {
    UPGRADE_NONE,
    UPGRADE_GREETING,
    UPGRADE_ESTATE,
    UPGRADE_LEDGER,
    UPGRADE_ANNOUNCING, /* from here on workers are asked for something */
    UPGRADE_FREEZING,
    UPGRADE_MOVING,
    UPGRADE_COMMITTING,
    UPGRADE_LEFT, /* for good */
};

struct upgrade {
    struct loop *loop;
    struct changes *changes;
    struct workers *workers;
    struct http *http;
    struct systemd *systemd;
    struct inherited *inherited;
    char **arguments;
    void (*ended)(void *arg, bool left); /* the upgrade has failed, or what can
                                            move has left */
    void *arg;
    unsigned kind; /* of its events and its timer */

    enum upgrade_phase phase;
    struct spawned process;   /* and the channel to it */
    struct wheel_timer timer; /* to the end of the silence; in LEFT, to the next
                                 pass of the ledger */
    struct ledger ledger;
    struct handed handed;
    size_t at; /* of names and sockets, how many were sent */
    struct session_sender sessions;
    unsigned due;       /* answers of workers that are on their way */
    uint64_t frozen_ns; /* when the first of them stopped */
    uint32_t stay;
    struct ledger_sender sender;
    struct hello new; /* of the new binary */
    struct last_words words;
    struct channel_message message;
};

/* The fields before `phase` are set. */
void upgrade_init(struct upgrade *upgrade);

/* Begins, or writes a line that says why not. */
void upgrade_begin(struct upgrade *upgrade);

/* One is under way: the configuration must not change. */
static inline bool upgrade_under_way(const struct upgrade *upgrade)
{
    return upgrade->phase != UPGRADE_NONE && upgrade->phase != UPGRADE_LEFT;
}

/* Gives it up. Harmless if none is under way. */
void upgrade_abandon(struct upgrade *upgrade, const char *reason);

/* A worker has reported _ANNOUNCED, _FROZEN or _THAWED. */
void upgrade_reported(struct upgrade *upgrade, const struct report *report);

/* Nothing is left here. True: the new process knows all, or is gone. False: it
 * is told, and ended is called again. */
bool upgrade_finish(struct upgrade *upgrade);

/* After the workers have ended. */
void upgrade_fini(struct upgrade *upgrade);

/* The loop's handlers. */
void upgrade_event(struct upgrade *upgrade, uint32_t index);
void upgrade_timer(struct upgrade *upgrade);

#endif
