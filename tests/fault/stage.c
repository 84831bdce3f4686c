#include "rig.h"

#include "config/load.h"
#include "net/listen.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_BYTES 4096u

static void write_text(size_t *length, const char *format, ...) PRINTF(2, 3);

static void write_text(size_t *length, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    *length += (size_t)vsnprintf(rig.text + *length, sizeof(rig.text) - *length,
                                 format, args);
    va_end(args);
    assert(*length < sizeof(rig.text));
}

static void write_rates(size_t *length)
{
    static const char *const keys[] = {"rate_up", "rate_down",
                                       "service_rate_up", "service_rate_down"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (kernel_chance(2)) {
            write_text(length, "%s = %luK\n", keys[i],
                       between(RATE_LEAST_BYTES / 1024, 400));
        }
    }
    write_text(length, "rate_burst = %luK\n", between(1, 8));
}

static void write_timeouts(const struct story *story, size_t *length)
{
    write_text(length, "connect_timeout = %lums\n", between(200, 2000));
    if (story->kind != STORY_STALL && story->kind != STORY_SILENCE) {
        return;
    }
    write_text(length,
               "write_timeout = %lums\nidle_timeout = %lums\n"
               "half_close_timeout = %lums\n",
               between(1000, 3000), between(1000, 4000), between(1000, 4000));
    if (kernel_chance(2)) {
        write_text(length, "read_timeout = %lums\n", between(1000, 3000));
    }
}

static void write_service(unsigned i, size_t *length)
{
    static const char *const balances[] = {"roundrobin", "leastconn", "random"};
    struct story *story = &rig.stories[i];

    story->single = kernel_chance(2);
    write_text(length,
               "[service s%u]\nlisten = 127.0.0.1:%u\nbalance = %s\n"
               "connect_attempts = %u\nfail_threshold = 0\n",
               i, PORT_FIRST + i, balances[kernel_below(ARRAY_LEN(balances))],
               ATTEMPTS_MAX);
    for (unsigned j = 0; j < (story->single ? 1u : ATTEMPTS_MAX); j++) {
        write_text(length, "upstream = 10.0.%u.%u:%u\n", i, j, UPSTREAM_PORT);
    }
    write_timeouts(story, length);
    if (kernel_chance(5)) {
        write_rates(length);
    }
}

static void write_config(void)
{
    rig.length = 0;
    for (unsigned i = 0; i < rig.count; i++) {
        write_service(i, &rig.length);
    }
}

static struct config *parse_text(void)
{
    struct config_errors errors = {0};
    struct config *config = load_text(rig.text, rig.length, &errors);

    if (config == NULL) {
        fprintf(stderr, "line %u: %s\n%s", errors.list[0].line,
                errors.list[0].message, rig.text);
        abort();
    }
    config_errors_fini(&errors);
    return config;
}

static void must(bool it)
{
    if (!it) {
        abort(); /* the rig's own doing */
    }
}

static int open_listener(const struct listen_socket *listen)
{
    struct sock_options options = {.backlog = 16};
    int fd = listen_bind(&listen->endpoint);

    must(fd >= 0);
    must(listen_start(fd, &options) == 0);
    return fd;
}

static void open_listeners(struct generation *generation)
{
    for (size_t i = 0; i < generation->listen_count; i++) {
        struct listen_socket *listen = &generation->listens[i];

        listen->fds = malloc(rig.plane_count * sizeof(int));
        must(listen->fds != NULL);
        for (unsigned j = 0; j < rig.plane_count; j++) {
            listen->fds[j] = rig.before != NULL ? rig.before->listens[i].fds[j]
                                                : open_listener(listen);
        }
    }
}

static void apply_to(unsigned plane)
{
    struct reactor_change change;

    must(reactor_prepare(&change, rig.generation, plane) == 0);
    reactor_apply(&rig.planes[plane], &change);
}

/* What is in rig.text from now on. */
void stage_apply(void)
{
    rig.before = rig.generation;
    rig.generation =
        generation_create(parse_text(), rig.before, rig.plane_count, 64, NULL);
    must(rig.generation != NULL);
    open_listeners(rig.generation);
    for (unsigned i = 0; i < rig.plane_count; i++) {
        apply_to(i);
    }
}

void stage_open(void)
{
    uint64_t blocks = kernel_chance(3) ? 64 : between(1, 4);

    rig.generation = NULL;
    write_config();
    must(mailbox_open(&rig.control) == 0);
    must(shared_init(&rig.shared, BLOCK_BYTES, 2 * blocks * BLOCK_BYTES,
                     &rig.control) == 0);
    rig.narrow = kernel_chance(8);
    atomic_store(&rig.shared.max_connections, rig.narrow ? between(1, 3) : 64);
    for (unsigned i = 0; i < rig.plane_count; i++) {
        must(reactor_open(&rig.planes[i], i, &rig.shared, NULL) == 0);
    }
    stage_apply();
}

void stage_read_reports(void)
{
    struct message *message;

    while ((message = mailbox_next(&rig.control)) != NULL) {
        rig.drained += message->type == REPORT_DRAINED;
        rig.done += message->type == REPORT_GENERATION_DONE;
        free(container_of(message, struct report, message));
    }
}

static void destroy_generation(struct generation *generation)
{
    for (size_t i = 0; generation != NULL && i < generation->listen_count;
         i++) {
        free(generation->listens[i].fds);
    }
    if (generation != NULL) {
        generation_destroy(generation);
    }
}

void stage_close(void)
{
    for (unsigned i = 0; i < rig.plane_count; i++) {
        reactor_close(&rig.planes[i]);
    }
    stage_read_reports();
    mailbox_close(&rig.control);
    shared_fini(&rig.shared);
    destroy_generation(rig.before);
    destroy_generation(rig.generation);
}
