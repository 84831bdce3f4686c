/*
 * tls_alpn: lists of protocol names (RFC 7301), as text ("h2,http/1.1") and as
 * on the wire. Pure.
 */
#ifndef EVPROXY_TESTS_E2E_TLS_ALPN_H
#define EVPROXY_TESTS_E2E_TLS_ALPN_H

#define TLS_ALPN_MAX 256 /* bytes, in either form */

/* The size of what was written to wire; 0: too long. */
unsigned tls_alpn_write(unsigned char *wire, const char *text);

/* Leaves out what does not fit. */
void tls_alpn_read(char *text, const unsigned char *wire, unsigned size);

#endif
