#include "config/reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An address that is open now. */
struct open_address {
    char text[ADDR_TEXT_MAX];
    enum config_mode mode;
    bool multipath;
    size_t index; /* in the old addresses */
    bool kept;
};

static int compare_addresses(const void *a, const void *b)
{
    const struct open_address *one = a;
    const struct open_address *two = b;
    int order = strcmp(one->text, two->text);

    if (order == 0) {
        order = (int)one->mode - (int)two->mode;
    }
    return order != 0 ? order : (int)one->multipath - (int)two->multipath;
}

/* Returns the open addresses, sorted for bsearch; NULL with errno. */
static struct open_address *sort_addresses(const struct reload_address *old,
                                           size_t count)
{
    struct open_address *open = calloc(count + 1, sizeof(*open));

    if (open == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        endpoint_format(&old[i].endpoint, open[i].text);
        open[i].mode = old[i].mode;
        open[i].multipath = old[i].multipath;
        open[i].index = i;
    }
    qsort(open, count, sizeof(*open), compare_addresses);
    return open;
}

static size_t count_listens(const struct config *config)
{
    size_t count = 0;

    for (size_t i = 0; i < config->service_count; i++) {
        count += config_count_ports(&config->services[i]);
    }
    return count;
}

static void plan_listen(struct reload_listen *listen, struct open_address *open,
                        size_t open_count, const struct endpoint *wanted,
                        const struct config_service *service)
{
    struct open_address key = {.mode = service->mode,
                               .multipath = service->mptcp};
    struct open_address *found;

    endpoint_format(wanted, key.text);
    found = bsearch(&key, open, open_count, sizeof(*open), compare_addresses);
    listen->action = found == NULL ? RELOAD_OPEN : RELOAD_KEEP;
    if (found != NULL) {
        listen->old_index = found->index;
        found->kept = true;
    }
}

static void plan_ports(struct reload_plan *plan, struct open_address *open,
                       size_t open_count, const struct config *wanted,
                       struct reload_listen listen)
{
    const struct config_service *service = &wanted->services[listen.service];
    const struct config_listen *ports = &service->listens[listen.listen];

    for (size_t i = 0; i < config_listen_ports(ports); i++) {
        struct endpoint endpoint = config_listen_at(ports, i);

        if (config_listen_is_first(wanted, listen.service, &endpoint)) {
            plan_listen(&listen, open, open_count, &endpoint, service);
            plan->listens[plan->listen_count++] = listen;
        }
    }
}

static void plan_listens(struct reload_plan *plan, struct open_address *open,
                         size_t open_count, const struct config *wanted)
{
    for (size_t i = 0; i < wanted->service_count; i++) {
        const struct config_service *service = &wanted->services[i];

        for (size_t j = 0; j < service->listen_count; j++) {
            plan_ports(plan, open, open_count, wanted,
                       (struct reload_listen){.service = i, .listen = j});
        }
    }
}

static void plan_closes(struct reload_plan *plan,
                        const struct open_address *open, size_t open_count)
{
    for (size_t i = 0; i < open_count; i++) {
        if (!open[i].kept) {
            plan->closes[plan->close_count++] = open[i].index;
        }
    }
}

int reload_plan(struct reload_plan *plan, const struct reload_address *old,
                size_t old_count, const struct config *wanted)
{
    struct open_address *open = sort_addresses(old, old_count);

    *plan = (struct reload_plan){0};
    if (open == NULL) {
        goto no_memory;
    }
    plan->listens = calloc(count_listens(wanted) + 1, sizeof(*plan->listens));
    plan->closes = calloc(old_count + 1, sizeof(*plan->closes));
    if (plan->listens == NULL || plan->closes == NULL) {
        goto no_memory;
    }
    plan_listens(plan, open, old_count, wanted);
    plan_closes(plan, open, old_count);
    free(open);
    return 0;
no_memory:
    reload_plan_fini(plan);
    free(open);
    errno = ENOMEM;
    return -1;
}

void reload_plan_fini(struct reload_plan *plan)
{
    free(plan->listens);
    free(plan->closes);
    *plan = (struct reload_plan){0};
}
