#include "control/lookups.h"

#include "base/log.h"

#include <errno.h>

/* A look-up that took longer is expected to be slow again. */
#define SLOW_NS NS_PER_S

int lookups_open(struct lookups *lookups, struct loop *loop,
                 unsigned timer_kind, int message_type)
{
    *lookups = (struct lookups){.loop = loop, .timer.kind = timer_kind};
    names_init(&lookups->names);
    lookups->resolver = resolver_create(&loop->mailbox, message_type);
    return lookups->resolver == NULL ? -1 : 0;
}

void lookups_close(struct lookups *lookups)
{
    wheel_disarm(&lookups->loop->wheel, &lookups->timer);
    resolver_destroy(lookups->resolver);
    lookups->resolver = NULL;
}

void lookups_fini(struct lookups *lookups)
{
    names_fini(&lookups->names);
}

/* The timer rings for the name, if not before. */
static void arm(struct lookups *lookups, const struct name *name)
{
    if (!wheel_armed(&lookups->timer) ||
        wheel_due_ns(&lookups->timer) > name->due_ns) {
        wheel_arm(&lookups->loop->wheel, &lookups->timer, name->due_ns);
    }
}

void lookups_begin(struct lookups *lookups)
{
    uint64_t now_ns = lookups->loop->now_ns;

    for (size_t i = 0; i < lookups->names.count; i++) {
        struct name *name = lookups->names.list[i];

        if (name->asked || name->interval_ns == 0) {
            continue;
        }
        if (name->due_ns <= now_ns) {
            name->asked = resolver_ask(lookups->resolver, name->kind,
                                       name->host, name->slow) == 0;
        }
        if (!name->asked && name->due_ns <= now_ns) {
            name->due_ns = now_ns + NAMES_RETRY_NS;
        }
        if (!name->asked) {
            arm(lookups, name);
        }
    }
}

static bool has_changed(const struct name *name)
{
    return name->changed || name->added + name->removed > 0;
}

static void report(struct name *name)
{
    if (name->kind == ADDRESS_SRV) {
        log_write(LOG_INFO, "resolve name=%s records=%zu added=%zu removed=%zu",
                  name->host, name->count, name->added, name->removed);
    } else {
        log_write(LOG_INFO,
                  "resolve name=%s addresses=%zu added=%zu removed=%zu",
                  name->host, name->count, name->added, name->removed);
    }
    name->added = 0;
    name->removed = 0;
    name->changed = false;
}

void lookups_applied(struct lookups *lookups)
{
    for (size_t i = 0; lookups->changed && i < lookups->names.count; i++) {
        struct name *name = lookups->names.list[i];

        if (has_changed(name)) {
            report(name);
        }
    }
    lookups->changed = false;
}

static void take_good(struct lookups *lookups, struct name *name,
                      const struct lookup *lookup)
{
    uint64_t now_ns = lookups->loop->now_ns;
    bool failed = name->failures > 0;
    int result = name->kind == ADDRESS_SRV
                     ? names_answer_records(&lookups->names, name,
                                            lookup->records, lookup->count,
                                            lookup->ttl_s * NS_PER_S, now_ns)
                     : names_answer(name, lookup->found, lookup->count, now_ns);

    if (result < 0) {
        return;
    }
    if (has_changed(name)) {
        lookups->changed = true;
    } else if (failed) {
        report(name);
    }
}

static void take_failed(struct lookups *lookups, struct name *name,
                        const struct lookup *lookup)
{
    if (name->failures == 0) {
        log_write(LOG_WARN, "resolve name=%s error=\"%s\"", name->host,
                  lookup->error);
        lookups->failed = true;
    }
    names_fail(name, lookup->error, lookups->loop->now_ns);
}

void lookups_take(struct lookups *lookups, struct message *message)
{
    struct lookup *lookup = lookup_of(message);
    struct name *name = names_find(&lookups->names, lookup->kind, lookup->host);

    /* A reload may have removed the name meanwhile. */
    if (name != NULL && lookups->resolver != NULL) {
        name->asked = false;
        name->slow = lookup->took_ns > SLOW_NS;
        if (lookup->count > 0) {
            take_good(lookups, name, lookup);
        } else {
            take_failed(lookups, name, lookup);
        }
        if (name->kind == ADDRESS_SRV) {
            lookups_begin(lookups); /* its targets may be due */
        } else {
            arm(lookups, name);
        }
    }
    lookup_free(lookup);
}
