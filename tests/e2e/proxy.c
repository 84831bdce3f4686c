#include "proxy.h"

#include "file.h"
#include "proxy_log.h"
#include "socket.h"
#include "test.h"
#include "wait.h"

#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_TAIL    25 /* lines of the log that a failed test shows */
#define REPORT_TAIL 40 /* lines of a sanitizer's report */

extern char **environ;

struct proxy {
    pid_t pid; /* 0: has ended, and was waited for */
    int status;
    bool dumped_core;
    char config[160]; /* path */
    bool lost;        /* the log has a writer still */
    bool log_unread;
    int log_fd; /* if log_unread */
    struct proxy_log log;
    struct proxy *next;
};

static struct proxy *proxies;

const char *proxy_binary(void)
{
    const char *path = getenv("EVPROXY");

    return path != NULL && path[0] != '\0' ? path : "build/evproxy";
}

/* ---- its start ---- */

static size_t list_length(const char *const *list)
{
    size_t length = 0;

    while (list != NULL && list[length] != NULL) {
        length++;
    }
    return length;
}

/* What was asked for, our own, and JOURNAL_STREAM; to be freed. */
static char **make_environment(const struct proxy_options *options,
                               char *journal)
{
    size_t more = list_length(options->environment);
    size_t ours = list_length((const char *const *)environ);
    char **all = calloc(more + ours + 2, sizeof(*all));

    assert_non_null(all);
    for (size_t i = 0; i < more; i++) {
        all[i] = (char *)(uintptr_t)options->environment[i];
    }
    memcpy(all + more, environ, ours * sizeof(*all));
    all[more + ours] = options->journal ? journal : NULL;
    return all;
}

/* In the child. */
static void run(const struct proxy_options *options, char *const *arguments,
                char *const *environment, int log_fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (options->descriptors > 0) {
        struct rlimit limit = {options->descriptors, options->descriptors};

        setrlimit(RLIMIT_NOFILE, &limit);
    }
    dup2(log_fd, STDERR_FILENO);
    if (options->prepare != NULL) {
        options->prepare();
    }
    execve(options->binary != NULL ? options->binary : proxy_binary(),
           arguments, environment);
    _exit(127);
}

