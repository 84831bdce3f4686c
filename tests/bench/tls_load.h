/*
 * tls_load: the modes. Each prints one line of JSON and returns the exit
 * status.
 */
#ifndef EVPROXY_BENCH_TLS_LOAD_H
#define EVPROXY_BENCH_TLS_LOAD_H

int tls_run_rate(void);
int tls_run_requests(void);
int tls_run_stream(void);
int tls_run_hold(void);

#endif
