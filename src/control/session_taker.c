#include "control/session_taker.h"

#include "config/array.h"
#include "control/process.h"
#include "control/upgrade_message.h"
#include "proxy/handover.h"
#include "proxy/session_record.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SILENCE_MS (int)(UPGRADE_SILENCE_NS / NS_PER_MS)

/* Descriptors that this process may open while it takes them. */
#define SPARE 16

/* Sessions in a message. */
#define BATCH_MAX (CHANNEL_FDS_MAX / 2)

static const char out_of_memory[] = "out of memory";
static const char malformed[] = "a connection is described in a way that this "
                                "version does not know";

/* ---- the workers ---- */

const char *session_taker_freeze(struct session_taker *taker)
{
    taker->batches =
        calloc(taker->workers->count, sizeof(struct handover_batch *));
    if (taker->batches == NULL) {
        return out_of_memory;
    }
    taker->due = workers_freeze(taker->workers);
    return taker->due < taker->workers->count ? out_of_memory
                                              : session_taker_await(taker);
}

/* Numbers of sessions that were not taken up stay in the old process. */
static void end_batch(struct session_taker *taker, struct handover_batch *batch)
{
    for (uint32_t i = 0; i < batch->count && !batch->announced; i++) {
        struct handover_arrival *arrival = &batch->list[i];
        uint32_t *stay;

        if (arrival->taken) {
            taker->ledger->services[arrival->service].taken++;
            continue;
        }
        stay = array_push(&taker->stays, &taker->stay_count, sizeof(*stay));
        if (stay == NULL) {
            taker->failed = true;
        } else {
            *stay = arrival->number;
        }
    }
    handover_free_batch(batch);
}

/* False: it is no answer to what the taker has asked. */
static bool take_answer(struct session_taker *taker, struct message *message)
{
    struct report *report = container_of(message, struct report, message);

    if (message->type != REPORT_FROZEN && message->type != REPORT_THAWED &&
        message->type != REPORT_TAKEN) {
        return false;
    }
    taker->due--;
    taker->failed |= report->failed;
    if (report->batch != NULL) {
        end_batch(taker, report->batch);
    }
    free(report);
    return true;
}

const char *session_taker_await(struct session_taker *taker)
{
    struct mailbox *mailbox = &taker->loop->mailbox;
    struct pollfd in = {.fd = mailbox->fd, .events = POLLIN};

    while (taker->due > 0) {
        struct message *message = mailbox_next(mailbox);

        if (message != NULL && !take_answer(taker, message)) {
            list_append(&taker->aside, &message->link);
        } else if (message == NULL && poll(&in, 1, SILENCE_MS) == 0) {
            return "a worker does not answer";
        }
    }
    return taker->failed ? out_of_memory : NULL;
}

void session_taker_start(struct session_taker *taker)
{
    const char *error;
    struct list *link;

    taker->due = workers_thaw(taker->workers);
    error = session_taker_await(taker);
    (void)error; /* they go on in any case */
    while ((link = list_pop(&taker->aside)) != NULL) {
        mailbox_post(&taker->loop->mailbox,
                     container_of(link, struct message, link));
    }
    session_taker_free(taker);
}

void session_taker_free(struct session_taker *taker)
{
    for (size_t i = 0; i < taker->place_count; i++) {
        free(taker->places[i]);
    }
    free(taker->places);
    free(taker->batches);
    free(taker->stays);
    taker->places = NULL;
    taker->place_count = 0;
    taker->batches = NULL;
    taker->stays = NULL;
}

/* ---- connections ---- */

static bool read_wanted(const struct record *part, void *arg)
{
    return part->tag == UPGRADE_SESSIONS_DESCRIPTORS
               ? record_number(part, UINT32_MAX, arg)
               : record_may_be_skipped(part);
}

const char *session_taker_check(const struct record *sessions)
{
    static char sentence[160];
    struct process_figures figures;
    uint64_t wanted = 0;

    if (!record_each(record_enter(sessions), read_wanted, &wanted)) {
        return malformed;
    }
    process_read(&figures, 0);
    if (figures.open_descriptors + wanted + SPARE <= figures.max_descriptors) {
        return NULL;
    }
    snprintf(sentence, sizeof(sentence),
             "RLIMIT_NOFILE = %llu is too low for %llu descriptors of "
             "connections",
             (unsigned long long)figures.max_descriptors,
             (unsigned long long)wanted);
    return sentence;
}

const char *session_taker_add_bytes(struct session_taker_bytes *bytes,
                                    const struct record *record)
{
    unsigned char *longer;

    if (record->count > UINT32_MAX - bytes->count) {
        return malformed;
    }
    longer = realloc(bytes->bytes, bytes->count + record->count + 1);
    if (longer == NULL) {
        return out_of_memory;
    }
    memcpy(longer + bytes->count, record->value, record->count);
    bytes->bytes = longer;
    bytes->count += (uint32_t)record->count;
    return NULL;
}

