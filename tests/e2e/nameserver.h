/*
 * nameserver: a name server of the test program, and a network and an
 * /etc/resolv.conf of its own in which that is the only one. Main thread only.
 *
 * It knows each name by what was last said here. A name that begins with
 * "silent" is never answered.
 */
#ifndef EVPROXY_TESTS_E2E_NAMESERVER_H
#define EVPROXY_TESTS_E2E_NAMESERVER_H

#include <stdbool.h>

enum nameserver_code {
    NAMESERVER_EMPTY = 0, /* the name exists and has no address */
    NAMESERVER_SERVFAIL = 2,
    NAMESERVER_NXDOMAIN = 3,
};

/* Moves this process into namespaces of its own, and starts the server. To be
 * called before any other thread. False: the machine does not allow it. */
bool nameserver_start(void);

/* From now on: IP addresses, with spaces between them; an answer without any;
 * no answer. */
void nameserver_answer(const char *addresses);
void nameserver_refuse(enum nameserver_code code);
void nameserver_be_silent(void);

/* Of 127.1.0.1 and the addresses that follow it, so many. */
void nameserver_answer_many(unsigned count);

/* How many questions for IPv4 addresses it has been asked, answered or not. */
unsigned nameserver_questions(void);

#endif
