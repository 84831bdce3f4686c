/* evproxy, a TCP and UDP proxy: the command line. */
#include "base/text.h"
#include "base/utf8.h"
#include "config/config.h"
#include "control/daemon.h"
#include "control/descriptors.h"
#include "control/name_check.h"
#include "control/preflight.h"
#include "control/signals.h"
#include "control/source.h"

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An option without a letter. */
enum { OPTION_AS_SERVICE = 256 };

enum { EXIT_GOOD = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct arguments {
    char **argv;
    const char *path; /* -c; NULL: not given */
    bool check;
    bool as_service;
    bool version;
    bool help;
    const char *workers; /* -w; NULL: not given */
    unsigned listens;
    unsigned upstreams;
    FILE *service; /* writes the keys of -l and -u to text */
    char *text;
    size_t text_size;
};

static const char usage[] =
    "usage: evproxy [-c FILE] [-t [--as-service]] [-V] [-h]\n"
    "       evproxy -l ADDR -u ADDR[,ADDR...] [-w N]\n"
    "\n"
    "  -c, --config FILE    configuration (" CONFIG_DEFAULT_FILE ")\n"
    "  -t, --check          check the configuration, print the capacity\n"
    "      --as-service     with -t: run by the service's unit, as its user\n"
    "  -l, --listen ADDR    no file: a TCP service on this address "
    "(repeatable)\n"
    "  -u, --upstream ADDR  its upstreams (repeatable, or comma-separated)\n"
    "  -w, --workers N      worker threads; auto: one for each CPU\n"
    "  -V, --version        version, and what was built in\n"
    "  -h, --help           this text\n";

#if EVPROXY_TLS
#define PARTS "tcp udp tls"
#else
#define PARTS "tcp udp"
#endif
static const char version[] =
    "evproxy " EVPROXY_VERSION "\nbuilt in: " PARTS "\n";

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", no_argument, NULL, 't'},
    {"as-service", no_argument, NULL, OPTION_AS_SERVICE},
    {"listen", required_argument, NULL, 'l'},
    {"upstream", required_argument, NULL, 'u'},
    {"workers", required_argument, NULL, 'w'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static PRINTF(1, 2) int wrong_usage(const char *format, ...)
{
    char sentence[512];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof(sentence), format, args);
    va_end(args);
    utf8_clean(sentence, strlen(sentence));
    fprintf(stderr, "evproxy: %s; see evproxy --help\n", sentence);
    return EXIT_USAGE;
}

/* A newline in a value would begin another key, and a comment sign would hide
 * the rest of the value. */
static bool is_plain(const char *value)
{
    bool space = true;

    for (const char *at = value; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 127 ||
            (space && (*at == '#' || *at == ';'))) {
            return false;
        }
        space = *at == ' ';
    }
    return true;
}

static void add_upstreams(struct arguments *arguments, const char *list)
{
    for (;;) {
        size_t length = strcspn(list, ",");

        fprintf(arguments->service, "upstream = %.*s\n", (int)length, list);
        arguments->upstreams++;
        if (list[length] == '\0') {
            return;
        }
        list += length + 1;
    }
}

/* 0, or the exit status. */
static int read_option(struct arguments *arguments, int option)
{
    if (optarg != NULL && option != 'c' && !is_plain(optarg)) {
        return wrong_usage("the value of -%c has a character that no value may "
                           "have",
                           option);
    }
    switch (option) {
    case 'c':
        arguments->path = optarg;
        return 0;
    case 't':
        arguments->check = true;
        return 0;
    case OPTION_AS_SERVICE:
        arguments->as_service = true;
        return 0;
    case 'l':
        fprintf(arguments->service, "listen = %s\n", optarg);
        arguments->listens++;
        return 0;
    case 'u':
        add_upstreams(arguments, optarg);
        return 0;
    case 'w':
        arguments->workers = optarg;
        return 0;
    case 'V':
        arguments->version = true;
        return 0;
    case 'h':
        arguments->help = true;
        return 0;
    default:
        fputs("evproxy: see evproxy --help\n", stderr); /* getopt said why */
        return EXIT_USAGE;
    }
}

/* Checks that the options fit together. 0, or the exit status. */
static int check_together(const struct arguments *arguments)
{
    if (arguments->listens > 0 && arguments->path != NULL) {
        return wrong_usage("-c and -l exclude each other");
    }
    if (arguments->listens > 0 && arguments->upstreams == 0) {
        return wrong_usage("-l needs -u");
    }
    if (arguments->listens == 0 && arguments->upstreams > 0) {
        return wrong_usage("-u needs -l");
    }
    if (arguments->listens == 0 && arguments->workers != NULL) {
        return wrong_usage("-w needs -l; in a file it is the key 'workers'");
    }
    if (arguments->as_service && !arguments->check) {
        return wrong_usage("--as-service needs -t");
    }
    return 0;
}

