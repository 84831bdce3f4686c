#include "control/upgrade.h"

#include "base/log.h"
#include "control/kernel_drops.h"
#include "control/upgrade_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

/* How often the new process is told what has ended here. */
#define TELL_NS (200 * NS_PER_MS)

/* Indexes of its events. */
enum { CHANNEL, WORDS, PROCESS };

static const char not_the_protocol[] = "it does not keep to the protocol";

void upgrade_init(struct upgrade *upgrade)
{
    upgrade->process = (struct spawned){0, -1, -1, -1};
    upgrade->timer.kind = upgrade->kind;
}

static void arm(struct upgrade *upgrade, uint64_t delay_ns)
{
    wheel_arm(&upgrade->loop->wheel, &upgrade->timer,
              upgrade->loop->now_ns + delay_ns);
}

static int watch(struct upgrade *upgrade, int fd, uint32_t index)
{
    return poller_add_level(&upgrade->loop->poller, fd,
                            loop_token(upgrade->kind, index, 0), false);
}

/* The other process may have the same open file. */
static void unwatch(struct upgrade *upgrade, int *fd)
{
    if (*fd >= 0) {
        poller_remove(&upgrade->loop->poller, *fd);
        close(*fd);
        *fd = -1;
    }
}

static void read_words(struct upgrade *upgrade)
{
    int *fd = &upgrade->process.words_fd;

    if (*fd >= 0 && last_words_read(&upgrade->words, *fd)) {
        unwatch(upgrade, fd);
    }
}

/* ---- failure ---- */

static void close_all(struct upgrade *upgrade)
{
    wheel_disarm(&upgrade->loop->wheel, &upgrade->timer);
    unwatch(upgrade, &upgrade->process.channel);
    unwatch(upgrade, &upgrade->process.pid_fd);
    unwatch(upgrade, &upgrade->process.words_fd);
    handed_free(&upgrade->handed);
}

/* Whether the new process has said STARTED before it ended: then bytes may have
 * moved there. */
static bool has_started(struct upgrade *upgrade)
{
    struct channel_message *message = &upgrade->message;

    while (upgrade->phase == UPGRADE_COMMITTING &&
           channel_receive(upgrade->process.channel, message, 0) > 0) {
        channel_close_fds(message);
        if (record_find(upgrade_message_reader(message), UPGRADE_STARTED) > 0) {
            return true;
        }
    }
    return false;
}

/* The new process is killed first: it must not move a byte any more. */
void upgrade_abandon(struct upgrade *upgrade, const char *reason)
{
    bool asked = upgrade->phase >= UPGRADE_ANNOUNCING;

    if (!upgrade_under_way(upgrade)) {
        return;
    }
    spawn_kill(&upgrade->process);
    if (has_started(upgrade)) {
        /* What it had taken over has ended with it. The service manager starts
         * the service anew. */
        upgrade_log_failed(upgrade->systemd, &upgrade->new, &upgrade->words,
                           "it ended at once after it had taken over");
        (void)log_stop();
        _exit(1);
    }
    read_words(upgrade);
    upgrade_log_failed(upgrade->systemd, &upgrade->new, &upgrade->words,
                       reason);
    close_all(upgrade);
    ledger_close(&upgrade->ledger);
    upgrade->phase = UPGRADE_NONE;
    kernel_drops_resume(changes_current(upgrade->changes));
    if (asked) {
        upgrade->due += workers_thaw(upgrade->workers);
    }
    upgrade->ended(upgrade->arg, false);
}

static void fail_by_errno(struct upgrade *upgrade, const char *what)
{
    char reason[128];

    snprintf(reason, sizeof(reason), "%s: %s", what, strerror(errno));
    upgrade_abandon(upgrade, reason);
}

/* ---- the beginning ---- */

