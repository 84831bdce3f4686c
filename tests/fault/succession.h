/*
 * succession: the upgrade that is under way in a run: both processes, and what
 * goes wrong with them. For upgrades.c and succession.c alone.
 *
 * succession.c stands in for what an upgrade does to processes and threads: the
 * linker turns those functions to it (wrap.mk).
 */
#ifndef EVPROXY_FAULT_SUCCESSION_H
#define EVPROXY_FAULT_SUCCESSION_H

#include "control/takeover.h"
#include "control/upgrade.h"
#include "proxy/handover.h"

#include <setjmp.h>

#define TAKES_MAX 16

enum trouble {
    NO_TROUBLE,
    NEW_DIES,
    NEW_HANGS,
    NEW_LACKS_DESCRIPTORS,
    TOLD_TO_STOP,
    SEND_FAILS,
    MEMORY_FAILS,
    TROUBLES,
};

struct succession {
    enum trouble trouble;
    unsigned turn; /* of waits; and when the trouble comes: */
    unsigned trouble_turn;
    bool started; /* the new process has said that it goes on */
    bool lacks;   /* and it lacks a service */
    bool is_killed;
    jmp_buf killed;
    bool running; /* the new process's part */

    struct loop old_loop, new_loop;
    struct plane *from, *to;
    struct workers old_workers, new_workers;
    struct worker *old_list[1], *new_list[1];
    struct handover handover;

    struct upgrade upgrade;
    struct changes changes;
    struct http http;
    struct systemd systemd;
    struct inherited inherited;
    struct generation *alive[64];
    struct takeover takeover;
    struct generations generations; /* of the new process */
    struct names names;
    int pid_fd;        /* of the new process, as the old one has it */
    int channel;       /* the new process's end */
    bool announce_due; /* commands to the old process's worker */
    bool freeze_due;
    unsigned freeze_turn; /* not before: others may take ended ones' records */
    bool thaw_old_due;
    bool depart_due;
    bool thaw_due; /* to the new one's */
    struct handover_batch *takes[TAKES_MAX];
    struct report *answers[TAKES_MAX];
    unsigned take_count;
    struct report *announced, *frozen, *thawed_old, *thawed;
};

extern struct succession scene;

/* The workers do some of what they were told. Answers how many sessions have
 * left the old process. */
unsigned succession_work(void);

/* What the new process has is gone with it, and the connections stay with the
 * old one. */
void succession_end_new(void);

#endif