/* The configuration that the options stand for, to be freed. */
static char *make_text(const struct arguments *arguments)
{
    char *text;
    const char *workers =
        arguments->workers == NULL ? "auto" : arguments->workers;

    if (asprintf(&text, "[global]\nworkers = %s\n[service main]\n%s", workers,
                 arguments->text) < 0) {
        return NULL;
    }
    return text;
}

/* 0, or the exit status. */
static int read_arguments(struct arguments *arguments, int argc, char **argv)
{
    int option, status = 0;

    arguments->service =
        open_memstream(&arguments->text, &arguments->text_size);
    if (arguments->service == NULL) {
        perror("evproxy");
        return EXIT_FAILED;
    }
    while (status == 0 && (option = getopt_long(argc, argv, "c:tl:u:w:Vh",
                                                long_options, NULL)) != -1) {
        status = read_option(arguments, option);
    }
    if (fclose(arguments->service) != 0 && status == 0) {
        perror("evproxy");
        status = EXIT_FAILED;
    }
    if (status == 0 && optind < argc) {
        status = wrong_usage("'%s' is not an option", argv[optind]);
    }
    return status != 0 ? status : check_together(arguments);
}

static int print(const char *text)
{
    return fputs(text, stdout) == EOF || fflush(stdout) == EOF ? EXIT_FAILED
                                                               : EXIT_GOOD;
}

/* Takes the errors. */
static int fail(const struct source *source, struct config_errors *errors)
{
    source_print_errors(source, errors);
    config_errors_fini(errors);
    return EXIT_FAILED;
}

/* The configuration is good. */
static int print_report(const struct source *source,
                        const struct config *config, const struct names *names)
{
    struct text text = {.count = 0};
    char name[PATH_MAX];
    int status = EXIT_FAILED;

    snprintf(name, sizeof(name), "%s", source_name(source));
    utf8_clean(name, strlen(name));
    text_add(&text, "%s: ok\n", name);
    if (preflight_report(config, &names->known, &text) < 0 || text.failed) {
        perror("evproxy");
    } else if (fwrite(text.bytes, text.count, 1, stdout) == 1 &&
               fflush(stdout) == 0) {
        status = EXIT_GOOD;
    }
    text_fini(&text);
    return status;
}

/* Takes the config. */
static int check(const struct source *source, struct config *config,
                 bool as_service)
{
    struct config_errors errors = {0};
    struct names names;
    int start = preflight(source, config, as_service, &errors);
    int status;

    names_init(&names);
    if (name_check(&names, source, config, &errors) < 0 || start < 0) {
        config_errors_sort(&errors, 0);
        status = fail(source, &errors);
    } else {
        status = print_report(source, config, &names);
    }
    names_fini(&names);
    config_destroy(config);
    return status;
}

/* Reads the configuration, and checks or runs it. */
static int serve(const struct arguments *arguments, const struct source *source)
{
    struct config_errors errors = {0};
    struct config *config = source_load(source, &errors);

    if (config == NULL) {
        return fail(source, &errors);
    }
    config_errors_fini(&errors);
    source_print_warnings(source, config);
    return arguments->check ? check(source, config, arguments->as_service)
                            : daemon_run(source, config, arguments->argv);
}

static int serve_command_line(const struct arguments *arguments)
{
    char *text = make_text(arguments);
    const struct source source = {.text = text};
    int status = EXIT_FAILED;

    if (text == NULL) {
        perror("evproxy");
    } else {
        status = serve(arguments, &source);
    }
    free(text);
    return status;
}

static int serve_file(const struct arguments *arguments)
{
    const struct source source = {
        .path = arguments->path == NULL ? CONFIG_DEFAULT_FILE : arguments->path,
    };

    return serve(arguments, &source);
}

static int run(const struct arguments *arguments)
{
    if (arguments->help || arguments->version || arguments->check) {
        signals_release();
    }
    if (arguments->help) {
        return print(usage);
    }
    if (arguments->version) {
        return print(version);
    }
    if (arguments->listens > 0) {
        return serve_command_line(arguments);
    }
    return serve_file(arguments);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.argv = argv};
    int status;

    signals_hold();
    if (descriptors_fill_standard() < 0) {
        perror("evproxy: /dev/null");
        return EXIT_FAILED;
    }
    status = read_arguments(&arguments, argc, argv);
    if (status == 0) {
        status = run(&arguments);
    }
    free(arguments.text);
    return status;
}
