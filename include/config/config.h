/*
 * config: a snapshot of the configuration: its end, and questions about it.
 * Pure. Its types are in config/snapshot.h; config/load.h makes one from a text
 * or a file.
 *
 * A snapshot does not change once the control thread has given it to workers.
 * Only the control thread destroys it; sessions reach it through their
 * generation.
 */
#ifndef EVPROXY_CONFIG_CONFIG_H
#define EVPROXY_CONFIG_CONFIG_H

#include "base/base.h"
#include "config/snapshot.h"

#define CONFIG_DEFAULT_FILE "/etc/evproxy/evproxy.ini"

/* Adds an owner: the last one's config_destroy frees the snapshot. Answers
 * config. */
struct config *config_share(struct config *config);

void config_destroy(struct config *config);

/*
 * Services that are told apart by server name may share a listen address, which
 * is opened once. Returns whether the service is the first with this address,
 * which is one of its own, and its mode.
 */
bool config_listen_is_first(const struct config *config, size_t service,
                            const struct endpoint *endpoint);

/* The ports of a listen, which is a range or one: how many; the endpoint of one
 * of them, from 0; whether the endpoint is one of them. A path counts as one.
 */
size_t config_listen_ports(const struct config_listen *listen);
struct endpoint config_listen_at(const struct config_listen *listen, size_t i);
bool config_listen_has(const struct config_listen *listen,
                       const struct endpoint *endpoint);

/* Of all its listens. */
size_t config_count_ports(const struct config_service *service);

/*
 * Picks the local address for a connection of that family: turn counts through
 * all addresses that source_address lists. False if it lists none.
 */
bool config_source(const struct config_service *config, int family,
                   uint64_t turn, struct addr *source);

/*
 * Replaces the value of each key that needs a restart by the running one, and
 * calls changed with the name of each whose values differ. -1 with errno =
 * ENOMEM: some are replaced, and the config is fit to be destroyed only.
 */
typedef void (*config_key_fn)(void *arg, const char *key);
int config_keep_restart_keys(struct config *config,
                             const struct config *running,
                             config_key_fn changed, void *arg) WARN_UNUSED;

/* One row of the key table, for the checks of the documents. */
struct config_key_info {
    const char *section; /* "global" or "service" */
    const char *name;
    const char *default_text; /* as in the sample file; "" if there is none */
    const char *help;         /* one line */
    bool required;            /* in each of its sections */
    bool available;           /* false: refused in this build */
    bool optional;            /* only some builds have it */
};

/* Fills in the row of that number; false after the last row. */
bool config_key(size_t index, struct config_key_info *info) WARN_UNUSED;

#endif
