/*
 * array: a list that grows at its end, for what is read once at a start or a
 * reload. Pure. Not for the data plane.
 *
 * The list is two words of its owner, who frees it with free(): an all-zero one
 * is valid and empty.
 */
#ifndef EVPROXY_CONFIG_ARRAY_H
#define EVPROXY_CONFIG_ARRAY_H

#include "base/base.h"

/*
 * Adds an element of size bytes, all zero, and answers it; or NULL with errno =
 * ENOMEM, and nothing has changed. list points to the list's pointer. Elements
 * move: earlier pointers to them are void.
 */
void *array_push(void *list, size_t *count, size_t size) WARN_UNUSED;

#endif
