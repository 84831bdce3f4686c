#include "control/name_check.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/loops.h"
#include "control/resolver.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define CHECK_NS  (5 * NS_PER_S)
#define NO_ANSWER "no answer within 5 s"

/* Asks for all that was not asked for yet. Returns how many answers will come.
 */
static size_t ask_all(struct names *names, struct resolver *resolver)
{
    size_t asked = 0;

    for (size_t i = 0; i < names->count; i++) {
        struct name *name = names->list[i];

        if (name->asked) {
            continue;
        }
        name->asked = true;
        if (resolver_ask(resolver, name->kind, name->host, false) == 0) {
            names_fail(name, NO_ANSWER, 0);
            asked++;
        } else {
            names_fail(name, strerror(errno), 0);
        }
    }
    return asked;
}

static void take(struct names *names, struct lookup *lookup)
{
    struct name *name = names_find(names, lookup->kind, lookup->host);
    int result;

    if (lookup->count == 0) {
        names_fail(name, lookup->error, 0);
        lookup_free(lookup);
        return;
    }
    if (lookup->kind == ADDRESS_SRV) {
        result = names_answer_records(names, name, lookup->records,
                                      lookup->count, 0, 0);
    } else {
        result = names_answer(name, lookup->found, lookup->count, 0);
    }
    if (result < 0) {
        names_fail(name, strerror(errno), 0);
    }
    lookup_free(lookup);
}

static void await_answers(struct names *names, struct mailbox *mailbox,
                          struct resolver *resolver)
{
    size_t count = ask_all(names, resolver);
    uint64_t end_ns = clock_now_ns() + CHECK_NS;
    struct pollfd poll_fd = {.fd = mailbox->fd, .events = POLLIN};

    while (count > 0) {
        uint64_t now_ns = clock_now_ns();
        struct message *message = mailbox_next(mailbox);

        if (message != NULL) {
            take(names, lookup_of(message));
            count += ask_all(names, resolver) - 1; /* targets of records */
        } else if (now_ns >= end_ns) {
            return;
        } else {
            (void)poll(&poll_fd, 1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
        }
    }
}

static void look_up(struct names *names)
{
    struct mailbox mailbox;
    struct resolver *resolver;
    struct message *message;

    if (mailbox_open(&mailbox) < 0) {
        return;
    }
    resolver = resolver_create(&mailbox, 0);
    if (resolver != NULL) {
        await_answers(names, &mailbox, resolver);
        resolver_destroy(resolver);
    }
    while ((message = mailbox_next(&mailbox)) != NULL) {
        lookup_free(lookup_of(message));
    }
    mailbox_close(&mailbox);
}

/* what: "a.example", or "srv:_a._tcp.example: its target a.example". */
static void warn(const struct source *source,
                 const struct config_upstream *line, const char *what,
                 const struct name *name)
{
    char sentence[LOG_LINE_MAX], text[LOG_LINE_MAX];
    const struct config_error error = {.line = line->line, .message = sentence};

    snprintf(sentence, sizeof(sentence), "warning: %s does not resolve: %s",
             what, name->error);
    source_format_error(source, &error, text, sizeof(text));
    log_write(LOG_WARN, "%s", text);
}

static void warn_srv(const struct source *source,
                     const struct config_upstream *line,
                     const struct names *names, const struct name *name)
{
    char what[2 * ADDRESS_NAME_MAX + 16];

    if (!name->answered) {
        snprintf(what, sizeof(what), "srv:%s", name->host);
        warn(source, line, what, name);
    }
    for (size_t i = 0; i < name->count; i++) {
        const char *host = name->records[i].target;
        const struct name *target = names_find(names, ADDRESS_NAME, host);

        if (target != NULL && !target->answered) {
            snprintf(what, sizeof(what), "srv:%s: its target %s", name->host,
                     host);
            warn(source, line, what, target);
        }
    }
}

static void warn_all(const struct source *source, const struct config *config,
                     const struct names *names)
{
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        for (size_t j = 0; j < service->upstream_count; j++) {
            const struct config_upstream *line = &service->upstreams[j];
            const struct name *name =
                names_find(names, line->address.kind, line->address.host);

            if (name != NULL && name->kind == ADDRESS_SRV) {
                warn_srv(source, line, names, name);
            } else if (name != NULL && !name->answered) {
                warn(source, line, name->host, name);
            }
        }
    }
}

int name_check(struct names *names, const struct source *source,
               const struct config *config, struct config_errors *errors)
{
    if (names_add(names, config) == 0) {
        names_keep(names, config, 0);
        look_up(names);
    }
    warn_all(source, config, names);
    return loops_check(config, &names->known, errors);
}
