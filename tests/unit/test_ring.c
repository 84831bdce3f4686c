#include "base/ring.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 200
#define STEPS 1000

static void ring_of_zeros_is_empty(void **state)
{
    struct ring ring = {0};

    (void)state;
    ring_check(&ring);
    assert_true(ring_empty(&ring));
    assert_int_equal(ring_space(&ring).count, 0);
    assert_int_equal(ring_bytes(&ring).count, 0);
}

static void ring_gives_its_block_back(void **state)
{
    unsigned char block[8];
    struct ring ring = {0};
    struct ring zero = {0};

    (void)state;
    ring_attach(&ring, block, sizeof(block));
    ring_produced(&ring, 5);
    ring_consumed(&ring, 5);
    assert_ptr_equal(ring_detach(&ring), block);
    assert_memory_equal(&ring, &zero, sizeof(ring));
}

static void ring_keeps_order_across_the_wrap(void **state)
{
    unsigned char block[8];
    struct ring ring = {0};
    struct span span;

    (void)state;
    ring_attach(&ring, block, sizeof(block));
    memcpy(ring_space(&ring).bytes, "abcdef", 6);
    ring_produced(&ring, 6);
    ring_consumed(&ring, 4);
    memcpy(ring_space(&ring).bytes, "gh", 2);
    ring_produced(&ring, 2);
    span = ring_space(&ring);
    assert_int_equal(span.count, 4);
    memcpy(span.bytes, "ijkl", 4);
    ring_produced(&ring, 4);
    assert_int_equal(ring_space(&ring).count, 0);

    span = ring_bytes(&ring);
    assert_int_equal(span.count, 4);
    assert_memory_equal(span.bytes, "efgh", 4);
    ring_consumed(&ring, 4);
    span = ring_bytes(&ring);
    assert_int_equal(span.count, 4);
    assert_memory_equal(span.bytes, "ijkl", 4);
}

static void ring_offers_all_its_space_when_it_becomes_empty(void **state)
{
    unsigned char block[8];
    struct ring ring = {0};

    (void)state;
    ring_attach(&ring, block, sizeof(block));
    ring_produced(&ring, 3);
    ring_consumed(&ring, 3);
    assert_int_equal(ring_space(&ring).count, 8);
}

/* The bytes of the stream count up, so that a wrong order shows. */
struct model {
    struct seeded random;
    struct ring ring;
    uint64_t written;
    uint64_t read;
};

static void model_write(struct model *model)
{
    struct span space = ring_space(&model->ring);
    size_t count = seeded_below(&model->random, space.count + 1);

    for (size_t i = 0; i < count; i++) {
        space.bytes[i] = (unsigned char)(model->written++ % 251);
    }
    ring_produced(&model->ring, count);
}

static void model_read(struct model *model)
{
    struct span bytes = ring_bytes(&model->ring);
    size_t count = seeded_below(&model->random, bytes.count + 1);

    for (size_t i = 0; i < count; i++) {
        seeded_assert(&model->random, bytes.bytes[i] == model->read++ % 251);
    }
    ring_consumed(&model->ring, count);
}

static void model_check(struct model *model)
{
    struct ring *ring = &model->ring;
    uint64_t used = model->written - model->read;

    ring_check(ring);
    seeded_assert(&model->random, ring->used == used);
    seeded_assert(&model->random, ring_empty(ring) == (used == 0));
    seeded_assert(&model->random, (ring_bytes(ring).count == 0) == (used == 0));
    seeded_assert(&model->random,
                  (ring_space(ring).count == 0) == (used == ring->size));
}

static void ring_agrees_with_a_counting_stream(void **state)
{
    unsigned char block[64];

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct model model = {.random = seeded_start(seed)};
        uint32_t size = 1 + (uint32_t)seeded_below(&model.random, 64);

        ring_attach(&model.ring, block, size);
        for (unsigned step = 0; step < STEPS; step++) {
            if (seeded_below(&model.random, 2) == 0) {
                model_write(&model);
            } else {
                model_read(&model);
            }
            model_check(&model);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_of_zeros_is_empty),
        cmocka_unit_test(ring_gives_its_block_back),
        cmocka_unit_test(ring_keeps_order_across_the_wrap),
        cmocka_unit_test(ring_offers_all_its_space_when_it_becomes_empty),
        cmocka_unit_test(ring_agrees_with_a_counting_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