/* -1 with errno. */
static int open_all(struct upgrade *upgrade)
{
    struct spawned *process = &upgrade->process;
    const struct spawn options = {
        .arguments = upgrade->arguments,
        .sibling = upgrade->systemd->fd >= 0,
        .channel_variable = UPGRADE_VARIABLE,
        .variables = {upgrade->systemd->notify_variable,
                      upgrade->systemd->watchdog_variable},
    };

    return spawn(&options, process) < 0 ||
                   watch(upgrade, process->channel, CHANNEL) < 0 ||
                   watch(upgrade, process->words_fd, WORDS) < 0 ||
                   watch(upgrade, process->pid_fd, PROCESS) < 0
               ? -1
               : 0;
}

static void send_message(struct upgrade *upgrade, struct record_writer *writer)
{
    upgrade->message.count = writer->used;
    if (writer->failed || /* after EPIPE its end tells more */
        (channel_send(upgrade->process.channel, &upgrade->message) < 0 &&
         errno != EPIPE)) {
        fail_by_errno(upgrade, "cannot send");
        return;
    }
    arm(upgrade, UPGRADE_SILENCE_NS);
}

static void greet(struct upgrade *upgrade)
{
    struct record_writer writer = upgrade_message_writer(&upgrade->message);
    const struct hello hello =
        hello_of(changes_current(upgrade->changes), &upgrade->http->facts,
                 &upgrade->workers->shared);

    hello_write(&writer, &hello);
    send_message(upgrade, &writer);
}

void upgrade_begin(struct upgrade *upgrade)
{
    if (upgrade->phase != UPGRADE_NONE || upgrade->due > 0) {
        upgrade_log_refused(upgrade->systemd, true, "another one is under way");
        return;
    }
    if (!generations_distributed(&upgrade->changes->generations)) {
        upgrade_log_refused(upgrade->systemd, false,
                            "the last reload is not complete yet");
        return;
    }
    upgrade_log_begin(upgrade->systemd, spawn_path());
    upgrade->words = (struct last_words){.count = 0};
    upgrade->at = upgrade->stay = 0;
    upgrade->new.version[0] = 0;
    upgrade->phase = UPGRADE_GREETING;
    if (open_all(upgrade) < 0) {
        fail_by_errno(upgrade, "cannot start it");
    } else {
        greet(upgrade);
    }
}

/* ---- what is sent ---- */

static void send_estate(struct upgrade *upgrade)
{
    struct record_writer writer = upgrade_message_writer(&upgrade->message);

    if (upgrade_write_estate(&upgrade->at, &upgrade->changes->lookups.names,
                             &upgrade->handed, &writer, &upgrade->message)) {
        record_put(&writer, UPGRADE_ESTATE_END, NULL, 0);
        upgrade->phase = UPGRADE_LEDGER;
    }
    send_message(upgrade, &writer);
}

static void begin_estate(struct upgrade *upgrade)
{
    kernel_drops_hold(changes_current(upgrade->changes));
    if (upgrade_collect_sockets(
            &upgrade->handed, changes_current(upgrade->changes),
            &upgrade->http->server.listener, upgrade->inherited) < 0 ||
        ledger_open(&upgrade->ledger, &upgrade->changes->generations,
                    upgrade->changes->health) < 0) {
        upgrade_abandon(upgrade, "out of memory");
    } else {
        upgrade->phase = UPGRADE_ESTATE;
        send_estate(upgrade);
    }
}

static void send_ledger(struct upgrade *upgrade)
{
    struct record_writer writer = upgrade_message_writer(&upgrade->message);

    writer.size -= RECORD_HEADER_BYTES;
    if (ledger_write(&upgrade->ledger, &writer)) {
        writer.size += RECORD_HEADER_BYTES;
        record_put(&writer, UPGRADE_LEDGER_END, NULL, 0);
        upgrade->phase = UPGRADE_ANNOUNCING;
        upgrade->sessions = (struct session_sender){.announces = true};
    }
    send_message(upgrade, &writer);
}

static void await_workers(struct upgrade *upgrade, unsigned count)
{
    upgrade->due += count;
    if (count < upgrade->workers->count) {
        upgrade_abandon(upgrade, "out of memory");
    }
}