/* The next entry of the worker's batch. NULL: no memory. */
static struct handover_arrival *next_arrival(struct session_taker *taker,
                                             unsigned worker, bool announced)
{
    struct handover_batch **batch = &taker->batches[worker];

    if (*batch != NULL &&
        ((*batch)->count == BATCH_MAX || (*batch)->announced != announced)) {
        if (worker_take(taker->workers->list[worker], *batch) < 0) {
            return NULL;
        }
        taker->due++;
        *batch = NULL;
    }
    if (*batch == NULL) {
        *batch = malloc(sizeof(**batch) +
                        BATCH_MAX * sizeof(struct handover_arrival));
        if (*batch == NULL) {
            return NULL;
        }
        (*batch)->announced = announced;
        (*batch)->count = 0;
    }
    return &(*batch)->list[(*batch)->count++];
}

/* False: this process lacks its service or its upstream. */
static bool find_places(const struct session_taker *taker,
                        struct session_record *session)
{
    const struct ledger_reader *ledger = taker->ledger;
    struct session_image *image = &session->image;

    if (session->service >= ledger->service_count ||
        session->upstream >= ledger->upstream_count) {
        return false;
    }
    image->service = ledger->services[session->service].service;
    image->upstream = ledger->upstreams[session->upstream].upstream;
    return image->service != NULL && image->upstream != NULL &&
           image->service->config->mode == CONFIG_TCP;
}

/* Gives the session its bytes. False: they are not as many as it says. */
static bool take_bytes(struct session_taker *taker, struct session_image *image)
{
    if (taker->bytes[UP].count != image->relay[UP].held ||
        taker->bytes[DOWN].count != image->relay[DOWN].held) {
        return false;
    }
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        struct session_taker_bytes *bytes = &taker->bytes[i];

        image->relay[i].block = bytes->bytes;
        *bytes = (struct session_taker_bytes){NULL, 0};
    }
    return true;
}

static void drop(const struct session_image *image)
{
    session_image_close(image);
    for (enum direction i = UP; i < DIRECTIONS; i++) {
        free((void *)(uintptr_t)image->relay[i].block);
    }
}

/* No worker is asked. */
static const char *let_stay(struct session_taker *taker,
                            struct session_image *image)
{
    uint32_t *stay =
        array_push(&taker->stays, &taker->stay_count, sizeof(*stay));

    drop(image);
    if (stay == NULL) {
        return out_of_memory;
    }
    *stay = taker->count++;
    return NULL;
}

/* The session of a record, with its descriptors and its bytes. */
static const char *read_session(struct session_taker *taker,
                                const struct record *record,
                                struct channel_message *in,
                                struct session_record *session)
{
    if (!session_record_read(record, session) ||
        session->fd_count > in->fd_count ||
        !take_bytes(taker, &session->image)) {
        return malformed;
    }
    session_record_set_fds(session, in->fds);
    in->fd_count -= session->fd_count;
    memmove(in->fds, in->fds + session->fd_count,
            in->fd_count * sizeof(in->fds[0]));
    return NULL;
}

/* Gives the session to a worker. */
static const char *add_arrival(struct session_taker *taker,
                               const struct session_record *session,
                               struct handover_place *place, unsigned worker,
                               bool announced)
{
    struct handover_arrival *arrival = next_arrival(taker, worker, announced);

    if (arrival == NULL) {
        drop(&session->image);
        return out_of_memory;
    }
    *arrival = (struct handover_arrival){
        .image = session->image,
        .place = place,
        .service = (uint32_t)session->service,
        .number = taker->count,
    };
    return NULL;
}

const char *session_taker_announced(struct session_taker *taker,
                                    const struct record *record,
                                    struct channel_message *in)
{
    unsigned worker = (unsigned)(taker->place_count % taker->workers->count);
    struct handover_place **place;
    struct session_record session;
    const char *error = read_session(taker, record, in, &session);

    if (error != NULL) {
        return error;
    }
    if (session.fd_count != DIRECTIONS ||
        session.place != SESSION_RECORD_NO_PLACE) {
        drop(&session.image);
        return malformed;
    }
    place = array_push(&taker->places, &taker->place_count, sizeof(*place));
    if (place != NULL) {
        *place = calloc(1, sizeof(**place));
    }
    if (place == NULL || *place == NULL) {
        drop(&session.image);
        return out_of_memory;
    }
    (*place)->worker = worker;
    if (!find_places(taker, &session)) { /* nor will it be found later */
        drop(&session.image);
        return NULL;
    }
    return add_arrival(taker, &session, *place, worker, true);
}

const char *session_taker_take(struct session_taker *taker,
                               const struct record *record,
                               struct channel_message *in)
{
    unsigned worker = taker->count % taker->workers->count;
    struct handover_place *place = NULL;
    struct session_record session;
    const char *error = read_session(taker, record, in, &session);

    if (error != NULL) {
        return error;
    }
    if (session.place != SESSION_RECORD_NO_PLACE) {
        if (session.place >= taker->place_count) {
            drop(&session.image);
            return malformed;
        }
        place = taker->places[session.place];
        worker = place->worker;
    }
    if (!find_places(taker, &session)) {
        return let_stay(taker, &session.image);
    }
    error = add_arrival(taker, &session, place, worker, false);
    taker->count++;
    return error;
}

const char *session_taker_flush(struct session_taker *taker)
{
    for (unsigned i = 0; i < taker->workers->count; i++) {
        struct handover_batch *batch = taker->batches[i];

        if (batch == NULL) {
            continue;
        }
        if (worker_take(taker->workers->list[i], batch) < 0) {
            return out_of_memory;
        }
        taker->batches[i] = NULL;
        taker->due++;
    }
    return NULL;
}
