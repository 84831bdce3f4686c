/*
 * courier: simulated pairs of SOCK_SEQPACKET sockets. Their messages carry
 * descriptors: until one is received, its open file lives on without a number.
 */
#ifndef EVPROXY_FAULT_COURIER_H
#define EVPROXY_FAULT_COURIER_H

#include "file.h"

#include <sys/socket.h>

struct courier;

void courier_forget_all(void);
/* The next messages are changed so before they are sent, in place: bytes has
 * room for *size. NULL: not at all. */
typedef void (*courier_rewrite_fn)(unsigned char *bytes, size_t *count,
                                   size_t size);
void courier_rewrite(courier_rewrite_fn rewrite);
/* The n-th message from now on is not sent, for lack of memory; and of the n-th
 * with descriptors the last one is not received. 0: never. */
void courier_fail(unsigned send, unsigned receive);

/* The calls, as in their manual pages. */
int courier_open(int fds[2]);
ssize_t courier_send(struct file *file, const struct msghdr *message);
ssize_t courier_receive(struct file *file, struct msghdr *message);

/* For file.c and epoll.c. */
uint32_t courier_poll(const struct file *file);
void courier_close(struct file *file);

#endif
