#include "base/address.h"

#include "base/value.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define LABEL_MAX 63 /* RFC 1035, 2.3.4 */

/* "ffff:...:255.255.255.255", "%4294967295" */
#define ZONED_TEXT_MAX (INET6_ADDRSTRLEN + 11)

static const char any_port[] = "*";

/* "*" is port 0, which address_parse refuses. */
static const char *parse_port(const char *text, uint16_t *port)
{
    uint64_t number;

    if (strcmp(text, any_port) == 0) {
        *port = 0;
        return NULL;
    }
    if (value_plain_number(text, 0, UINT64_MAX, &number) != NULL) {
        return value_sentence(
            VALUE_QUOTE " is not a port (a number between 1 and 65535)", text);
    }
    if (number < 1 || number > UINT16_MAX) {
        return value_sentence("port %.40s is not between 1 and 65535", text);
    }
    *port = (uint16_t)number;
    return NULL;
}

static const char *parse_unix(const char *path, struct address *address)
{
    struct sockaddr_un *un = &address->endpoint.u.un;
    size_t length = strlen(path);

    if (path[0] != '/') {
        return value_sentence("unix path " VALUE_QUOTE
                              " is not absolute (example: unix:/path)",
                              path);
    }
    if (length >= sizeof(un->sun_path)) {
        return value_sentence("unix path '%.40s...' is longer than %zu bytes",
                              path, sizeof(un->sun_path) - 1);
    }
    for (const char *at = path; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return value_sentence(
                "unix path " VALUE_QUOTE " has a control character", path);
        }
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, length + 1);
    address->endpoint.length =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    address->kind = ADDRESS_UNIX;
    return NULL;
}

/* text: what stands in the brackets; its zone is cut off. */
static const char *parse_zoned(char *text, struct sockaddr_in6 *in6)
{
    char *zone = strchr(text, '%');
    uint64_t number = 0;

    if (zone != NULL) {
        *zone++ = '\0';
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1) {
        return value_sentence(VALUE_QUOTE " is not an IPv6 address", text);
    }
    if (zone != NULL &&
        value_plain_number(zone, 1, UINT32_MAX, &number) != NULL) {
        return value_sentence("zone " VALUE_QUOTE " is not an interface number"
                              " (example: [fe80::1%%2]:80)",
                              zone);
    }
    if (zone != NULL && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
        return value_sentence(
            VALUE_QUOTE " is not link-local and takes no zone", text);
    }
    if (zone == NULL && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
        return value_sentence(VALUE_QUOTE " is link-local and needs a zone"
                                          " (example: [fe80::1%%2]:80)",
                              text);
    }
    in6->sin6_scope_id = (uint32_t)number;
    return NULL;
}

/* ip: the text in the brackets; port: the text after them. */
static const char *parse_ip6(char *ip, const char *port,
                             struct address *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    const char *sentence = parse_zoned(ip, &in6);

    if (sentence == NULL) {
        sentence = parse_port(port, &address->port);
    }
    if (sentence != NULL) {
        return sentence;
    }
    in6.sin6_port = htons(address->port);
    endpoint_from_sockaddr(&address->endpoint, (const struct sockaddr *)&in6);
    address->kind =
        IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr) ? ADDRESS_ANY : ADDRESS_IP;
    return NULL;
}

static const char *parse_bracketed(const char *text, struct address *address)
{
    const char *end = strchr(text, ']');
    char ip[ZONED_TEXT_MAX];
    size_t length;

    if (end == NULL) {
        return value_sentence(VALUE_QUOTE " has no ']'", text);
    }
    if (end[1] != ':') {
        return value_sentence(VALUE_QUOTE " has no port (example: [::1]:80)",
                              text);
    }
    length = (size_t)(end - text) - 1;
    if (length >= sizeof(ip)) {
        return value_sentence(VALUE_QUOTE " is not an IPv6 address", text);
    }
    memcpy(ip, text + 1, length);
    ip[length] = '\0';
    return parse_ip6(ip, end + 2, address);
}

/*
 * Whether a resolver would read the name as a number, as inet_aton reads
 * "127.1", "0x7f000001" and "0177.0.0.1": its last label is decimal or
 * hexadecimal. No top-level domain is. With a dot at its end it is a name.
 */
static bool name_is_number(const char *name)
{
    const char *dot = strrchr(name, '.');
    const char *label = dot == NULL ? name : dot + 1;

    if (label[0] == '0' && (label[1] == 'x' || label[1] == 'X')) {
        label += 2;
        return label[strspn(label, DIGITS "abcdefABCDEF")] == '\0';
    }
    return label[0] != '\0' && label[strspn(label, DIGITS)] == '\0';
}

/* Labels of 1 to 63 characters with dots between them; a dot may follow the
 * last. */
static bool name_is_valid(const char *name)
{
    const char *label = name;

    do {
        size_t length = strspn(label, LETTERS DIGITS "-_");

        if (length < 1 || length > LABEL_MAX) {
            return false;
        }
        label += length;
        if (*label == '.') {
            label++;
        } else if (*label != '\0') {
            return false;
        }
    } while (*label != '\0');
    return true;
}

