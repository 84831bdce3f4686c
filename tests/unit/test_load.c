#include "config/ini.h"

#include "parsing.h"
#include "seeded.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void
carriage_returns_and_a_missing_last_newline_change_nothing(void **state)
{
    struct config *config = parse_good("[global]\r\n"
                                       "workers = 2\r\n"
                                       "[service a] # the one\r\n"
                                       "listen = :80\r\n"
                                       "upstream = 10.0.0.1:80");

    (void)state;
    assert_int_equal(config->workers, 2);
    assert_int_equal(config->services[0].upstream_count, 1);
    config_destroy(config);
}

static void all_errors_are_reported_in_the_order_of_the_lines(void **state)
{
    static const unsigned lines[] = {1, 3, 4, 5, 7, 7, 8, 10, 12};
    struct config_errors errors = parse_bad("early = 1\n"
                                            "[global]\n"
                                            "workers = x\n"
                                            "junk\n"
                                            "wrokers = 1\n"
                                            "\n"
                                            "[service a]\n"
                                            "backlog = 0\n"
                                            "[service b]\n"
                                            "listen = a\n"
                                            "upstream = 10.0.0.1:1\n"
                                            "upstream = 10.0.0.1:1\n");

    (void)state;
    assert_int_equal(errors.count, ARRAY_LEN(lines));
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_int_equal(errors.list[i].line, lines[i]);
    }
    config_errors_fini(&errors);
    assert_int_equal(errors.count, 0);
}

static void errors_are_added_after_earlier_ones(void **state)
{
    static const char text[] = "a\n" SERVICE "b\n";
    struct config_errors errors = {0};

    (void)state;
    assert_null(load_text(text, strlen(text), &errors));
    assert_null(load_text(text, strlen(text), &errors));
    assert_int_equal(errors.count, 4);
    assert_int_equal(errors.list[1].line, 5);
    assert_int_equal(errors.list[2].line, 1);
    config_errors_fini(&errors);
}

static void too_many_errors_are_cut_and_the_last_one_says_so(void **state)
{
    char text[2 * (CONFIG_ERRORS_MAX + 1) + 1] = "";
    struct config_errors errors;

    (void)state;
    for (size_t i = 0; i <= CONFIG_ERRORS_MAX; i++) {
        memcpy(text + 2 * i, "x\n", 2);
    }
    errors = parse_bad(text);
    assert_int_equal(errors.count, CONFIG_ERRORS_MAX + 1);
    assert_int_equal(errors.list[99].line, 100);
    assert_int_equal(errors.list[100].line, 0);
    assert_string_equal(errors.list[100].message,
                        "there are more errors, which are not shown");
    config_errors_fini(&errors);
}

#if EVPROXY_TLS
#define SAMPLE_TLS                                                             \
    "tls_certificate = /a.pem\n"                                               \
    "tls_key = /a.key\n"                                                       \
    "tls_alpn = h2, http/1.1\n"                                                \
    "upstream_tls = yes\n"                                                     \
    "upstream_tls_ca = off\n"
#else
#define SAMPLE_TLS "upstream_tls = no\n"
#endif

static const char sample[] = "[global]\n"
                             "workers = 2\n"
                             "buffer_memory = 1G\n"
                             "user = nobody # drop\n"
                             "\n"
                             "[service web]\n"
                             "listen = :80\n"
                             "listen = [::1]:81\n"
                             "upstream = 10.0.0.1:80 weight=3 backup\n"
                             "upstream = db.example:5432\n"
                             "allow = 10.0.0.0/8\n"
                             "source_address = 10.0.0.1, 10.0.0.5-10.0.0.9\n"
                             "idle_timeout = 10m\n" SAMPLE_TLS "[service two]\n"
                             "listen = unix:/run/two\n"
                             "upstream = unix:/run/one max_connections=9\n"
                             "rate_up = 10M\n"
                             "balance = random\n";

static unsigned count_lines(const char *text, size_t count)
{
    unsigned lines = 1;

    for (size_t i = 0; i < count; i++) {
        lines += text[i] == '\n';
    }
    return lines;
}

