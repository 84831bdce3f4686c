#include "config/config.h"

#include "config/array.h"
#include "config/check.h"
#include "config/draft.h"
#include "config/ini.h"
#include "config/key.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors ---- */

/* In the order of the lines, those without one last. The errors of one line
 * keep their order, for which the sort is by insertion: they are few, and
 * nearly sorted. */
static void sort_errors(struct config_error *list, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct config_error moved = list[i];
        size_t j = i;

        /* line - 1 makes no line the greatest. */
        while (j > 0 && list[j - 1].line - 1 > moved.line - 1) {
            list[j] = list[j - 1];
            j--;
        }
        list[j] = moved;
    }
}

void config_errors_add(struct config_errors *errors, unsigned line,
                       const char *format, ...)
{
    struct config_error *error;
    char *message;
    va_list args;
    int length;

    va_start(args, format);
    length = vasprintf(&message, format, args);
    va_end(args);
    if (length < 0) {
        return;
    }
    error = array_push(&errors->list, &errors->count, sizeof(*error));
    if (error == NULL) {
        free(message);
        return;
    }
    *error = (struct config_error){.line = line, .message = message};
}

void config_errors_fini(struct config_errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->list[i].message);
    }
    free(errors->list);
    *errors = (struct config_errors){0};
}

/* ---- the snapshot ---- */

static void inherit_access_log(struct draft *draft)
{
    struct config *config = draft->config;

    for (size_t i = 0; i < config->service_count; i++) {
        if (draft_service_line(draft, i, "access_log") == 0) {
            config->services[i].access_log = config->access_log;
        }
    }
}

/* The default of the table is that of TCP. */
static void shorten_idle_timeout(struct draft *draft)
{
    struct config *config = draft->config;

    for (size_t i = 0; i < config->service_count; i++) {
        if (config->services[i].mode == CONFIG_UDP &&
            draft_service_line(draft, i, "idle_timeout") == 0) {
            config->services[i].idle_timeout_ns = CONFIG_UDP_IDLE_NS;
        }
    }
}

struct config *config_parse(const char *text, size_t count,
                            struct config_errors *errors)
{
    struct draft draft = {.errors = errors, .errors_before = errors->count};

    draft.config = calloc(1, sizeof(*draft.config));
    if (draft.config == NULL || key_set_defaults(KEY_GLOBAL, draft.config)) {
        draft_error(&draft, 0, "out of memory");
    } else {
        ini_parse(text, count, draft_take, &draft);
        check_whole(&draft);
        inherit_access_log(&draft);
        shorten_idle_timeout(&draft);
    }
    free(draft.services);
    if (draft.failed) {
        sort_errors(errors->list + draft.errors_before,
                    errors->count - draft.errors_before);
        config_destroy(draft.config);
        return NULL;
    }
    return draft.config;
}

/* Reads a descriptor of a regular file to its end. The bytes, to be freed, or
 * NULL with errno; EFBIG if there are more than the parser takes. */
static char *read_all(int fd, size_t *count)
{
    const size_t size = INI_BYTES_MAX + 1;
    char *text = malloc(size);
    size_t used = 0;
    ssize_t got;

    if (text == NULL) {
        return NULL;
    }
    do {
        got = read(fd, text + used, size - used);
        used += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && used < size) || (got < 0 && errno == EINTR));
    if (got >= 0 && used <= INI_BYTES_MAX) {
        *count = used;
        return text;
    }
    free(text);
    errno = got < 0 ? errno : EFBIG;
    return NULL;
}

/* The text of the file, to be freed; NULL with errno, EINVAL if the path is no
 * regular file. */
