#include "rig.h"

#include <stdarg.h>
#include <stdio.h>

/* A run that takes longer hangs: only the default idle_timeout is longer. */
#define RUN_MOST_NS (900 * NS_PER_S)

struct rig rig;

bool complain(const char *format, ...)
{
    va_list args;

    if (rig.complaint[0] == 0) {
        va_start(args, format);
        vsnprintf(rig.complaint, sizeof(rig.complaint), format, args);
        va_end(args);
    }
    return false;
}

static bool client_settled(const struct story *story)
{
    return story->client.began &&
           (story->client.stream == NULL ||
            story->client.stream->state != STREAM_CONNECTING);
}

/* How many connections the planes have taken. */
static uint64_t accepts(void)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < rig.count; i++) {
        for (unsigned j = 0; j < rig.plane_count; j++) {
            count += counter_read(
                &rig.generation->services[i].state->counters[j].accepted);
        }
    }
    return count;
}

/* Every client has come, and every session has gone again. */
static bool over(void)
{
    for (unsigned i = 0; i < rig.count; i++) {
        if (!client_settled(&rig.stories[i])) {
            return false;
        }
    }
    for (unsigned i = 0; i < rig.plane_count; i++) {
        if (rig.planes[i].plane.sessions.lent > 0) {
            return false;
        }
    }
    return rig.drain_turn != 0
               ? rig.drained == rig.plane_count
               : accepts() + kernel_record()->aborted >= rig.count;
}

/* What the control thread orders. */
static void command(unsigned turn)
{
    if (turn == rig.reload_turn && !rig.planes[0].plane.draining) {
        kernel_trace("command  reload");
        stage_apply();
    }
    for (unsigned i = 0; i < rig.plane_count && turn == rig.drain_turn; i++) {
        kernel_trace("command  drain");
        reactor_drain(&rig.planes[i]);
    }
    for (unsigned i = 0; i < rig.plane_count && turn == rig.reset_turn; i++) {
        kernel_trace("command  reset all");
        reactor_reset_all(&rig.planes[i]);
    }
    stage_read_reports();
}

/* One plane's loop comes round. A single one sleeps as long as it wants, but
 * for commands, which come by turns. */
static void turn_one(void)
{
    unsigned which = (unsigned)kernel_below(rig.plane_count);
    int limit_ms = rig.theme == RIG_DRAIN ? 50 : -1;

    if (rig.plane_count > 1) {
        kernel_trace("plane    %u", which);
        limit_ms = 1;
    }
    loop_turn(&rig.planes[which].plane.loop, limit_ms);
}

static void turn_until_over(void)
{
    uint64_t begin_ns = kernel_now_ns();
    uint64_t over_ns;

    for (unsigned turn = 1; !over(); turn++) {
        turn_one();
        command(turn);
        if (kernel_now_ns() > begin_ns + RUN_MOST_NS) {
            complain("the run does not come to an end");
            return;
        }
    }
    over_ns = kernel_now_ns();
    /* What the peers still have to read. */
    while (kernel_step()) {
    }
    judge_time(begin_ns, over_ns);
}

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
        if (kernel_chance(2)) {
            file_limit(file_count() + (unsigned)between(1, 6));
        }
    }
    if (rig.flood) {
        faults = (struct kernel_faults){
            .again = odds(200), .interrupted = odds(60), .latency_ns = 200};
    }
    kernel_set_faults(&faults);
}

static void plan_commands(void)
{
    rig.drained = rig.done = 0;
    rig.plane_count = kernel_chance(4) ? 2 : 1;
    rig.reload_turn = kernel_chance(4) ? (unsigned)between(1, 60) : 0;
    rig.drain_turn = rig.reset_turn = 0;
    if (rig.theme == RIG_DRAIN) {
        rig.drain_turn = (unsigned)between(1, 80);
        rig.reset_turn = rig.drain_turn + (unsigned)kernel_below(40);
    }
}

const char *rig_run(uint64_t seed, enum rig_theme theme, bool trace)
{
    struct kernel_faults none = {.latency_ns = 1};

    rig.theme = theme;
    rig.complaint[0] = 0;
    kernel_start(seed, &none);
    kernel_set_trace(trace);
    story_set_world();
    stream_set_queues(256, kernel_chance(2) ? 2048 : QUEUE_BYTES_USUAL);
    story_plan_all();
    plan_commands();
    stage_open();
    begin_faults();
    story_begin_clients();
    kernel_trace("config\n%s", rig.text);
    turn_until_over();
    if (rig.complaint[0] == 0) {
        judge_all();
        judge_leftovers();
    }
    story_stop_all();
    stage_close();
    if (file_count() != 0) {
        complain("%u descriptors are still open", file_count());
    }
    kernel_stop();
    return rig.complaint[0] == 0 ? NULL : rig.complaint;
}
