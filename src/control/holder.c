#include "control/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SOCKETS_MAX 256

#define STATE_LISTEN      0x0a    /* of TCP */
#define FLAG_UNIX_LISTENS 0x10000 /* __SO_ACCEPTCON */

/* The sockets that have the address. */
struct sockets {
    size_t count;
    bool all_ours; /* they belong to our user */
    unsigned long inodes[SOCKETS_MAX];
};

static void add(struct sockets *sockets, unsigned long inode, bool ours)
{
    if (sockets->count < SOCKETS_MAX) {
        sockets->inodes[sockets->count++] = inode;
        sockets->all_ours = sockets->all_ours && ours;
    }
}

static void remove_inode(struct sockets *sockets, unsigned long inode)
{
    for (size_t i = 0; i < sockets->count; i++) {
        if (sockets->inodes[i] == inode) {
            sockets->inodes[i] = sockets->inodes[--sockets->count];
            return;
        }
    }
}

/* ---- sockets by address ---- */

/* The address as the tables write it, in words of the machine's byte order. */
static void write_address(const struct endpoint *endpoint, char text[33])
{
    const uint32_t *words = endpoint->u.in6.sin6_addr.s6_addr32;

    if (endpoint->u.any.sa_family == AF_INET) {
        snprintf(text, 33, "%08X", endpoint->u.in.sin_addr.s_addr);
    } else {
        snprintf(text, 33, "%08X%08X%08X%08X", words[0], words[1], words[2],
                 words[3]);
    }
}

static bool is_any(const char *address)
{
    return address[strspn(address, "0")] == '\0';
}

/* Both as in a table. Of different families only IPv6's address of all hosts
 * overlaps with others, as it takes IPv4 too. */
static bool overlap(const char *a, const char *b)
{
    if (strlen(a) == strlen(b)) {
        return is_any(a) || is_any(b) || strcmp(a, b) == 0;
    }
    return is_any(strlen(a) > strlen(b) ? a : b);
}

/* A row of /proc/net/tcp and its like. False: no row that follows matters. The
 * table of TCP has all listening sockets first, and there may be millions of
 * others (Documentation/networking/proc_net_tcp.rst of the kernel). */
static bool read_row(struct sockets *sockets, const char *row,
                     const struct endpoint *endpoint, int type)
{
    char wanted[33], address[33];
    unsigned port, state, uid;
    unsigned long inode;

    if (sscanf(row,
               " %*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %u "
               "%*d %lu",
               address, &port, &state, &uid, &inode) != 5) {
        return true; /* the line of headings */
    }
    if (type == SOCK_STREAM && state != STATE_LISTEN) {
        return false;
    }
    write_address(endpoint, wanted);
    /* The port is at the same place in both families. */
    if (port == ntohs(endpoint->u.in.sin_port) && overlap(address, wanted)) {
        add(sockets, inode, uid == geteuid());
    }
    return true;
}

static bool read_unix_row(struct sockets *sockets, const char *row,
                          const struct endpoint *endpoint, int type)
{
    unsigned long inode;
    unsigned flags;
    char path[sizeof(endpoint->u.un.sun_path) + 1];

    (void)type;
    if (sscanf(row, "%*s %*x %*x %x %*x %*x %lu %108[^\n]", &flags, &inode,
               path) == 3 &&
        (flags & FLAG_UNIX_LISTENS) &&
        strcmp(path, endpoint->u.un.sun_path) == 0) {
        add(sockets, inode, false);
    }
    return true;
}

typedef bool (*row_fn)(struct sockets *sockets, const char *row,
                       const struct endpoint *endpoint, int type);

static void read_table(struct sockets *sockets, const char *path, row_fn read,
                       const struct endpoint *endpoint, int type)
{
    FILE *file = fopen(path, "re");
    char row[512];

    if (file == NULL) {
        return;
    }
    while (fgets(row, sizeof(row), file) != NULL &&
           read(sockets, row, endpoint, type)) {
    }
    fclose(file);
}