bool address_is_host(const char *text)
{
    return name_is_valid(text) && !name_is_number(text);
}

/* address->host is an IPv4 address, a name, or empty. */
static const char *parse_host(struct address *address)
{
    struct addr addr = {.family = AF_INET6, .port = address->port};
    const char *host = address->host;

    if (host[0] == '\0') {
        address->kind = ADDRESS_ANY;
    } else if (inet_pton(AF_INET, host, addr.ip) == 1) {
        address->kind = ADDRESS_IP;
        address->host[0] = '\0';
        addr.family = AF_INET;
    } else if (!name_is_valid(host)) {
        return value_sentence(VALUE_QUOTE " is not a host name", host);
    } else if (name_is_number(host)) {
        return value_sentence(VALUE_QUOTE " is not an IPv4 address"
                                          " (example: 127.0.0.1)",
                              host);
    } else {
        address->kind = ADDRESS_NAME;
        return NULL;
    }
    endpoint_from_addr(&address->endpoint, &addr);
    return NULL;
}

static const char *parse_plain(const char *text, struct address *address)
{
    const char *colon = strchr(text, ':');
    const char *sentence;
    size_t length;

    if (colon == NULL) {
        return value_sentence(
            VALUE_QUOTE " has no port (example: 127.0.0.1:80)", text);
    }
    if (strchr(colon + 1, ':') != NULL) {
        return value_sentence(VALUE_QUOTE " has more than one ':'; an IPv6"
                                          " address needs brackets"
                                          " (example: [::1]:80)",
                              text);
    }
    sentence = parse_port(colon + 1, &address->port);
    if (sentence != NULL) {
        return sentence;
    }
    length = (size_t)(colon - text);
    if (length == 1 && text[0] == '*') {
        return value_sentence("'*' is not an address; all addresses are"
                              " written as ':%u'",
                              address->port);
    }
    if (length >= sizeof(address->host)) {
        return value_sentence("host name '%.40s...' is longer than %zu bytes",
                              text, sizeof(address->host) - 1);
    }
    memcpy(address->host, text, length);
    return parse_host(address);
}

/* Skips a label that begins with '_', and its dot; NULL: there is none. */
static const char *skip_service_label(const char *name)
{
    const char *dot = strchr(name, '.');

    return dot == NULL || name[0] != '_' || dot == name + 1 ? NULL : dot + 1;
}

static const char *parse_srv(const char *name, struct address *address)
{
    const char *rest = skip_service_label(name);

    if (rest != NULL) {
        rest = skip_service_label(rest);
    }
    if (strchr(name, ':') != NULL) {
        return value_sentence(
            VALUE_QUOTE " has a ':'; SRV records tell the port", name);
    }
    if (rest == NULL || *rest == '\0' ||
        strlen(name) >= sizeof(address->host) || !name_is_valid(name)) {
        return value_sentence(VALUE_QUOTE
                              " is not the name of a service"
                              " (example: srv:_http._tcp.a.example)",
                              name);
    }
    strcpy(address->host, name);
    address->kind = ADDRESS_SRV;
    return NULL;
}

const char *address_parse_any_port(const char *text, struct address *address)
{
    memset(address, 0, sizeof(*address));
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(text + 5, address);
    }
    if (strncmp(text, "srv:", 4) == 0) {
        return parse_srv(text + 4, address);
    }
    if (text[0] == '[') {
        return parse_bracketed(text, address);
    }
    return parse_plain(text, address);
}

const char *address_parse(const char *text, struct address *address)
{
    const char *why = address_parse_any_port(text, address);

    if (why == NULL && address_has_any_port(address)) {
        why = "'*' is not a port (a number between 1 and 65535)";
    }
    return why;
}

const char *address_parse_ports(const char *text, struct address *address,
                                uint16_t *last)
{
    const char *colon = strrchr(text, ':');
    const char *dash = colon == NULL ? NULL : strchr(colon, '-');
    char first[ADDRESS_NAME_MAX + ZONED_TEXT_MAX];
    const char *why;

    if (dash == NULL || strncmp(text, "unix:", 5) == 0 ||
        (size_t)(dash - text) >= sizeof(first)) {
        why = address_parse(text, address);
        *last = address->port;
        return why;
    }
    memcpy(first, text, (size_t)(dash - text));
    first[dash - text] = '\0';
    why = address_parse(first, address);
    if (why == NULL) {
        why = parse_port(dash + 1, last);
    }
    if (why == NULL && *last == 0) {
        why = "'*' is not a port (a number between 1 and 65535)";
    }
    if (why == NULL && *last < address->port) {
        why = value_sentence("the range of ports ends before it starts: %s",
                             colon + 1);
    }
    return why;
}

const char *address_format_name(const struct address *address,
                                char text[ADDRESS_NAME_MAX])
{
    if (address->kind == ADDRESS_SRV) {
        (void)snprintf(text, ADDRESS_NAME_MAX, "srv:%s", address->host);
    } else if (address_has_any_port(address)) {
        (void)snprintf(text, ADDRESS_NAME_MAX, "%s:*", address->host);
    } else {
        (void)snprintf(text, ADDRESS_NAME_MAX, "%s:%u", address->host,
                       address->port);
    }
    return text;
}
