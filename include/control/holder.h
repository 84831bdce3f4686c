/*
 * holder: which process has a local address, as /proc tells. To say why an
 * address is in use. It walks the descriptors of all processes, so it is asked
 * only when something has failed. Control thread.
 */
#ifndef EVPROXY_CONTROL_HOLDER_H
#define EVPROXY_CONTROL_HOLDER_H

#include "base/base.h"
#include "base/endpoint.h"

#include <sys/types.h>

enum holder_kind {
    HOLDER_UNKNOWN, /* none, or /proc does not show it to us */
    HOLDER_OURS, /* a process of this program, an unseen one of our user, or the
                    service manager, which may pass it on to us */
    HOLDER_OTHER,
};

struct holder {
    enum holder_kind kind;
    pid_t pid;     /* 0: unseen */
    char name[16]; /* of its program */
};

/* Finds the process that listens there, or, for SOCK_DGRAM, is bound there. An
 * address of all hosts overlaps with every one of its port. */
void holder_find(const struct endpoint *endpoint, int type,
                 struct holder *holder);

/* How many sockets of that address this process has, and how many others. */
void holder_count(const struct endpoint *endpoint, int type, size_t *own,
                  size_t *others);

#define HOLDER_TEXT_MAX 48

/* " by NAME (pid N)", or "" if it is unseen. */
const char *holder_format(const struct holder *holder,
                          char text[HOLDER_TEXT_MAX]);

#endif