static void freeze(struct upgrade *upgrade)
{
    upgrade->phase = UPGRADE_FREEZING;
    upgrade->frozen_ns = UINT64_MAX;
    upgrade->sessions = (struct session_sender){.announces = false};
    await_workers(upgrade, workers_freeze(upgrade->workers));
}

/* The new process is ready for connections: all of them, or what is announced.
 */
static void prepared(struct upgrade *upgrade)
{
    if (upgrade->new.announces && !upgrade->sessions.complete) {
        await_workers(upgrade, workers_announce(upgrade->workers));
    } else {
        freeze(upgrade);
    }
}

static void send_sessions(struct upgrade *upgrade)
{
    if (session_sender_send(&upgrade->sessions, &upgrade->ledger,
                            upgrade->workers, upgrade->process.channel,
                            &upgrade->message) < 0) {
        fail_by_errno(upgrade, "cannot send");
        return;
    }
    arm(upgrade, UPGRADE_SILENCE_NS);
}

static void commit(struct upgrade *upgrade)
{
    struct record_writer writer = upgrade_message_writer(&upgrade->message);

    upgrade_write_commit(&writer, upgrade->frozen_ns);
    upgrade->phase = UPGRADE_COMMITTING;
    send_message(upgrade, &writer);
}

/* ---- afterwards ---- */

static void depart(struct upgrade *upgrade)
{
    uint32_t moved = upgrade->sessions.count - upgrade->stay;

    systemd_main_process(upgrade->systemd, upgrade->process.pid);
    upgrade_log_left(&upgrade->new, upgrade->process.pid, moved,
                     shared_active(&upgrade->workers->shared) - moved);
    upgrade->phase = UPGRADE_LEFT;
    upgrade->message.count = 0;
    upgrade->sender = (struct ledger_sender){
        .ledger = &upgrade->ledger,
        .message = &upgrade->message,
        .channel = upgrade->process.channel,
    };
    unwatch(upgrade, &upgrade->process.words_fd);
    handed_free(&upgrade->handed);
    http_server_leave(&upgrade->http->server);
    listeners_disown(changes_current(upgrade->changes));
    workers_depart(upgrade->workers);
    upgrade->ended(upgrade->arg, true);
    arm(upgrade, TELL_NS);
}

/* The new process reads no more messages. */
static void close_channel(struct upgrade *upgrade)
{
    upgrade->sender.silent = true;
    unwatch(upgrade, &upgrade->process.channel);
    wheel_disarm(&upgrade->loop->wheel, &upgrade->timer);
}

bool upgrade_finish(struct upgrade *upgrade)
{
    if (upgrade->phase != UPGRADE_LEFT || upgrade->process.channel < 0) {
        return true;
    }
    upgrade->sender.farewell = true;
    if (!ledger_sender_tell(&upgrade->sender)) {
        return false;
    }
    close_channel(upgrade);
    return true;
}

void upgrade_fini(struct upgrade *upgrade)
{
    close_all(upgrade);
    ledger_close(&upgrade->ledger);
}

static bool follow_next(struct upgrade *upgrade)
{
    switch (upgrade->phase) {
    case UPGRADE_ESTATE:
        send_estate(upgrade);
        return true;
    case UPGRADE_LEDGER:
        send_ledger(upgrade);
        return true;
    case UPGRADE_ANNOUNCING:
    case UPGRADE_MOVING:
        if (!session_sender_answered(&upgrade->sessions)) {
            return false;
        }
        send_sessions(upgrade);
        return true;
    default:
        return false;
    }
}

static void follow_failed(struct upgrade *upgrade, const struct record *record)
{
    char reason[512];

    upgrade_abandon(upgrade, record_text(record, reason, sizeof(reason))
                                 ? reason
                                 : "unknown");
}