/* Changes some bytes, drops some, or repeats a run; answers the new length. */
static size_t mutate(struct seeded *seeded, char *text, size_t count,
                     size_t size)
{
    static const char likely[] = "\n\r\0=[]#; \t,-:/.\x80\xff"
                                 "09azAZ";
    size_t at = seeded_below(seeded, count);
    size_t run = 1 + seeded_below(seeded, 40);

    run = run > count - at ? count - at : run;
    switch (seeded_below(seeded, 4)) {
    case 0:
        text[at] = (char)seeded_next(seeded);
        return count;
    case 1:
        text[at] = likely[seeded_below(seeded, sizeof(likely))];
        return count;
    case 2:
        memmove(text + at, text + at + run, count - at - run);
        return count > run ? count - run : count;
    default:
        if (count + run > size) {
            return count;
        }
        memmove(text + at + run, text + at, count - at);
        return count + run;
    }
}

static void assert_sensible(struct seeded *seeded, const char *text,
                            size_t count)
{
    struct config_errors errors = {0};
    unsigned lines = count_lines(text, count);
    struct config *config = load_text(text, count, &errors);

    seeded_assert(seeded, (config == NULL) == (errors.count > 0));
    for (size_t i = 0; i < errors.count; i++) {
        seeded_assert(seeded, errors.list[i].line <= lines);
        seeded_assert(seeded, errors.list[i].message[0] != '\0');
        seeded_assert(seeded,
                      i == 0 || errors.list[i].line == 0 ||
                          errors.list[i - 1].line <= errors.list[i].line);
    }
    config_destroy(config);
    config_errors_fini(&errors);
}

static void any_text_is_a_snapshot_or_errors_with_lines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct seeded seeded = seeded_start(seed);
        size_t count = sizeof(sample) - 1;
        size_t changes = 1 + seeded_below(&seeded, 8);
        char text[2 * sizeof(sample)];
        char *exact;

        memcpy(text, sample, sizeof(sample));
        for (size_t i = 0; i < changes; i++) {
            count = mutate(&seeded, text, count, sizeof(text));
        }
        exact = malloc(count);
        assert_non_null(exact);
        memcpy(exact, text, count);
        assert_sensible(&seeded, exact, count);
        free(exact);
    }
}

static void the_sample_is_good_before_it_is_changed(void **state)
{
    (void)state;
    config_destroy(parse_good(sample));
}

static void assert_not_loaded(const char *path, const char *message)
{
    struct config_errors errors = {0};

    assert_null(load_file(path, &errors));
    assert_int_equal(errors.count, 1);
    assert_int_equal(errors.list[0].line, 0);
    assert_string_equal(errors.list[0].message, message);
    config_errors_fini(&errors);
}

static int make_folder(void **state)
{
    static char folder[] = "/tmp/evproxy-config-XXXXXX";

    *state = mkdtemp(folder);
    return *state == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    return rmdir(*state);
}

static void write_file(const char *path, const char *text, size_t pad)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    for (size_t i = strlen(text); i < pad; i++) {
        fputc('\n', file);
    }
    assert_int_equal(fclose(file), 0);
}

static void a_file_is_read_whole(void **state)
{
    struct config_errors errors = {0};
    struct config *config;
    char path[128];

    snprintf(path, sizeof(path), "%s/a.ini", (char *)*state);
    write_file(path, SERVICE, INI_BYTES_MAX);
    config = load_file(path, &errors);
    assert_non_null(config);
    config_destroy(config);
    write_file(path, SERVICE, INI_BYTES_MAX + 1);
    assert_not_loaded(path, "it is larger than 1 MiB");
    write_file(path, SERVICE "junk\n", 0);
    assert_null(load_file(path, &errors));
    assert_int_equal(errors.list[0].line, 4);
    config_errors_fini(&errors);
    unlink(path);
}

static void only_regular_files_are_read(void **state)
{
    char path[128];

    assert_not_loaded(*state, "it is not a regular file");
    snprintf(path, sizeof(path), "%s/none", (char *)*state);
    assert_not_loaded(path, "cannot be read: No such file or directory");
    snprintf(path, sizeof(path), "%s/fifo", (char *)*state);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_not_loaded(path, "it is not a regular file");
    unlink(path);
    assert_not_loaded("/dev/zero", "it is not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            carriage_returns_and_a_missing_last_newline_change_nothing),
        cmocka_unit_test(all_errors_are_reported_in_the_order_of_the_lines),
        cmocka_unit_test(errors_are_added_after_earlier_ones),
        cmocka_unit_test(too_many_errors_are_cut_and_the_last_one_says_so),
        cmocka_unit_test(any_text_is_a_snapshot_or_errors_with_lines),
        cmocka_unit_test(the_sample_is_good_before_it_is_changed),
        cmocka_unit_test(a_file_is_read_whole),
        cmocka_unit_test(only_regular_files_are_read),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