static char *read_file(const char *path, size_t *count)
{
    /* O_NONBLOCK: a FIFO must not hold the reload up. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    char *text = NULL;
    int error;

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &status) != 0) {
        goto out;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = EINVAL;
        goto out;
    }
    text = read_all(fd, count);
out:
    error = errno;
    close(fd);
    errno = error;
    return text;
}

struct config *config_load(const char *path, struct config_errors *errors)
{
    struct draft draft = {.errors = errors, .errors_before = errors->count};
    struct config *config;
    size_t count;
    char *text = read_file(path, &count);

    if (text != NULL) {
        config = config_parse(text, count, errors);
        free(text);
        return config;
    }
    if (errno == EINVAL) {
        draft_error(&draft, 0, "it is not a regular file");
    } else if (errno == EFBIG) {
        draft_error(&draft, 0, "it is larger than 1 MiB");
    } else {
        draft_error(&draft, 0, "cannot be read: %m");
    }
    return NULL;
}

static void texts_free(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(texts[i]);
    }
    free(texts);
}

static void files_free(struct config_file *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i].path);
    }
    free(files);
}

static void service_fini(struct config_service *service)
{
    free(service->name);
    free(service->listens);
    free(service->upstreams);
    free(service->rules);
    free(service->sources);
    free(service->proxy_from);
    texts_free(service->sni, service->sni_count);
    files_free(service->tls_certificates, service->tls_certificate_count);
    files_free(service->tls_keys, service->tls_key_count);
    free(service->tls_client_ca.path);
    texts_free(service->tls_alpn, service->tls_alpn_count);
    free(service->upstream_tls_ca.path);
    free(service->upstream_tls_name);
}

void config_destroy(struct config *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->service_count; i++) {
        service_fini(&config->services[i]);
    }
    free(config->services);
    free(config->user);
    free(config->group);
    free(config);
}

void config_restart_keys(const struct config *running,
                         const struct config *wanted, config_key_fn fn,
                         void *arg)
{
    for (size_t i = 0; i < key_table_count; i++) {
        const struct key *key = &key_table[i];

        if (key->section == KEY_GLOBAL && key->restart &&
            !key_equal(key, running, wanted)) {
            fn(arg, key->name);
        }
    }
}

bool config_key(size_t index, struct config_key_info *info)
{
    const struct key *key;

    if (index >= key_table_count) {
        return false;
    }
    key = &key_table[index];
    *info = (struct config_key_info){
        .section = key_section_names[key->section],
        .name = key->name,
        .default_text = key->default_text == NULL ? "" : key->default_text,
        .help = key->help,
        .required = key->required,
        .available = key->set != NULL,
        .optional = key->lack != NULL,
    };
    return true;
}

bool config_source(const struct config_service *config, int family,
                   uint64_t turn, struct addr *source)
{
    uint64_t total = 0;

    for (size_t i = 0; i < config->source_count; i++) {
        if (config->sources[i].first.family == family) {
            total += addr_range_size(&config->sources[i].first,
                                     &config->sources[i].last);
        }
    }
    turn = total == 0 ? 0 : turn % total;
    for (size_t i = 0; i < config->source_count && total > 0; i++) {
        const struct config_range *range = &config->sources[i];
        uint64_t size = addr_range_size(&range->first, &range->last);

        if (range->first.family != family) {
            continue;
        }
        if (turn < size) {
            *source = addr_plus(&range->first, turn);
            return true;
        }
        turn -= size;
    }
    return false;
}

static bool listens_on(const struct config_service *service,
                       const struct endpoint *endpoint)
{
    for (size_t i = 0; i < service->listen_count; i++) {
        if (endpoint_equal(&service->listens[i].address.endpoint, endpoint)) {
            return true;
        }
    }
    return false;
}

bool config_listen_is_first(const struct config *config, size_t service,
                            size_t listen)
{
    const struct config_service *late = &config->services[service];
    const struct endpoint *endpoint = &late->listens[listen].address.endpoint;

    for (size_t i = 0; i < service; i++) {
        const struct config_service *early = &config->services[i];

        /* Only one of those who share may do without names. */
        if (early->mode == late->mode &&
            (early->sni_count > 0 || late->sni_count > 0) &&
            listens_on(early, endpoint)) {
            return false;
        }
    }
    return true;
}
