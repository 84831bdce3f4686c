/*
 * access: which clients may connect: what allow and deny say, in a form that is
 * asked for each connection. Pure. Built once, then only read, by any thread.
 */
#ifndef EVPROXY_CONFIG_ACCESS_H
#define EVPROXY_CONFIG_ACCESS_H

#include "base/network_tree.h"

#include <stdbool.h>

/* All-zero: everyone may connect. */
struct access {
    struct network_tree networks;
    bool any_allow;
    bool unix_known; /* a rule is about clients without an IP address: */
    bool unix_allowed;
};

void access_fini(struct access *access);

/* Each adds a rule behind those before: the first that fits a client decides.
 * -1 with errno = ENOMEM. */
int access_add_network(struct access *access, const struct network *network,
                       bool allow) WARN_UNUSED;
/* About clients without an IP address: of unix sockets, and of PROXY headers of
 * that family. */
void access_add_unix(struct access *access, bool allow);
int access_add_all(struct access *access, bool allow) WARN_UNUSED;

/* A client that no rule fits is denied if there is any allow. */
bool access_allows(const struct access *access, const struct addr *client);

#endif
