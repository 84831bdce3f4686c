#include "config/rules.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static const char out_of_memory[] = "out of memory";

/* One line of a file of networks. NULL, or a sentence. */
static const char *add_line(struct access *access, char *line, bool allow)
{
    struct network network;
    const char *why;

    line[strcspn(line, "#")] = '\0';
    line = ini_trim(line);
    if (*line == '\0') {
        return NULL;
    }
    why = network_parse(line, &network);
    if (why == NULL && access_add_network(access, &network, allow) < 0) {
        why = out_of_memory;
    }
    return why;
}

static void add_file(struct draft *draft, struct access *access,
                     const struct config_rule *rule)
{
    const char *why;
    size_t count;
    char *text = file_read(rule->path, RULES_FILE_MIB, &count, &why);
    char *rest = text;
    unsigned number = 0;
    char *line;

    if (text != NULL && strlen(text) != count) {
        why = "it has a byte of value 0";
        rest = NULL;
    }
    if (rest == NULL) {
        draft_error(draft, rule->line, "%s: %s", rule->path, why);
    }
    while ((line = strsep(&rest, "\n")) != NULL) {
        number++;
        why = add_line(access, line, rule->allow);
        if (why != NULL) {
            draft_error(draft, rule->line, "%s:%u: %s", rule->path, number,
                        why);
        }
    }
    free(text);
}

static void add_rule(struct draft *draft, struct access *access,
                     const struct config_rule *rule)
{
    int result = 0;

    access->any_allow |= rule->allow; /* a file may be empty */
    switch (rule->clients) {
    case CLIENTS_NETWORK:
        result = access_add_network(access, &rule->network, rule->allow);
        break;
    case CLIENTS_UNIX:
        access_add_unix(access, rule->allow);
        break;
    case CLIENTS_ALL:
        result = access_add_all(access, rule->allow);
        break;
    case CLIENTS_FILE:
        add_file(draft, access, rule);
        break;
    }
    if (result < 0) {
        draft_error(draft, rule->line, out_of_memory);
    }
}

void rules_build(struct draft *draft)
{
    for (size_t i = 0; i < draft->config->service_count; i++) {
        struct config_service *service = &draft->config->services[i];

        for (size_t j = 0; j < service->rule_count; j++) {
            add_rule(draft, &service->access, &service->rules[j]);
        }
        for (size_t j = 0; j < service->proxy_from_count; j++) {
            if (network_tree_add(&service->proxy_senders,
                                 &service->proxy_from[j], true) < 0) {
                draft_error(draft, service->line, out_of_memory);
            }
        }
    }
}
