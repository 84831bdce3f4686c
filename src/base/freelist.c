#include "base/freelist.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

int freelist_init(struct freelist *list, uint32_t size)
{
    *list = (struct freelist){.size = size};
    list->numbers = calloc(size, sizeof(list->numbers[0]));
    if (list->numbers == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < size; i++) {
        list->numbers[i] = size - 1 - i;
    }
    list->count = list->low = list->clean = size;
    return 0;
}

void freelist_fini(struct freelist *list)
{
    free(list->numbers);
    *list = (struct freelist){0};
}

uint32_t freelist_take_unused(struct freelist *list, uint32_t *numbers,
                              uint32_t max)
{
    uint32_t count = MIN(max, list->low - list->clean);

    for (uint32_t i = count; i-- > 0;) {
        uint32_t *number = &list->numbers[list->clean + i];

        numbers[i] = *number;
        *number = list->numbers[--list->count];
        list->low--;
    }
    return count;
}

void freelist_put_clean(struct freelist *list, const uint32_t *numbers,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        list->numbers[list->count++] = list->numbers[list->clean];
        list->numbers[list->clean++] = numbers[i];
        list->low++;
    }
}

void freelist_check(const struct freelist *list)
{
    bool *seen = calloc(list->size, sizeof(*seen));

    assert(seen != NULL);
    assert(list->clean <= list->low && list->low <= list->count);
    assert(list->count <= list->size);
    for (uint32_t i = 0; i < list->count; i++) {
        assert(list->numbers[i] < list->size && !seen[list->numbers[i]]);
        seen[list->numbers[i]] = true;
    }
    free(seen);
}
