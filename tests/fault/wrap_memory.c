#include "wrap.h"

#include "fail.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A large allocation is a mapping, as in a process that has just begun: pages
 * that are never used cost nothing, and what is freed is gone. */
__attribute__((constructor)) static void keep_threshold(void)
{
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

CALL(void *, malloc, size_t size)
{
    if (fail_due(FAIL_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_malloc(size);
}

CALL(void *, calloc, size_t count, size_t size)
{
    if (fail_due(FAIL_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_calloc(count, size);
}

CALL(void *, realloc, void *memory, size_t size)
{
    if (fail_due(FAIL_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_realloc(memory, size);
}

CALL(void *, aligned_alloc, size_t alignment, size_t size)
{
    if (fail_due(FAIL_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_aligned_alloc(alignment, size);
}

CALL(char *, strdup, const char *text)
{
    if (fail_due(FAIL_MEMORY)) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_strdup(text);
}

CALL(void *, mmap, void *address, size_t length, int protection, int flags,
     int fd, off_t offset)
{
    if (fail_due(FAIL_CALL)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(address, length, protection, flags, fd, offset);
}