static void find_sockets(struct sockets *sockets,
                         const struct endpoint *endpoint, int type)
{
    sockets->count = 0;
    sockets->all_ours = true;
    if (endpoint->u.any.sa_family == AF_UNIX) {
        read_table(sockets, "/proc/self/net/unix", read_unix_row, endpoint,
                   type);
    } else if (type == SOCK_DGRAM) {
        read_table(sockets, "/proc/self/net/udp", read_row, endpoint, type);
        read_table(sockets, "/proc/self/net/udp6", read_row, endpoint, type);
    } else {
        read_table(sockets, "/proc/self/net/tcp", read_row, endpoint, type);
        read_table(sockets, "/proc/self/net/tcp6", read_row, endpoint, type);
    }
}

/* ---- processes by socket ---- */

/* Removes the sockets that the process has. Answers how many it has removed. */
static size_t remove_held(const char *pid, struct sockets *sockets)
{
    char path[64], target[64];
    const struct dirent *entry;
    size_t before = sockets->count;
    DIR *list;

    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    list = opendir(path);
    while (list != NULL && sockets->count > 0 &&
           (entry = readdir(list)) != NULL) {
        ssize_t length =
            readlinkat(dirfd(list), entry->d_name, target, sizeof(target) - 1);
        unsigned long inode;

        target[length > 0 ? length : 0] = '\0';
        if (sscanf(target, "socket:[%lu]", &inode) == 1) {
            remove_inode(sockets, inode);
        }
    }
    if (list != NULL) {
        closedir(list);
    }
    return before - sockets->count;
}

/* "": not there any more. */
static void read_name(const char *pid, char name[16])
{
    char path[64];
    FILE *file;

    name[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
    file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, 16, file) != NULL) {
            name[strcspn(name, "\n")] = '\0';
        }
        fclose(file);
    }
}

/* It holds the sockets that it passes on to a service, which may be ours. */
static bool is_manager(const char *name)
{
    return strcmp(name, "systemd") == 0;
}

/* Looks at the processes of this program, or at all others, until one of
 * another program has one of the sockets. Removes what ours have. What the
 * service manager has may be any program's, so it is left. */
static void search(struct sockets *sockets, bool ours, struct holder *holder)
{
    DIR *list = opendir("/proc");
    const struct dirent *entry;
    char our_name[16], name[16];

    read_name("self", our_name);
    while (list != NULL && sockets->count > 0 && holder->kind != HOLDER_OTHER &&
           (entry = readdir(list)) != NULL) {
        struct sockets left = *sockets;

        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        read_name(entry->d_name, name);
        if ((strcmp(name, our_name) == 0) != ours ||
            remove_held(entry->d_name, &left) == 0) {
            continue;
        }
        holder->pid = (pid_t)strtol(entry->d_name, NULL, 10);
        memcpy(holder->name, name, sizeof(name));
        holder->kind = ours || is_manager(name) ? HOLDER_OURS : HOLDER_OTHER;
        if (ours) {
            *sockets = left;
        }
    }
    if (list != NULL) {
        closedir(list);
    }
}

void holder_find(const struct endpoint *endpoint, int type,
                 struct holder *holder)
{
    struct sockets sockets;

    *holder = (struct holder){.kind = HOLDER_UNKNOWN};
    find_sockets(&sockets, endpoint, type);
    if (sockets.count == 0) {
        return;
    }
    /* Others may have very many descriptors, so ours are asked first. */
    search(&sockets, true, holder);
    search(&sockets, false, holder);
    if (holder->kind == HOLDER_UNKNOWN && sockets.all_ours) {
        holder->kind = HOLDER_OURS;
    }
}

void holder_count(const struct endpoint *endpoint, int type, size_t *own,
                  size_t *others)
{
    struct sockets sockets;

    find_sockets(&sockets, endpoint, type);
    *own = remove_held("self", &sockets);
    *others = sockets.count;
}

const char *holder_format(const struct holder *holder,
                          char text[HOLDER_TEXT_MAX])
{
    text[0] = '\0';
    if (holder->pid != 0) {
        snprintf(text, HOLDER_TEXT_MAX, " by %s (pid %d)", holder->name,
                 (int)holder->pid);
    }
    return text;
}
