#include "config/array.h"

#include <stdlib.h>
#include <string.h>

/* The capacity is not stored: it is the next power of two. The list grows when
 * its count is a power of two. */
void *array_push(void *list, size_t *count, size_t size)
{
    void *elements;
    void *element;

    memcpy(&elements, list, sizeof(elements));
    if ((*count & (*count - 1)) == 0) {
        size_t capacity = *count == 0 ? 1 : *count * 2;

        elements = reallocarray(elements, capacity, size);
        if (elements == NULL) {
            return NULL;
        }
        memcpy(list, &elements, sizeof(elements));
    }
    element = (char *)elements + *count * size;
    memset(element, 0, size);
    (*count)++;
    return element;
}
