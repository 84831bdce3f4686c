#include "base/addr.h"

#include "base/hash.h"
#include "base/value.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

#define LABEL_MAX   63 /* RFC 1035, 2.3.4 */
#define MAPPED_BITS 96 /* of ::ffff:0:0/96 */

/* "ffff:...:255.255.255.255", "%4294967295" */
#define ZONED_TEXT_MAX (INET6_ADDRSTRLEN + 11)

#define NOT_AN_IP VALUE_QUOTE " is not an IP address"

static unsigned ip_bytes(const struct addr *addr)
{
    switch (addr->family) {
    case AF_INET:
        return 4;
    case AF_INET6:
        return 16;
    default:
        return 0;
    }
}

/* Clears all but the leading bits. */
static void ip_mask(struct addr *addr, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(addr->ip); i++) {
        unsigned kept = bits > 8 ? 8 : bits;

        addr->ip[i] &= (uint8_t)(0xff00u >> kept);
        bits -= kept;
    }
}

static void addr_from_in(struct addr *addr, const struct in_addr *in,
                         uint16_t port)
{
    *addr = (struct addr){.family = AF_INET, .port = port};
    memcpy(addr->ip, in, sizeof(*in));
}

static void addr_from_in6(struct addr *addr, const struct in6_addr *in6,
                          uint16_t port)
{
    *addr = (struct addr){.port = port};
    if (IN6_IS_ADDR_V4MAPPED(in6)) {
        addr->family = AF_INET;
        memcpy(addr->ip, &in6->s6_addr[MAPPED_BITS / 8], 4);
    } else {
        addr->family = AF_INET6;
        memcpy(addr->ip, in6, sizeof(*in6));
    }
}

void addr_from_sockaddr(struct addr *addr, const struct sockaddr *any)
{
    const struct sockaddr_in *in = (const void *)any;
    const struct sockaddr_in6 *in6 = (const void *)any;

    switch (any->sa_family) {
    case AF_INET:
        addr_from_in(addr, &in->sin_addr, ntohs(in->sin_port));
        break;
    case AF_INET6:
        addr_from_in6(addr, &in6->sin6_addr, ntohs(in6->sin6_port));
        break;
    default:
        *addr = (struct addr){
            .family = any->sa_family == AF_UNIX ? AF_UNIX : 0,
        };
    }
}

void endpoint_from_addr(struct endpoint *endpoint, const struct addr *addr)
{
    memset(endpoint, 0, sizeof(*endpoint));
    if (addr->family == AF_INET) {
        endpoint->length = sizeof(endpoint->u.in);
        endpoint->u.in.sin_family = AF_INET;
        endpoint->u.in.sin_port = htons(addr->port);
        memcpy(&endpoint->u.in.sin_addr, addr->ip, 4);
    } else if (addr->family == AF_INET6) {
        endpoint->length = sizeof(endpoint->u.in6);
        endpoint->u.in6.sin6_family = AF_INET6;
        endpoint->u.in6.sin6_port = htons(addr->port);
        memcpy(&endpoint->u.in6.sin6_addr, addr->ip, 16);
    }
}

static sa_family_t endpoint_family(const struct endpoint *endpoint)
{
    return endpoint->length == 0 ? AF_UNSPEC : endpoint->u.any.sa_family;
}

static uint32_t endpoint_zone(const struct endpoint *endpoint)
{
    return endpoint_family(endpoint) == AF_INET6 ? endpoint->u.in6.sin6_scope_id
                                                 : 0;
}

/* Bytes of the name of a unix socket: a path without its final zero, or an
 * abstract name, which begins with a zero and may hold others; 0 if unnamed. */
static size_t endpoint_name_length(const struct endpoint *endpoint)
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    const char *name = endpoint->u.un.sun_path;
    size_t length = endpoint->length > head ? endpoint->length - head : 0;

    if (length > sizeof(endpoint->u.un.sun_path)) {
        length = sizeof(endpoint->u.un.sun_path);
    }
    return length == 0 || name[0] == '\0' ? length : strnlen(name, length);
}

static bool endpoint_equal_name(const struct endpoint *a,
                                const struct endpoint *b)
{
    size_t length = endpoint_name_length(a);

    return length == endpoint_name_length(b) &&
           memcmp(a->u.un.sun_path, b->u.un.sun_path, length) == 0;
}

static bool endpoint_equal_ip(const struct endpoint *a,
                              const struct endpoint *b)
{
    struct addr x;
    struct addr y;

    addr_from_sockaddr(&x, &a->u.any);
    addr_from_sockaddr(&y, &b->u.any);
    return x.family == y.family && x.port == y.port &&
           memcmp(x.ip, y.ip, sizeof(x.ip)) == 0 &&
           endpoint_zone(a) == endpoint_zone(b);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->length == 0 || b->length == 0) {
        return a->length == b->length;
    }
    if (endpoint_family(a) == AF_UNIX && endpoint_family(b) == AF_UNIX) {
        return endpoint_equal_name(a, b);
    }
    return endpoint_equal_ip(a, b);
}

