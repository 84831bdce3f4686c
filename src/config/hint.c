#include "config/hint.h"

#include "base/value.h"
#include "config/append.h"
#include "config/key_table.h"
#include "config/setter.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct word {
    const char *theirs;
    const char *ours;
};

static const char *word_find(const struct word *words, size_t count,
                             const char *theirs)
{
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(words[i].theirs, theirs) == 0) {
            return words[i].ours;
        }
    }
    return NULL;
}

/* ---- values ---- */

/* A name that another program has for a choice, if ours is one of the key's. */
static const struct word choices[] = {
    {"least_conn", "leastconn"},
    {"least-connections", "leastconn"},
    {"round_robin", "roundrobin"},
    {"round-robin", "roundrobin"},
    {"rr", "roundrobin"},
    {"static-rr", "roundrobin"},
    {"ip_hash", "source"},
    {"hash", "source"},
    {"warning", "warn"},
    {"notice", "info"},
    {"err", "error"},
    {"no", "off"},
    {"false", "off"},
    {"none", "off"},
    {"TLSv1.2", "1.2"},
    {"TLSv1.3", "1.3"},
};

static const struct word truths[] = {
    {"on", "yes"},  {"true", "yes"}, {"1", "yes"}, {"enabled", "yes"},
    {"off", "no"},  {"false", "no"}, {"0", "no"},  {"disabled", "no"},
    {"yes", "yes"}, {"no", "no"},
};

