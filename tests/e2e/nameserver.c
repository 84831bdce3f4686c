#include "nameserver.h"

#include "file.h"
#include "test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define ADDRESSES_MAX 1000
#define HEADER_BYTES  12
#define PACKET_BYTES  65000

#define RECORDS_BYTES 40000 /* the text of all SRV records */

/* RFC 1035, 3596, 2782 */
enum { TYPE_A = 1, TYPE_AAAA = 28, TYPE_SRV = 33, CLASS_IN = 1 };

static struct {
    pthread_mutex_t lock; /* guards the rest */
    bool silent;
    unsigned code;
    struct in_addr four[ADDRESSES_MAX];
    unsigned four_count;
    struct in6_addr six[ADDRESSES_MAX];
    unsigned six_count;
    bool in_turns;
    enum nameserver_lie lie;
    char records[RECORDS_BYTES];
    unsigned ttl_s;
    unsigned questions;
    unsigned srv_questions;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what it knows ---- */

static void set(bool silent, unsigned code, const char *addresses)
{
    char text[1024], *rest = text, *word;

    snprintf(text, sizeof(text), "%s", addresses);
    pthread_mutex_lock(&server.lock);
    server.silent = silent;
    server.code = code;
    server.in_turns = false;
    server.lie = NAMESERVER_HONEST;
    server.records[0] = '\0';
    server.four_count = 0;
    server.six_count = 0;
    while ((word = strsep(&rest, " ")) != NULL) {
        if (inet_pton(AF_INET, word, &server.four[server.four_count]) == 1) {
            server.four_count++;
        } else if (inet_pton(AF_INET6, word, &server.six[server.six_count]) ==
                   1) {
            server.six_count++;
        }
    }
    pthread_mutex_unlock(&server.lock);
}

void nameserver_answer(const char *addresses)
{
    set(false, 0, addresses);
}

void nameserver_answer_in_turns(const char *addresses)
{
    set(false, 0, addresses);
    pthread_mutex_lock(&server.lock);
    server.in_turns = true;
    pthread_mutex_unlock(&server.lock);
}

void nameserver_answer_records(const char *records, unsigned ttl_s)
{
    set(false, 0, "");
    pthread_mutex_lock(&server.lock);
    snprintf(server.records, sizeof(server.records), "%s", records);
    server.ttl_s = ttl_s;
    pthread_mutex_unlock(&server.lock);
}

void nameserver_lie(enum nameserver_lie lie)
{
    pthread_mutex_lock(&server.lock);
    server.lie = lie;
    pthread_mutex_unlock(&server.lock);
}

void nameserver_refuse(enum nameserver_code code)
{
    set(false, code, "");
}

void nameserver_be_silent(void)
{
    set(true, 0, "");
}

void nameserver_answer_many(unsigned count)
{
    set(false, 0, "");
    pthread_mutex_lock(&server.lock);
    for (unsigned i = 0; i < count; i++) {
        server.four[i].s_addr = htonl(UINT32_C(0x7f010001) + i);
    }
    server.four_count = count;
    pthread_mutex_unlock(&server.lock);
}

unsigned nameserver_questions(void)
{
    unsigned questions;

    pthread_mutex_lock(&server.lock);
    questions = server.questions;
    pthread_mutex_unlock(&server.lock);
    return questions;
}

unsigned nameserver_srv_questions(void)
{
    unsigned questions;

    pthread_mutex_lock(&server.lock);
    questions = server.srv_questions;
    pthread_mutex_unlock(&server.lock);
    return questions;
}

/* ---- packets ---- */

static unsigned read16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static uint8_t *write16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *write_name(uint8_t *at, const char *name)
{
    while (*name != '\0') {
        size_t bytes = strcspn(name, ".");

        *at++ = (uint8_t)bytes;
        memcpy(at, name, bytes);
        at += bytes;
        name += bytes + (name[bytes] == '.');
    }
    *at++ = 0;
    return at;
}

/* A record of the name in the question, or of another one. */
static uint8_t *write_record(uint8_t *at, unsigned type, const void *data,
                             unsigned bytes)
{
    at = server.lie == NAMESERVER_OTHER_OWNER
             ? write_name(at, "other.example")
             : write16(at, 0xc000 | HEADER_BYTES);
    at = write16(at, type);
    at = write16(at, CLASS_IN);
    at = write16(at, 0);
    at = write16(at, type == TYPE_SRV ? server.ttl_s : 0);
    at = write16(at, bytes);
    memcpy(at, data, bytes);
    return at + bytes;
}

/* The end of the question; NULL: it is none. */
static uint8_t *question_end(uint8_t *packet, size_t length)
{
    uint8_t *at = packet + HEADER_BYTES;

    if (length < HEADER_BYTES) {
        return NULL;
    }
    while (at < packet + length && *at != 0) {
        at += *at + 1;
    }
    at += 1 + 4;
    return at <= packet + length ? at : NULL;
}

/* The four bytes in a name that begins with "at-127-1-0-2". */
static bool address_in_name(const uint8_t *name, uint8_t address[4])
{
    char label[64] = "";

    if (name[0] < sizeof(label)) {
        memcpy(label, name + 1, name[0]);
    }
    return sscanf(label, "at-%hhu-%hhu-%hhu-%hhu", &address[0], &address[1],
                  &address[2], &address[3]) == 4;
}

/* Writes the addresses of the name; *count: how many. */
static uint8_t *write_four(uint8_t *at, const uint8_t *name, unsigned *count)
{
    unsigned turn = server.questions++;
    uint8_t address[4];

    *count = 0;
    if (address_in_name(name, address)) {
        *count = 1;
        return write_record(at, TYPE_A, address, 4);
    }
    for (unsigned i = 0; i < server.four_count; i++) {
        if (!server.in_turns || turn % server.four_count == i) {
            at = write_record(at, TYPE_A, &server.four[i], 4);
            ++*count;
        }
    }
    return at;
}

static uint8_t *write_six(uint8_t *at, unsigned *count)
{
    *count = server.six_count;
    for (unsigned i = 0; i < server.six_count; i++) {
        at = write_record(at, TYPE_AAAA, &server.six[i], 16);
    }
    return at;
}

static uint8_t *write_srv(uint8_t *at, unsigned *count)
{
    const char *text = server.records;
    unsigned priority, weight, port;
    char target[256];
    int length;

    server.srv_questions++;
    *count = 0;
    while (sscanf(text, " %u %u %255[^:]:%u%n", &priority, &weight, target,
                  &port, &length) == 4) {
        uint8_t data[300], *end = write16(write16(data, priority), weight);

        end = write_name(write16(end, port),
                         strcmp(target, ".") == 0 ? "" : target);
        at = write_record(at, TYPE_SRV, data, (unsigned)(end - data));
        text += length;
        ++*count;
    }
    return at;
}

/* Turns the question into the answer: its length; 0: there is none. Under the
 * lock. */
static size_t answer(uint8_t *packet, size_t length)
{
    uint8_t *at = question_end(packet, length);
    unsigned type = at == NULL ? 0 : read16(at - 4), count = 0;
    bool silent = at == NULL || server.silent ||
                  memcmp(packet + HEADER_BYTES + 1, "silent", 6) == 0;

    if (at == NULL) {
        return 0;
    }
    if (type == TYPE_A) {
        at = write_four(at, packet + HEADER_BYTES, &count);
    } else if (type == TYPE_AAAA) {
        at = write_six(at, &count);
    } else if (type == TYPE_SRV) {
        at = write_srv(at, &count);
    }
    write16(packet + 2, 0x8180 | server.code); /* an answer, with recursion */
    write16(packet + 6, count);
    write16(packet + 8, 0);
    write16(packet + 10, 0);
    packet[1] ^= server.lie == NAMESERVER_OTHER_ID;
    packet[HEADER_BYTES + 1] ^= server.lie == NAMESERVER_OTHER_QUESTION;
    if (server.lie == NAMESERVER_GARBAGE) {
        memset(packet + 2, 0xc0, (size_t)(at - packet) - 2);
    }
    return silent ? 0 : (size_t)(at - packet);
}

static void *serve(void *arg)
{
    static uint8_t packet[PACKET_BYTES];
    int fd = *(int *)arg;

    for (;;) {
        struct sockaddr_in from;
        socklen_t from_length = sizeof(from);
        ssize_t count = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from,
                                 &from_length);
        size_t length;

        pthread_mutex_lock(&server.lock);
        length = count < 0 ? 0 : answer(packet, (size_t)count);
        pthread_mutex_unlock(&server.lock);
        if (length > 0) {
            (void)sendto(fd, packet, length, 0, (struct sockaddr *)&from,
                         from_length);
        }
    }
    return NULL;
}