/* Answers the descriptor to read its log from. */
static int fork_proxy(struct proxy *proxy, const struct proxy_options *options)
{
    const char *defaults[] = {"evproxy", "-c", proxy->config, NULL};
    const char *const *arguments =
        options->arguments != NULL ? options->arguments : defaults;
    char **environment;
    char journal[64];
    struct stat about;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(fstat(ends[1], &about), 0);
    snprintf(journal, sizeof(journal), "JOURNAL_STREAM=%lu:%lu",
             (unsigned long)about.st_dev, (unsigned long)about.st_ino);
    environment = make_environment(options, journal);
    /* The processes of its upgrades are ours when their parents have ended. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    proxy->pid = fork();
    if (proxy->pid == 0) {
        run(options, (char *const *)(uintptr_t)arguments, environment, ends[1]);
    }
    free(environment);
    assert_true(proxy->pid > 0);
    close(ends[1]);
    return ends[0];
}

static struct proxy *launch(const struct proxy_options *options,
                            const char *format, va_list arguments)
{
    static unsigned number;
    struct proxy *proxy = calloc(1, sizeof(*proxy));
    char name[32];
    int log_fd;

    assert_non_null(proxy);
    snprintf(name, sizeof(name), "proxy%u.ini", number++);
    snprintf(proxy->config, sizeof(proxy->config), "%s", file_path(name));
    file_write_format(name, format, arguments);
    log_fd = fork_proxy(proxy, options);
    proxy->next = proxies;
    proxies = proxy;
    proxy->log_unread = options->log_unread;
    if (options->log_unread) {
        proxy->log_fd = log_fd;
        return proxy;
    }
    proxy_log_open(&proxy->log, log_fd);
    if (!options->no_ready) {
        proxy_line(proxy, "^(<[0-7]>)?ready ");
    }
    return proxy;
}

struct proxy *proxy_launch(const struct proxy_options *options,
                           const char *config, ...)
{
    struct proxy *proxy;
    va_list arguments;

    va_start(arguments, config);
    proxy = launch(options, config, arguments);
    va_end(arguments);
    return proxy;
}

struct proxy *proxy_start(const char *config, ...)
{
    const struct proxy_options options = {0};
    struct proxy *proxy;
    va_list arguments;

    va_start(arguments, config);
    proxy = launch(&options, config, arguments);
    va_end(arguments);
    return proxy;
}

/* ---- while it runs ---- */

void proxy_configure(struct proxy *proxy, const char *config, ...)
{
    va_list arguments;

    va_start(arguments, config);
    file_write_format(strrchr(proxy->config, '/') + 1, config, arguments);
    va_end(arguments);
}

void proxy_reload(struct proxy *proxy)
{
    const char *line;

    proxy_mark(proxy);
    proxy_signal(proxy, SIGHUP);
    line = proxy_line(proxy, "^(<[0-7]>)?reload(ed| +refused)");
    if (strstr(line, "refused") != NULL) {
        fail_msg("%s", line);
    }
}

pid_t proxy_pid(const struct proxy *proxy)
{
    return proxy->pid;
}

void proxy_signal(struct proxy *proxy, int signal)
{
    assert_int_equal(kill(proxy->pid, signal), 0);
}

void proxy_pause(struct proxy *proxy)
{
    siginfo_t info;

    proxy_signal(proxy, SIGSTOP);
    assert_int_equal(waitid(P_PID, (id_t)proxy->pid, &info, WSTOPPED), 0);
}

/* ---- an upgrade ---- */

void proxy_follow(struct proxy *proxy)
{
    const char *line =
        proxy_line(proxy, "^(<[0-7]>)?(handed over|upgrade failed)");

    if (strstr(line, "handed over") == NULL) {
        fail_msg("%s", line);
    }
    proxy->pid = (pid_t)proxy_line_value(line, "pid");
    proxy_line(proxy, "^(<[0-7]>)?ready ");
}

pid_t proxy_upgrade(struct proxy *proxy)
{
    pid_t old = proxy->pid;

    proxy_mark(proxy);
    proxy_signal(proxy, SIGUSR2);
    proxy_follow(proxy);
    return old;
}

void proxy_await_old(pid_t old)
{
    int status = -1;

    wait_until(waitpid(old, &status, WNOHANG) == old);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void proxy_lose(struct proxy *proxy)
{
    proxy->pid = 0;
    proxy->lost = true;
}

/* ---- its end ---- */

/* If so, its log is complete. */
static bool has_ended(struct proxy *proxy)
{
    int status = 0;

    if (proxy->pid == 0) {
        return true;
    }
    if (waitpid(proxy->pid, &status, WNOHANG) != proxy->pid &&
        kill(proxy->pid, 0) == 0) {
        return false; /* if it is not our child, its parent waits for it */
    }
    proxy->pid = 0;
    proxy->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    proxy->dumped_core = WIFSIGNALED(status) && WCOREDUMP(status);
    if (proxy->log_unread) {
        close(proxy->log_fd);
    } else {
        proxy_log_join(&proxy->log);
    }
    return true;
}

static void compile(regex_t *regex, const char *pattern)
{
    assert_int_equal(regcomp(regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
}

static bool matches(const char *line, const void *regex)
{
    return regexec(regex, line, 0, NULL, 0) == 0;
}

/* The log is complete. */
static void check_sanitizers(struct proxy *proxy)
{
    const char *line;
    regex_t regex;
    size_t n = 0;

    compile(&regex, "ERROR: (Address|Leak)Sanitizer|runtime error:|"
                    "WARNING: (Thread|Memory)Sanitizer|"
                    "[Aa]ssertion .* failed");
    line = proxy_log_find(&proxy->log, &n, matches, &regex, 0);
    regfree(&regex);
    if (line == NULL) {
        return;
    }
    for (size_t i = n; i < n + REPORT_TAIL && i < proxy->log.count; i++) {
        print_error("%s\n", proxy_log_get(&proxy->log, i));
    }
    fail_msg("%s", line);
}

int proxy_wait(struct proxy *proxy)
{
    wait_until(has_ended(proxy));
    if (!proxy->log_unread) {
        check_sanitizers(proxy);
    }
    return proxy->status;
}

bool proxy_dumped_core(const struct proxy *proxy)
{
    return proxy->dumped_core;
}

void proxy_stop(struct proxy *proxy)
{
    socket_close_all();
    proxy_signal(proxy, SIGTERM);
    assert_int_equal(proxy_wait(proxy), 0);
}

static void print_tail(struct proxy_log *log)
{
    size_t count = proxy_log_count(log);

    for (size_t i = count > LOG_TAIL ? count - LOG_TAIL : 0; i < count; i++) {
        print_error("    log: %s\n", proxy_log_get(log, i));
    }
}

void proxy_kill_children(void)
{
    char path[64];
    FILE *file;
    int pid;

    snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
    file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%d", &pid) == 1) {
        kill(pid, SIGKILL);
    }
    if (file != NULL) {
        fclose(file);
    }
}

static void discard(struct proxy *proxy)
{
    if (proxy->pid != 0) {
        kill(proxy->pid, SIGKILL);
        proxy_kill_children();
        while (!has_ended(proxy)) {
            wait_tick();
        }
        print_tail(&proxy->log);
    } else if (proxy->lost) {
        proxy_log_join(&proxy->log);
    }
    proxy_log_fini(&proxy->log);
    free(proxy);
}

void proxy_discard_all(void)
{
    while (proxies != NULL) {
        struct proxy *proxy = proxies;

        proxies = proxy->next;
        discard(proxy);
    }
}

/* ---- its log ---- */

struct proxy_log *proxy_log(struct proxy *proxy)
{
    return &proxy->log;
}

void proxy_mark(struct proxy *proxy)
{
    proxy->log.mark = proxy_log_count(&proxy->log);
}

const char *proxy_line(struct proxy *proxy, const char *pattern)
{
    size_t n = proxy->log.mark;
    const char *line;
    regex_t regex;

    compile(&regex, pattern);
    line = proxy_log_find(&proxy->log, &n, matches, &regex, wait_limit_ms());
    regfree(&regex);
    if (line == NULL) {
        fail_msg("no line like '%s' in the log", pattern);
    }
    return line;
}

unsigned proxy_count(struct proxy *proxy, const char *pattern)
{
    size_t n = proxy->log.mark;
    unsigned count = 0;
    regex_t regex;

    compile(&regex, pattern);
    while (proxy_log_find(&proxy->log, &n, matches, &regex, 0) != NULL) {
        count++;
        n++;
    }
    regfree(&regex);
    return count;
}

uint64_t proxy_line_value(const char *line, const char *key)
{
    char wanted[80];
    const char *found;
    uint64_t value;
    char *end;

    snprintf(wanted, sizeof(wanted), " %s=", key);
    found = strstr(line, wanted);
    if (found == NULL) {
        fail_msg("no %s in: %s", key, line);
        return 0;
    }
    found += strlen(wanted);
    value = strtoull(found, &end, 10);
    if (end == found || (*end != ' ' && *end != '\0')) {
        fail_msg("%s is no number in: %s", key, line);
    }
    return value;
}
