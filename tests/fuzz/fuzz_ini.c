/*
 * Any bytes as a configuration: a snapshot, or errors that can be printed.
 */
#include "base/utf8.h"
#include "config/load.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reject_key(void *arg, const char *key)
{
    (void)arg;
    (void)key;
    assert(!"a configuration differs from itself");
}

/* Errors without a line are last. */
static unsigned place_of(const struct config_error *error)
{
    return error->line - 1;
}

static void check_errors(const struct config_errors *errors)
{
    assert(errors->count <= CONFIG_ERRORS_MAX + 1);
    for (size_t i = 0; i < errors->count; i++) {
        const char *message = errors->list[i].message;
        size_t length = strlen(message);

        assert(length > 0 && message[length - 1] != '.');
        for (size_t at = 0; at < length;) {
            uint32_t character;
            size_t bytes = utf8_read(message + at, length - at, &character);

            assert(bytes > 0 && !utf8_is_control(character));
            at += bytes;
        }
        assert(i == 0 ||
               place_of(&errors->list[i - 1]) <= place_of(&errors->list[i]));
    }
}

/* config is compared with itself: no key differs, so none is replaced. */
static void check_config(struct config *config)
{
    int kept = config_keep_restart_keys(config, config, reject_key, NULL);

    assert(kept == 0 && config->service_count > 0);
    for (size_t i = 0; i < config->service_count; i++) {
        const struct config_service *service = &config->services[i];

        assert(service->name[0] != '\0' && strchr(service->name, ']') == NULL);
        assert(strlen(service->name) < CONFIG_NAME_MAX);
        assert(service->listen_count > 0 && service->upstream_count > 0);
        assert(service->connect_attempts > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_errors errors = {0};
    struct config *config = load_text((const char *)data, size, &errors);

    assert((config == NULL) == (errors.count > 0));
    check_errors(&errors);
    if (config != NULL) {
        check_config(config);
        config_destroy(config);
    }
    config_errors_fini(&errors);
    return 0;
}
