#include "config/access.h"

void access_fini(struct access *access)
{
    network_tree_fini(&access->networks);
    *access = (struct access){0};
}

int access_add_network(struct access *access, const struct network *network,
                       bool allow)
{
    access->any_allow |= allow;
    return network_tree_add(&access->networks, network, allow);
}

void access_add_unix(struct access *access, bool allow)
{
    access->any_allow |= allow;
    if (!access->unix_known) {
        access->unix_known = true;
        access->unix_allowed = allow;
    }
}

int access_add_all(struct access *access, bool allow)
{
    const struct network four = {.base.family = AF_INET};
    const struct network six = {.base.family = AF_INET6};

    access_add_unix(access, allow);
    return access_add_network(access, &four, allow) < 0
               ? -1
               : access_add_network(access, &six, allow);
}

bool access_allows(const struct access *access, const struct addr *client)
{
    int verdict = -1;

    if (addr_is_ip(client)) {
        verdict = network_tree_find(&access->networks, client);
    } else if (access->unix_known) {
        verdict = access->unix_allowed;
    }
    return verdict < 0 ? !access->any_allow : verdict != 0;
}
