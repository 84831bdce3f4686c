#include "control/upgrade_log.h"

#include "base/log.h"

#include <inttypes.h>
#include <limits.h>

void upgrade_log_begin(const struct systemd *systemd, const char *path)
{
    char quoted[LOG_QUOTED_MAX(PATH_MAX)];

    log_write(LOG_INFO, "upgrading version=%s path=%s", EVPROXY_VERSION,
              log_quote(path, quoted, sizeof(quoted)));
    systemd_status(systemd, "upgrading", NULL);
}

void upgrade_log_refused(const struct systemd *systemd, bool under_way,
                         const char *reason)
{
    log_write(LOG_ERROR, "upgrade refused reason=\"%s\"", reason);
    if (!under_way) {
        systemd_status(systemd, "upgrade refused", reason);
    }
}

void upgrade_log_failed(const struct systemd *systemd, const struct hello *new,
                        struct last_words *words, const char *reason)
{
    char quoted[LOG_QUOTED_MAX(LAST_WORDS_MAX)];
    char said[LOG_QUOTED_MAX(LAST_WORDS_MAX)];

    log_write(LOG_ERROR, "upgrade failed version=%s reason=\"%s\" words=\"%s\"",
              new->version[0] == '\0' ? "-" : new->version,
              log_escape(reason, quoted, sizeof(quoted)),
              log_escape(last_words_line(words), said, sizeof(said)));
    systemd_status(systemd, "upgrade failed", reason);
}

void upgrade_log_left(const struct hello *new, long pid, uint32_t moved,
                      uint32_t left)
{
    log_write(LOG_INFO,
              "handed over version=%s pid=%ld connections=%" PRIu32
              " left=%" PRIu32,
              new->version, pid, moved, left);
}