/* The address, in brackets where it has colons, and its port. */
static void format_ip(const struct addr *addr, uint32_t zone,
                      char text[ADDR_TEXT_MAX])
{
    static const uint8_t any[16];
    char ip[INET6_ADDRSTRLEN] = "";

    (void)inet_ntop(addr->family, addr->ip, ip, sizeof(ip));
    if (addr->family == AF_INET) {
        (void)snprintf(text, ADDR_TEXT_MAX, "%s:%u", ip, addr->port);
    } else if (zone != 0) {
        (void)snprintf(text, ADDR_TEXT_MAX, "[%s%%%u]:%u", ip, zone,
                       addr->port);
    } else if (memcmp(addr->ip, any, sizeof(any)) == 0) {
        (void)snprintf(text, ADDR_TEXT_MAX, ":%u", addr->port);
    } else {
        (void)snprintf(text, ADDR_TEXT_MAX, "[%s]:%u", ip, addr->port);
    }
}

static const char *format_zoned(const struct addr *addr, uint32_t zone,
                                char text[ADDR_TEXT_MAX])
{
    if (ip_bytes(addr) > 0) {
        format_ip(addr, zone, text);
    } else {
        (void)snprintf(text, ADDR_TEXT_MAX, "%s",
                       addr->family == AF_UNIX ? "unix:" : "-");
    }
    return text;
}

const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
    return format_zoned(addr, 0, text);
}

const char *addr_format_ip(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
    text[0] = '\0';
    if (addr->family == AF_INET || addr->family == AF_INET6) {
        (void)inet_ntop(addr->family, addr->ip, text, ADDR_TEXT_MAX);
    }
    return text;
}

const char *endpoint_format(const struct endpoint *endpoint,
                            char text[ADDR_TEXT_MAX])
{
    struct addr addr = {0};

    if (endpoint_family(endpoint) == AF_UNIX) {
        (void)snprintf(text, ADDR_TEXT_MAX, "unix:%.*s",
                       (int)endpoint_name_length(endpoint),
                       endpoint->u.un.sun_path);
        return text;
    }
    if (endpoint->length > 0) {
        addr_from_sockaddr(&addr, &endpoint->u.any);
    }
    return format_zoned(&addr, endpoint_zone(endpoint), text);
}

/*
 * A number written in the one usual way: "080" is octal to some readers and
 * decimal to others, so neither guess is made.
 */
static bool plain_number(const char *text, uint64_t min, uint64_t max,
                         uint64_t *out)
{
    bool leading_zero = text[0] == '0' && text[1] != '\0';

    return !leading_zero && value_number(text, min, max, out) == NULL;
}

static const char *parse_port(const char *text, uint16_t *port)
{
    uint64_t number;

    if (!plain_number(text, 0, UINT64_MAX, &number)) {
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

/* What stands in the brackets, its zone split off. */
static const char *parse_in6(char *text, struct sockaddr_in6 *in6)
{
    char *zone = strchr(text, '%');
    uint64_t number = 0;

    if (zone != NULL) {
        *zone++ = '\0';
    }
    if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1) {
        return value_sentence(VALUE_QUOTE " is not an IPv6 address", text);
    }
    if (zone != NULL && !plain_number(zone, 1, UINT32_MAX, &number)) {
        return value_sentence("zone " VALUE_QUOTE " is not an interface number"
                              " (example: [fe80::1%%2]:80)",
                              zone);
    }
    if (zone != NULL && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)) {
        return value_sentence(
            VALUE_QUOTE " is not link-local and takes no zone", text);
    }
    in6->sin6_scope_id = (uint32_t)number;
    return NULL;
}

/* From the text in the brackets and the port after them. */
static const char *parse_ip6(char *text, const char *port,
                             struct address *address)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    const char *sentence = parse_in6(text, &in6);
    struct addr addr;

    if (sentence == NULL) {
        sentence = parse_port(port, &address->port);
    }
    if (sentence != NULL) {
        return sentence;
    }
    addr_from_in6(&addr, &in6.sin6_addr, address->port);
    endpoint_from_addr(&address->endpoint, &addr);
    if (in6.sin6_scope_id != 0) {
        address->endpoint.u.in6.sin6_scope_id = in6.sin6_scope_id;
    }
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
 * Whether a resolver would take the name for a number (inet_aton reads "127.1",
 * "0x7f000001" and "0177.0.0.1"): its last label is decimal or hexadecimal. No
 * top-level domain is. A dot at the end makes it a name for certain.
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

