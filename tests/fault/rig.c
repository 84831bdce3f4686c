#include "rig.h"

#include "control.h"
#include "planes.h"
#include "upgrades.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A run that takes longer hangs: only the default idle_timeout is longer. */
#define RUN_MOST_NS (900 * NS_PER_S)

#define CONNECTIONS 64

struct rig rig;

bool rig_fail(const char *format, ...)
{
    va_list args;

    if (rig.failure[0] == 0) {
        va_start(args, format);
        vsnprintf(rig.failure, sizeof(rig.failure), format, args);
        va_end(args);
    }
    return false;
}

/* ---- the control thread ------------------------------------------------ */

static const char *text;
static size_t length;

/* The configuration is this from now on. */
static void apply(void)
{
    if (!control_reload(control_parse(text, length), CONNECTIONS, NULL) ||
        !control_spread(NULL)) {
        abort(); /* the rig's own fault */
    }
}

static void command(unsigned turn)
{
    if (turn == rig.reload_turn && !planes_draining()) {
        kernel_trace("command  reload");
        apply();
    }
    if (rig.moves && kernel_chance(8)) {
        unsigned from = (unsigned)kernel_below(planes_count());

        kernel_trace("command  move from %u", from);
        planes_move(from);
    }
    if (rig.moves && !planes_draining() && kernel_chance(8)) {
        unsigned from = (unsigned)kernel_below(planes_count());

        do {
            kernel_trace("command  upgrade %u", from);
            upgrades_run(from, text, length);
            from = (unsigned)kernel_below(planes_count());
        } while (kernel_chance(3));
    }
    if (turn == rig.drain_turn) {
        kernel_trace("command  drain");
        planes_drain();
    }
    if (turn == rig.reset_turn) {
        kernel_trace("command  reset all");
        planes_reset_all();
    }
    if (turn == rig.down_turn) {
        down_begin();
    }
    if (turn == rig.up_turn) {
        down_end();
    }
    rig.drained += control_take_reports();
}

static void open_planes(void)
{
    uint64_t blocks = kernel_chance(3) ? 64 : between(1, 4);

    rig.narrow = kernel_chance(8);
    planes_open(kernel_chance(4) ? 2 : 1, blocks,
                rig.narrow ? (uint32_t)between(1, 3) : CONNECTIONS);
    apply();
    /* One that moves may escape the sweep of either plane. */
    rig.moves = planes_count() > 1 && rig.theme != RIG_DOWN && kernel_chance(2);
}

/* ---- time passes ------------------------------------------------------- */

static bool has_come(const struct conn *conn)
{
    const struct peer *client = &conn->client_peer;

    return client->began && (client->stream == NULL ||
                             client->stream->state != STREAM_CONNECTING);
}

/* How many connections the planes have counted as accepted. */
static uint64_t accepts(void)
{
    const struct generation *generation = control_current();
    uint64_t count = 0;

    for (size_t i = 0; i < generation->service_count; i++) {
        for (unsigned j = 0; j < planes_count(); j++) {
            count += counter_read(
                &generation->services[i].state->counters[j].accepted);
        }
    }
    return count;
}

/* Every client has come, and every session has gone again. */
static bool over(void)
{
    if (planes_sessions() > 0) {
        return false;
    }
    for (unsigned i = 0; i < rig.count; i++) {
        if (!has_come(&rig.conns[i])) {
            return false;
        }
    }
    return rig.drain_turn != 0
               ? rig.drained == planes_count()
               : accepts() + kernel_record()->aborted >= rig.count;
}

/* One plane's loop comes round. A single one sleeps as long as it likes, except
 * where commands come, which count turns. */
static void turn_one(void)
{
    unsigned which = (unsigned)kernel_below(planes_count());
    bool commands = rig.theme == RIG_DRAIN || rig.theme == RIG_DOWN;
    int limit_ms = commands ? 50 : -1;

    if (planes_count() > 1) {
        kernel_trace("plane    %u", which);
        limit_ms = 1;
    }
    planes_turn(which, limit_ms);
}

static void turn_until_over(void)
{
    uint64_t begin_ns = kernel_now_ns();
    uint64_t over_ns;

    for (unsigned turn = 1; !over(); turn++) {
        turn_one();
        command(turn);
        if (kernel_now_ns() > begin_ns + RUN_MOST_NS) {
            rig_fail("the run does not come to an end");
            return;
        }
    }
    over_ns = kernel_now_ns();
    /* What the peers still have to read. */
    while (kernel_step()) {
    }
    check_time(begin_ns, over_ns);
}

/* ---- a run ------------------------------------------------------------- */

static uint32_t odds(uint32_t most)
{
    return kernel_chance(2) ? 0 : (uint32_t)between(2, most);
}

static void begin_faults(void)
{
    static const uint64_t latencies_ns[] = {1000, 20000, 300000,
                                            20 * NS_PER_MS};
    struct kernel_faults faults = {
        .again = odds(40),
        .interrupted = odds(40),
        .short_io = odds(20),
        .busy = kernel_chance(4) ? odds(100) : 0,
        .spurious = odds(20),
        .latency_ns = latencies_ns[kernel_below(ARRAY_LEN(latencies_ns))],
    };

    if (rig.theme == RIG_SHORTAGE) {
        faults.descriptor = odds(30);
        faults.watch = odds(30);
        faults.local = odds(10);
        faults.aborted = odds(10);
        faults.memory = odds(10);
        if (kernel_chance(2)) {
            file_limit(file_count() + (unsigned)between(1, 6));
        }
    }
    if (rig.flood) {
        faults = (struct kernel_faults){
            .again = odds(200), .interrupted = odds(60), .latency_ns = 200};
    }
    for (unsigned i = 0; i < rig.service_count; i++) {
        faults.first_whole |= rig.services[i].told != TOLD_NONE;
    }
    kernel_set_faults(&faults);
}

static void plan_commands(void)
{
    rig.drained = 0;
    upgrades_begin_run();
    rig.reload_turn = kernel_chance(4) ? (unsigned)between(1, 60) : 0;
    rig.drain_turn = rig.reset_turn = rig.down_turn = rig.up_turn = 0;
    if (rig.theme == RIG_DOWN) {
        down_plan();
    }
    if (rig.theme == RIG_DRAIN) {
        rig.drain_turn = (unsigned)between(1, 80);
        rig.reset_turn = rig.drain_turn + (unsigned)kernel_below(40);
    }
}

static void run(void)
{
    network_open();
    stream_set_queues(256, kernel_chance(2) ? 2048 : QUEUE_BYTES_USUAL);
    conn_plan_all();
    plan_commands();
    text = text_write(&length);
    open_planes();
    begin_faults();
    conn_begin_clients();
    ends_begin();
    kernel_trace("config\n%s", text);
    turn_until_over();
    if (rig.failure[0] == 0) {
        check_all();
        check_leftovers();
    }
    conn_stop_all();
    planes_close();
    control_close();
    ends_stop();
}

const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace)
{
    struct kernel_faults none = {.latency_ns = 1};

    rig.theme = theme;
    rig.failure[0] = 0;
    kernel_start(seed, &none);
    kernel_set_trace(trace);
    run();
    if (file_count() != 0) {
        rig_fail("%u descriptors are still open", file_count());
    }
    kernel_stop();
    return rig.failure[0] == 0 ? NULL : rig.failure;
}