/* ---- its start ---- */

static bool cover(const char *path, const char *name, const char *text)
{
    const char *ours = file_write(name, text);

    return mount(ours, path, NULL, MS_BIND, NULL) == 0;
}

static bool bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = ioctl(fd, SIOCSIFFLAGS, &request) == 0;

    close(fd);
    return up;
}

static bool leave_system(void)
{
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 &&
        unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           cover("/etc/resolv.conf", "resolv.conf", "nameserver 127.0.0.1\n") &&
           cover("/etc/nsswitch.conf", "nsswitch.conf", "hosts: dns\n") &&
           bring_loopback_up();
}

void nameserver_be_given_up_soon(bool soon)
{
    file_write("resolv.conf", soon ? "nameserver 127.0.0.1\n"
                                     "options timeout:1 attempts:1\n"
                                   : "nameserver 127.0.0.1\n");
}

static bool start(void)
{
    static int fd;
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(53)};
    pthread_t thread;

    if (!leave_system()) {
        return false;
    }
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof(here)) < 0 ||
        pthread_create(&thread, NULL, serve, &fd) != 0) {
        return false;
    }
    pthread_detach(thread);
    return true;
}

static bool available;

void nameserver_start(void)
{
    available = start();
}

void nameserver_run(void **state)
{
    CMUnitTestFunction test = (CMUnitTestFunction)*state;

    if (!available) {
        skip_because("no namespaces of its own");
    }
    *state = NULL;
    test(state);
}
