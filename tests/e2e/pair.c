#include "pair.h"

#include "delay.h"
#include "expect.h"
#include "socket.h"
#include "test.h"
#include "wait.h"

#include <stdlib.h>

#define PINGS     300
#define PROMPT_MS 20

struct pair pair_connect(const struct fixture *fixture)
{
    return pair_connect_from(fixture, NULL);
}

struct pair pair_connect_from(const struct fixture *fixture, const char *source)
{
    struct pair pair;

    pair.client = socket_connect_from(source, &fixture->front);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

struct pair pair_connect_narrow(const struct fixture *fixture)
{
    struct pair pair;

    pair.client = socket_connect_narrow(&fixture->front);
    pair.upstream = socket_accept(fixture->listener);
    return pair;
}

struct pair pair_establish(const struct fixture *fixture)
{
    struct pair pair = pair_connect(fixture);

    pair_ping(&pair);
    return pair;
}

void pair_close(const struct pair *pair)
{
    socket_close(pair->client);
    socket_close(pair->upstream);
}

void pair_ping(const struct pair *pair)
{
    socket_send_text(pair->client, "p");
    expect_text(pair->upstream, "p");
    socket_send_text(pair->upstream, "q");
    expect_text(pair->client, "q");
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t ping_percentile_99_ms(const struct pair *pair)
{
    int64_t times[PINGS];

    for (int i = 0; i < PINGS; i++) {
        int64_t delay = delay_of_request_ms();
        int64_t begin = wait_now_ms();

        pair_ping(pair);
        times[i] = wait_now_ms() - begin - (delay_of_request_ms() - delay);
    }
    qsort(times, PINGS, sizeof(*times), compare_times);
    return times[PINGS * 99 / 100];
}

/* Up to three times: a virtual machine's host may have had the processor. */
void pair_expect_prompt(const struct pair *pair)
{
    int64_t took = INT64_MAX;

    for (int attempt = 0; attempt < 3 && took >= PROMPT_MS; attempt++) {
        took = ping_percentile_99_ms(pair);
    }
    assert_true(test_slow() || took < PROMPT_MS);
}

void pair_expect_prompt_beside(const struct pair *pair,
                               const struct pair busy[2], size_t bytes)
{
    struct stream out[2], in[2];

    for (int i = 0; i < 2; i++) {
        bool down = i == 1;

        out[i] = in[i] = (struct stream){.bytes = bytes, .fin = true};
        out[i].fd = down ? busy[i].upstream : busy[i].client;
        in[i].fd = down ? busy[i].client : busy[i].upstream;
        stream_start_send(&out[i]);
        stream_start_receive(&in[i]);
    }
    pair_expect_prompt(pair);
    for (int i = 0; i < 2; i++) {
        stream_join(&out[i]);
        stream_join(&in[i]);
    }
}

void pair_exchange(const struct pair *pair, const struct stream *way)
{
    struct stream out[2] = {*way, *way};
    struct stream in[2] = {*way, *way};

    out[0].fd = in[1].fd = pair->client;
    in[0].fd = out[1].fd = pair->upstream;
    out[1].seed = in[1].seed = way->seed + 77;
    out[0].pause_every = out[1].pause_every = way->pause_every / 3 * 2;
    stream_pass_all(out, in, 2);
}