static bool is_expected(const struct upgrade *upgrade, unsigned tag)
{
    switch (tag) {
    case UPGRADE_HELLO:
        return upgrade->phase == UPGRADE_GREETING;
    case UPGRADE_PREPARED:
        return upgrade->phase == UPGRADE_ANNOUNCING && upgrade->due == 0 &&
               (!session_sender_begun(&upgrade->sessions) ||
                session_sender_done(&upgrade->sessions));
    case UPGRADE_STAYS:
    case UPGRADE_READY:
        return upgrade->phase == UPGRADE_MOVING &&
               session_sender_done(&upgrade->sessions);
    case UPGRADE_STARTED:
        return upgrade->phase == UPGRADE_COMMITTING;
    default:
        return tag == UPGRADE_NEXT || tag == UPGRADE_FAILED;
    }
}

/* False: it is not what the protocol has next. */
static bool follow(const struct record *record, void *arg)
{
    struct upgrade *upgrade = arg;

    if (!is_expected(upgrade, record->tag)) {
        return record_may_be_skipped(record);
    }
    switch (record->tag) {
    case UPGRADE_HELLO:
        if (!hello_read(record, &upgrade->new)) {
            return false;
        }
        begin_estate(upgrade);
        return true;
    case UPGRADE_NEXT:
        return follow_next(upgrade);
    case UPGRADE_PREPARED:
        prepared(upgrade);
        return true;
    case UPGRADE_STAYS:
        return upgrade_let_stay(upgrade->workers, record, &upgrade->stay);
    case UPGRADE_READY:
        commit(upgrade);
        return true;
    case UPGRADE_STARTED:
        depart(upgrade);
        return true;
    default:
        follow_failed(upgrade, record);
        return true;
    }
}

/* Takes what has come. */
static void read_channel(struct upgrade *upgrade)
{
    /* What follows a message writes the next one to upgrade->message. */
    static struct channel_message message;
    int result;

    while (upgrade->process.channel >= 0 &&
           (result = channel_receive(upgrade->process.channel, &message, 0)) !=
               -1) {
        channel_close_fds(&message);
        if (result == 0 && upgrade->phase == UPGRADE_LEFT) {
            close_channel(upgrade);
            return;
        }
        if (result == 0) {
            /* Its end tells more, and comes soon. */
            poller_remove(&upgrade->loop->poller, upgrade->process.channel);
            return;
        }
        if (!record_each(upgrade_message_reader(&message), follow, upgrade)) {
            upgrade_abandon(upgrade, not_the_protocol);
        }
    }
}

static void follow_end(struct upgrade *upgrade)
{
    char reason[SPAWN_REASON_MAX];

    read_channel(upgrade);
    if (upgrade->process.pid == 0) {
        return;
    }
    spawn_reap(&upgrade->process, reason);
    unwatch(upgrade, &upgrade->process.pid_fd);
    if (upgrade->phase != UPGRADE_LEFT) {
        upgrade_abandon(upgrade, reason);
    }
}

void upgrade_reported(struct upgrade *upgrade, const struct report *report)
{
    upgrade->due--;
    if (report->message.type == REPORT_FROZEN) {
        upgrade->frozen_ns = MIN(upgrade->frozen_ns, report->frozen_ns);
    }
    if (report->failed) {
        upgrade_abandon(upgrade, "out of memory");
    } else if (upgrade->phase == UPGRADE_ANNOUNCING && upgrade->due == 0) {
        send_sessions(upgrade);
    } else if (upgrade->phase == UPGRADE_FREEZING && upgrade->due == 0) {
        upgrade->phase = UPGRADE_MOVING;
        send_sessions(upgrade);
    }
}

void upgrade_event(struct upgrade *upgrade, uint32_t index)
{
    if (index == CHANNEL) {
        read_channel(upgrade);
    } else if (index == WORDS) {
        read_words(upgrade);
    } else {
        follow_end(upgrade);
    }
}

void upgrade_timer(struct upgrade *upgrade)
{
    if (upgrade->phase != UPGRADE_LEFT) {
        upgrade_abandon(upgrade, "it was silent for 10 s");
        return;
    }
    (void)!ledger_sender_tell(&upgrade->sender);
    if (upgrade->sender.silent) {
        close_channel(upgrade);
    } else {
        arm(upgrade, TELL_NS);
    }
    if (upgrade->sender.farewell) {
        upgrade->ended(upgrade->arg, true);
    }
}