static const char *choice_meant(const struct key *key, const char *text)
{
    const char *word = word_find(choices, ARRAY_LEN(choices), text);

    for (unsigned i = 0; word != NULL && i < key->choice_count; i++) {
        if (strcmp(word, key->choices[i]) == 0) {
            return word;
        }
    }
    /* A number is near to each other one, and is no slip. */
    return isdigit((unsigned char)text[0])
               ? NULL
               : key_table_nearest(key->choices, key->choice_count, text);
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

static const char *about_punctuation(const char *text)
{
    size_t length = strlen(text);

    if (length > 1 && text[length - 1] == ';') {
        return "a value does not end with ';'";
    }
    if (length > 1 && is_quote(text[0]) && text[length - 1] == text[0]) {
        return "a value has no quotes around it";
    }
    return NULL;
}

static const char *about_address(const struct key *key, const char *text)
{
    bool repeatable = key->set == append_listen || key->set == append_upstream;

    if (!repeatable && key->set != setter_listen) {
        return NULL;
    }
    if (strstr(text, "://") != NULL) {
        return "an address has no scheme (example: 10.0.0.1:80)";
    }
    if (text[0] == '/') {
        return value_sentence("a unix path begins with unix: (unix:%s)", text);
    }
    if (repeatable && strchr(text, ',') != NULL) {
        return value_sentence("each address has a line '%s = ADDRESS'",
                              key->name);
    }
    return NULL;
}

const char *hint_slip(const struct key *key, const char *text)
{
    const char *slip = about_punctuation(text);

    return slip != NULL ? slip : about_address(key, text);
}

const char *hint_meant(const struct key *key, const char *text)
{
    if (key->set == setter_bool) {
        return word_find(truths, ARRAY_LEN(truths), text);
    }
    return key->choice_count > 0 ? choice_meant(key, text) : NULL;
}

const char *hint_refusal(const struct key *key, const char *text)
{
    return key->field.type == KEY_TEXT || key->field.type == KEY_FILE ||
                   key->field.type == KEY_RULE
               ? about_punctuation(text)
               : NULL;
}

/* Seconds that no one means: more than a day, or a round number of thousands
 * that is no whole hour. */
static bool is_odd_seconds(uint64_t seconds)
{
    return seconds > 86400 ||
           (seconds >= 1000 && seconds % 1000 == 0 && seconds % 3600 != 0);
}

const char *hint_doubt(const struct key *key, const char *text)
{
    uint64_t number;

    if (key->set != setter_time ||
        value_number(text, 0, UINT64_MAX, &number) != NULL ||
        !is_odd_seconds(number)) {
        return NULL;
    }
    return value_sentence("%s = %s: a number without a unit is in seconds, "
                          "%.1f hours here (%sms is milliseconds)",
                          key->name, text, (double)number / 3600, text);
}

/* ---- keys ---- */

/* evproxy-migrate(7) has the same table. */
static const struct word keys[] = {
    {"bind", "listen"},
    {"server", "upstream"},
    {"proxy_pass", "upstream"},
    {"default_backend", "upstream"},
    {"server-template", "upstream = srv:_NAME._tcp.DOMAIN"},
    {"weight", "upstream = ADDRESS weight=N"},
    {"backup", "upstream = ADDRESS backup"},
    {"disabled", "upstream = ADDRESS drain"},
    {"down", "upstream = ADDRESS drain"},
    {"resolvers", "resolve_interval"},
    {"resolver", "resolve_interval"},
    {"source", "source_address"},
    {"proxy_bind", "source_address"},
    {"transparent", "freebind"},
    {"tfo", "tcp_fastopen"},
    {"fastopen", "tcp_fastopen"},
    {"option tcpka", "tcp_keepalive"},
    {"option clitcpka", "tcp_keepalive"},
    {"option srvtcpka", "tcp_keepalive"},
    {"so_keepalive", "tcp_keepalive"},
    {"proxy_socket_keepalive", "tcp_keepalive"},
    {"tcp-ut", "tcp_user_timeout"},
    {"least_conn", "balance = leastconn"},
    {"leastconn", "balance = leastconn"},
    {"roundrobin", "balance = roundrobin"},
    {"ip_hash", "balance = source"},
    {"hash", "balance = source"},
    {"hash-type", "balance = source"},
    {"persist rdp-cookie", "balance = source"},
    {"stick on", "balance = source"},
    {"stick-table", "balance = source"},
    {"random", "balance = random"},
    {"first", "balance = first"},
    {"hash-balance-factor", "balance_bound"},
    {"slowstart", "slow_start"},
    {"maxconn", "max_connections"},
    {"max_conns", "max_connections"},
    {"worker_connections", "max_connections"},
    {"limit_conn", "max_connections_per_source"},
    {"rate-limit sessions", "accept_rate"},
    {"proxy_upload_rate", "rate_up"},
    {"proxy_download_rate", "rate_down"},
    {"tcp-request connection reject", "deny"},
    {"tcp-request connection accept", "allow"},
    {"timeout client", "idle_timeout"},
    {"timeout server", "idle_timeout"},
    {"timeout tunnel", "idle_timeout"},
    {"proxy_timeout", "idle_timeout"},
    {"timeout connect", "connect_timeout"},
    {"proxy_connect_timeout", "connect_timeout"},
    {"timeout queue", "queue_timeout"},
    {"timeout client-fin", "half_close_timeout"},
    {"timeout server-fin", "half_close_timeout"},
    {"tcp-request inspect-delay", "header_timeout"},
    {"preread_timeout", "header_timeout"},
    {"proxy_protocol_timeout", "header_timeout"},
    {"retries", "connect_attempts"},
    {"option redispatch", "connect_attempts"},
    {"proxy_next_upstream", "connect_attempts"},
    {"proxy_next_upstream_tries", "connect_attempts"},
    {"hard-stop-after", "drain_timeout"},
    {"worker_shutdown_timeout", "drain_timeout"},
    {"grace", "drain_delay"},
    {"check", "health_check = tcp"},
    {"option httpchk", "health_check = http"},
    {"option tcp-check", "health_check = expect"},
    {"option smtpchk", "health_check = expect"},
    {"option redis-check", "health_check = expect"},
    {"option mysql-check", "health_check = tcp"},
    {"option pgsql-check", "health_check = tcp"},
    {"option ssl-hello-chk", "health_tls = yes"},
    {"check-ssl", "health_tls = yes"},
    {"check-sni", "upstream_tls_name"},
    {"http-check expect", "health_status"},
    {"tcp-check send", "health_send"},
    {"tcp-check expect", "health_expect"},
    {"inter", "health_interval"},
    {"timeout check", "health_timeout"},
    {"rise", "health_rise"},
    {"fall", "health_fall"},
    {"max_fails", "fail_threshold"},
    {"fail_timeout", "fail_window"},
    {"on-marked-down", "on_down = reset"},
    {"accept-proxy", "proxy_protocol = on"},
    {"set_real_ip_from", "proxy_protocol_from"},
    {"send-proxy", "upstream = ADDRESS proxy_protocol=v1"},
    {"send-proxy-v2", "upstream = ADDRESS proxy_protocol=v2"},
    {"ssl_preread", "sni"},
    {"req_ssl_sni", "sni"},
    {"req.ssl_sni", "sni"},
    {"server_name", "sni"},
    {"crt", "tls_certificate"},
    {"ssl_certificate", "tls_certificate"},
    {"ssl_certificate_key", "tls_key"},
    {"ssl_client_certificate", "tls_client_ca"},
    {"ssl-min-ver", "tls_min_version"},
    {"ssl_protocols", "tls_min_version"},
    {"ssl_session_ticket_key", "tls_ticket_keys"},
    {"tls-ticket-keys", "tls_ticket_keys"},
    {"ssl_alpn", "tls_alpn"},
    {"proxy_ssl", "upstream_tls"},
    {"proxy_ssl_trusted_certificate", "upstream_tls_ca"},
    {"proxy_ssl_name", "upstream_tls_name"},
    {"proxy_responses", "udp_responses"},
    {"nbthread", "workers"},
    {"worker_processes", "workers"},
    {"uid", "user"},
    {"gid", "group"},
    {"tune.bufsize", "buffer_size"},
    {"proxy_buffer_size", "buffer_size"},
    {"option tcplog", "access_log = yes"},
    {"error_log", "log_level"},
    {"stats uri", "metrics_listen"},
    {"stub_status", "metrics_listen"},
};

const char *hint_key(const char *name)
{
    return word_find(keys, ARRAY_LEN(keys), name);
}

/* ---- whole files ---- */

/* The first word of a line of HAProxy that begins a section. */
static bool is_haproxy(const char *line, size_t length)
{
    static const char *const words[] = {"global",  "defaults", "frontend",
                                        "backend", "listen",   "peers"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t count = strlen(words[i]);

        if (length >= count && strncmp(line, words[i], count) == 0 &&
            memchr(line, '=', length) == NULL &&
            (length == count || line[count] == ' ')) {
            return true;
        }
    }
    return false;
}

/* "- item", "key:", "key: value" */
static bool is_yaml(const char *line, size_t length)
{
    size_t word = 0;

    if (length >= 2 && line[0] == '-' && line[1] == ' ') {
        return true;
    }
    if (length == 3 && strncmp(line, "---", 3) == 0) {
        return true;
    }
    while (word < length && (isalnum((unsigned char)line[word]) ||
                             line[word] == '_' || line[word] == '-')) {
        word++;
    }
    return word > 0 && word < length && line[word] == ':' &&
           (word + 1 == length || line[word + 1] == ' ');
}

/* The line is trimmed and not empty. */
static const char *syntax_of(const char *line, size_t length)
{
    char last = line[length - 1];

    if (line[0] == '{') {
        return "JSON";
    }
    if (last == '{' || (last == ';' && memchr(line, '=', length) == NULL)) {
        return "nginx's";
    }
    if (is_haproxy(line, length)) {
        return "HAProxy's";
    }
    return is_yaml(line, length) ? "YAML" : NULL;
}

const char *hint_syntax(const char *text, size_t count, unsigned *line)
{
    const char *end = text + count;
    const char *found = NULL;
    unsigned number = 0;

    for (const char *at = text; at < end; at += strcspn(at, "\n") + 1) {
        size_t length = strcspn(at, "\n");
        const char *first = at + strspn(at, " \t");

        number++;
        while (length > 0 && strchr(" \t\r", at[length - 1]) != NULL) {
            length--;
        }
        if (first >= at + length || *first == '#') {
            continue;
        }
        if (*first == '[') {
            return NULL; /* at least it has sections */
        }
        if (found == NULL) {
            found = syntax_of(first, (size_t)(at + length - first));
            *line = number;
        }
    }
    return found == NULL
               ? NULL
               : value_sentence("this looks like %s syntax; evproxy reads "
                                "'[service NAME]' and lines 'KEY = VALUE'",
                                found);
}
