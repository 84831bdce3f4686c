/*
 * reload: what a new configuration changes, decided before anything is done.
 * Pure.
 *
 * Listening sockets are told apart by their address and mode alone: one that
 * both configurations have stays open, whichever service it belongs to, and one
 * that services share by server name is one.
 */
#ifndef EVPROXY_CONFIG_RELOAD_H
#define EVPROXY_CONFIG_RELOAD_H

#include "config/config.h"

/* Where a socket is open. */
struct reload_address {
    struct endpoint endpoint;
    enum config_mode mode;
};

enum reload_action { RELOAD_KEEP, RELOAD_OPEN };

struct reload_listen {
    enum reload_action action;
    size_t service;   /* of the new configuration */
    size_t listen;    /* of that service */
    size_t old_index; /* RELOAD_KEEP: its place among the old addresses */
};

struct reload_plan {
    struct reload_listen *listens; /* every listen of the new configuration */
    size_t listen_count;
    size_t *closes; /* places among the old addresses */
    size_t close_count;
};

/*
 * old: the addresses that are open now. -1 with errno = ENOMEM, else 0 and the
 * caller calls reload_plan_fini.
 */
int reload_plan(struct reload_plan *plan, const struct reload_address *old,
                size_t old_count, const struct config *wanted) WARN_UNUSED;

void reload_plan_fini(struct reload_plan *plan);

#endif
