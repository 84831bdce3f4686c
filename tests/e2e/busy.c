#include "busy.h"

#include "test.h"

static void start(const struct busy *busy, unsigned at, int from, int to,
                  int pause_ms, struct stream *out, struct stream *in)
{
    *out = (struct stream){
        .fd = from, .seed = at + 1, .bytes = busy->bytes, .fin = true};
    *in = *out;
    in->fd = to;
    in->bytes = SIZE_MAX;
    in->pause_every = pause_ms == 0 ? 0 : busy->bytes / 8;
    in->pause_ms = pause_ms;
    stream_start_send(out);
    stream_start_receive(in);
}

void busy_start(struct busy *busy, const struct fixture *fixture,
                unsigned count, size_t bytes, int pause_ms)
{
    assert_true(count <= BUSY_MAX);
    *busy = (struct busy){.count = count, .bytes = bytes};
    for (unsigned i = 0; i < count; i++) {
        struct pair pair = pair_establish(fixture);
        unsigned at = 2 * i;

        start(busy, at, pair.client, pair.upstream, pause_ms, &busy->out[at],
              &busy->in[at]);
        at++;
        start(busy, at, pair.upstream, pair.client, pause_ms, &busy->out[at],
              &busy->in[at]);
    }
}

void busy_finish(struct busy *busy)
{
    for (unsigned i = 0; i < 2 * busy->count; i++) {
        stream_join(&busy->out[i]);
        stream_join(&busy->in[i]);
        assert_int_equal(busy->in[i].moved, busy->bytes);
    }
}
