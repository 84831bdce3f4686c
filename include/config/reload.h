/*
 * reload: what a new configuration changes at the listening sockets, decided
 * before anything is done. Pure.
 *
 * A listening socket is identified by its address, mode, and whether it takes
 * Multipath TCP. If both
 * configurations have it, it stays open, even if its service changes. Services
 * that share an address by server name share its sockets.
 */
#ifndef EVPROXY_CONFIG_RELOAD_H
#define EVPROXY_CONFIG_RELOAD_H

#include "config/config.h"

/* What a listening socket is identified by. */
struct reload_address {
    struct endpoint endpoint;
    enum config_mode mode;
    bool multipath;
};

enum reload_action { RELOAD_KEEP, RELOAD_OPEN };

struct reload_listen {
    enum reload_action action;
    size_t service;   /* index in the new configuration */
    size_t listen;    /* index in that service */
    size_t old_index; /* RELOAD_KEEP: index in the old addresses */
};

struct reload_plan {
    struct reload_listen *listens; /* every listen of the new configuration */
    size_t listen_count;
    size_t *closes; /* indexes in the old addresses */
    size_t close_count;
};

/* old: the addresses that are open now. -1 with errno = ENOMEM; after 0 the
 * caller calls reload_plan_fini. */
int reload_plan(struct reload_plan *plan, const struct reload_address *old,
                size_t old_count, const struct config *wanted) WARN_UNUSED;

void reload_plan_fini(struct reload_plan *plan);

#endif
