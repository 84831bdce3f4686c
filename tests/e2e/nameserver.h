/*
 * nameserver: a name server of the test program, and a network and an
 * /etc/resolv.conf of its own in which that is the only one. Main thread only.
 *
 * It knows each name by what was last said here. A name that begins with
 * "silent" is never answered, and one that begins with "at-127-1-0-2" has that
 * address alone.
 */
#ifndef EVPROXY_TESTS_E2E_NAMESERVER_H
#define EVPROXY_TESTS_E2E_NAMESERVER_H

#include "teardown.h"

#include <stdbool.h>

enum nameserver_code {
    NAMESERVER_EMPTY = 0, /* the name exists and has no address */
    NAMESERVER_SERVFAIL = 2,
    NAMESERVER_NXDOMAIN = 3,
};

enum nameserver_lie {
    NAMESERVER_HONEST,
    NAMESERVER_OTHER_ID,       /* the answer to another question */
    NAMESERVER_OTHER_QUESTION, /* the same, and says so */
    NAMESERVER_OTHER_OWNER,    /* the records of another name */
    NAMESERVER_GARBAGE,
};

/* Moves this process into namespaces of its own, and starts the server. To be
 * called before any other thread. Where the machine does not allow it, the
 * tests are skipped. */
void nameserver_start(void);

/* A row of cmocka's table. */
#define NAMES(test)                                                            \
    {                                                                          \
#test, nameserver_run, NULL, teardown, (void *)test                    \
    }

/* Runs the test that the state is. It is no setup function, as one that skips
 * makes cmocka report an error. */
void nameserver_run(void **state);

/* From now on: IP addresses, with spaces between them; an answer without any;
 * no answer. */
void nameserver_answer(const char *addresses);
void nameserver_refuse(enum nameserver_code code);
void nameserver_be_silent(void);

/* Of 127.1.0.1 and the addresses that follow it, so many. */
void nameserver_answer_many(unsigned count);

/* One of the IPv4 addresses in each answer, the next one in the next. */
void nameserver_answer_in_turns(const char *addresses);

/* SRV records, each as "PRIORITY WEIGHT TARGET:PORT ", and no addresses. */
void nameserver_answer_records(const char *records, unsigned ttl_s);

/* All answers are lies, until it is told anything above. */
void nameserver_lie(enum nameserver_lie lie);

/* How long programs that start now wait for it: a second, or ten. */
void nameserver_be_given_up_soon(bool soon);

/* How many questions for SRV records it has been asked. */
unsigned nameserver_srv_questions(void);

/* How many questions for IPv4 addresses it has been asked, answered or not. */
unsigned nameserver_questions(void);

#endif
