/*
 * preface: what comes before the bytes of a connection. From the client: a
 * PROXY header, if it may send one; the server name of its ClientHello, which
 * is only looked at; the handshake, where TLS ends here. To an upstream: the
 * PROXY header that its line asks for.
 *
 *      PROXY header ──▶ server name ──▶ admission ──▶ handshake ──▶ CONNECT
 *
 *
 * A header is looked at where it lies, in the kernel's queue, and taken only
 * when it is complete: neither a slow nor a hostile sender costs memory here,
 * and the bytes behind it are not touched. Its source is the client for
 * everything that follows: the pick, the limits, the access rules, the logs.
 */
#ifndef EVPROXY_PROXY_PREFACE_H
#define EVPROXY_PROXY_PREFACE_H

#include "proxy/session.h"
#include "wire/client_hello.h"

/* So much is looked at where it lies, in bytes. A ClientHello that is longer
 * counts as none; a PROXY header that is longer is gathered. */
#define PREFACE_BYTES_MAX (CLIENT_HELLO_MAX + 1024)

/* Whether something must come first on that address, before it is known who
 * and whose the client is. */
bool preface_is_due(const struct listen_socket *listen);

/* May this peer send what is due? CAUSE_NONE or CAUSE_DENIED. A unix socket's
 * peer has no address, and may not. */
enum cause preface_admit(const struct service *service,
                         const struct addr *peer);

/* PREFACE: the client's socket has an event. Goes on to CONNECT, or ends. */
void preface_event(struct plane *plane, struct session *session);

/* It was let in: on to the handshake, if TLS ends here, and to an upstream. */
void preface_admitted(struct plane *plane, struct session *session);

/* The handshake has its turn. */
void preface_run(struct plane *plane, struct session *session);

/* Sends the session's upstream the header that its line asks for. False: the
 * fresh socket did not take it whole. */
bool preface_send(struct session *session) WARN_UNUSED;

#endif