/* Labels of 1 to 63 characters with dots between; one may stand at the end. */
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

/* host is in address already: an IPv4 address, a name, or nothing. */
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

const char *address_parse(const char *text, struct address *address)
{
    memset(address, 0, sizeof(*address));
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(text + 5, address);
    }
    if (strncmp(text, "srv:", 4) == 0) {
        return "srv: names are not available in this build";
    }
    if (text[0] == '[') {
        return parse_bracketed(text, address);
    }
    return parse_plain(text, address);
}

const char *addr_parse_ip(const char *text, struct addr *addr)
{
    struct in6_addr in6;
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) == 1) {
        addr_from_in(addr, &in, 0);
        return NULL;
    }
    if (inet_pton(AF_INET6, text, &in6) == 1) {
        addr_from_in6(addr, &in6, 0);
        return NULL;
    }
    return value_sentence(strchr(text, '%') == NULL ? NOT_AN_IP
                                                    : NOT_AN_IP
                              " (a zone cannot be used here)",
                          text);
}

/* The prefix of an address whose text has so many bits; text NULL: all. */
static const char *parse_prefix(const char *text, unsigned bits,
                                struct network *network)
{
    bool mapped = bits == 128 && network->base.family == AF_INET;
    uint64_t min = mapped ? MAPPED_BITS : 0;
    uint64_t prefix = bits;

    if (text != NULL && !plain_number(text, min, bits, &prefix)) {
        return value_sentence("prefix " VALUE_QUOTE
                              " is not a number between %u and %u",
                              text, (unsigned)min, bits);
    }
    network->prefix = (uint8_t)(prefix - min);
    return NULL;
}

static const char *network_check(const char *text,
                                 const struct network *network)
{
    struct addr meant = network->base;
    char ip[INET6_ADDRSTRLEN] = "";

    ip_mask(&meant, network->prefix);
    if (memcmp(meant.ip, network->base.ip, sizeof(meant.ip)) == 0) {
        return NULL;
    }
    (void)inet_ntop(meant.family, meant.ip, ip, sizeof(ip));
    return value_sentence("'%.60s' has bits set beyond the prefix"
                          " (the network is %s/%u)",
                          text, ip, network->prefix);
}

const char *network_parse(const char *text, struct network *network)
{
    size_t length = strcspn(text, "/");
    const char *prefix = text[length] == '/' ? text + length + 1 : NULL;
    char ip[INET6_ADDRSTRLEN];
    const char *sentence;

    if (length >= sizeof(ip)) {
        return value_sentence(NOT_AN_IP, text);
    }
    memcpy(ip, text, length);
    ip[length] = '\0';
    sentence = addr_parse_ip(ip, &network->base);
    if (sentence == NULL) {
        unsigned bits = strchr(ip, ':') == NULL ? 32 : 128;

        sentence = parse_prefix(prefix, bits, network);
    }
    return sentence == NULL ? network_check(text, network) : sentence;
}

bool network_contains(const struct network *network, const struct addr *addr)
{
    struct addr masked = *addr;

    ip_mask(&masked, network->prefix);
    return masked.family == network->base.family &&
           memcmp(masked.ip, network->base.ip, sizeof(masked.ip)) == 0;
}

uint64_t addr_hash(const struct addr *addr, unsigned prefix_v4,
                   unsigned prefix_v6)
{
    struct addr masked = *addr;

    ip_mask(&masked, addr->family == AF_INET ? prefix_v4 : prefix_v6);
    return hash_bytes(masked.ip, ip_bytes(addr), 0);
}

static int family_rank(uint16_t family)
{
    switch (family) {
    case AF_INET:
        return 0;
    case AF_INET6:
        return 1;
    default:
        return 2;
    }
}

int addr_compare_ip(const struct addr *a, const struct addr *b)
{
    int rank = family_rank(a->family) - family_rank(b->family);

    return rank != 0 ? rank : memcmp(a->ip, b->ip, sizeof(a->ip));
}

struct addr addr_plus(const struct addr *addr, uint64_t offset)
{
    struct addr sum = *addr;
    uint64_t carry = offset;

    for (unsigned i = ip_bytes(addr); i-- > 0;) {
        unsigned byte = sum.ip[i] + (unsigned)(carry & 0xff);

        sum.ip[i] = (uint8_t)byte;
        carry = (carry >> 8) + (byte >> 8);
    }
    return sum;
}

uint64_t addr_range_size(const struct addr *first, const struct addr *last)
{
    uint64_t distance = 0;

    for (unsigned i = 0; i < ip_bytes(first); i++) {
        distance = distance * 256 + last->ip[i] - first->ip[i];
        if (distance >= UINT32_MAX) {
            return UINT32_MAX;
        }
    }
    return distance + 1;
}
