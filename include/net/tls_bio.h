/*
 * tls_bio: how OpenSSL reads and writes a socket, and how much work the records
 * are that it reads. Only tls uses it. A connection belongs to the thread of
 * its socket.
 *
 * Work is counted in bytes of ciphertext. A record takes time without its bytes
 * too, and one that is a message of TLS takes much more: a change of keys costs
 * as much as decrypting 10 KB. So the turn of a peer whose records have one
 * byte, or none, is no longer than that of others.
 */
#ifndef EVPROXY_NET_TLS_BIO_H
#define EVPROXY_NET_TLS_BIO_H

#include "base/base.h"
#include "net/sock_state.h"

#include <stdbool.h>
#include <stddef.h>

#define TLS_WORK_RECORD  256u
#define TLS_WORK_MESSAGE (10u * 1024)

/* In one call: where a handshake stops, and where no further record is read
 * into the same block. About a quarter of a millisecond. */
#define TLS_WORK_MAX (256u * 1024)

/* Records without data that are taken in a row after the handshake. */
#define TLS_BARREN_MAX 32u

/* OpenSSL's SSL and BIO_METHOD. */
struct ssl_st;
struct bio_method_st;

/* A call of OpenSSL, which calls back: what it is for, and the answers. */
struct tls_call {
    struct sock *sock;
    struct ssl_st *ssl;
    bool more;      /* more bytes will follow those that are written */
    bool handshake; /* the handshake goes on, and stops at TLS_WORK_MAX */
    bool busy;      /* a shortage of memory, or the handshake was stopped */
    bool ended;     /* the stream has ended */
    bool refused;   /* there were too many barren records */
    int error;      /* errno of a failed call, or 0 */
    size_t work;    /* since it was last taken; goes on over calls */
};

/* Begins a call of this thread. */
struct tls_call *tls_bio_begin(struct sock *sock, struct ssl_st *ssl);

/* Makes a new connection read and write the socket of the call that is begun
 * before each of its own. False: no memory. */
bool tls_bio_attach(struct ssl_st *ssl) WARN_UNUSED;

/* The connection has read data: the count of records without data restarts. */
void tls_bio_had_data(struct ssl_st *ssl);

/* The work of this thread since it was last taken. */
size_t tls_bio_work(void);
size_t tls_bio_take_work(void);

#endif
