/*
 * array: a list that grows at its end. Pure. It serves starts and reloads, not
 * the data plane.
 *
 * The list is a pointer and a count in its owner, who frees it with free(). An
 * all-zero one is valid and empty.
 */
#ifndef EVPROXY_CONFIG_ARRAY_H
#define EVPROXY_CONFIG_ARRAY_H

#include "base/base.h"

/*
 * Adds an element of size bytes, all zero, and returns it; or NULL with errno =
 * ENOMEM, and nothing has changed. list points to the list's pointer. Elements
 * may move: earlier pointers to them are invalid.
 */
void *array_push(void *list, size_t *count, size_t size) WARN_UNUSED;

#endif
