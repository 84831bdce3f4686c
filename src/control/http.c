#include "control/http.h"

#include "control/assets.h"
#include "control/metrics.h"
#include "control/status.h"

#include <stdlib.h>
#include <string.h>

/* ---- answers that are made of a sample ---- */

/* What such an answer has. */
struct content {
    struct http *http;
    struct sample *sample;
    struct metrics_place metrics;
    struct status_place status;
};

static enum http_piece sample_piece(const struct content *content)
{
    switch (content->sample->state) {
    case SAMPLE_COMPLETE:
        return HTTP_MORE;
    case SAMPLE_FAILED:
        return HTTP_FAILED;
    default:
        return HTTP_WAITS;
    }
}

static enum http_piece write_metrics(struct http_answer *answer,
                                     struct text *text)
{
    struct content *content = answer->content;
    enum http_piece piece = sample_piece(content);

    return piece != HTTP_MORE ||
                   metrics_write(content->sample, &content->metrics, text)
               ? piece
               : HTTP_LAST;
}

static enum http_piece write_status(struct http_answer *answer,
                                    struct text *text)
{
    struct content *content = answer->content;
    enum http_piece piece = sample_piece(content);

    return piece != HTTP_MORE ||
                   status_write(content->sample, &content->http->history,
                                &content->status, text)
               ? piece
               : HTTP_LAST;
}

static void end_content(struct http_answer *answer)
{
    struct content *content = answer->content;

    sampler_release(&content->http->sampler, content->sample);
    free(content);
}

static void answer_sample(struct http *http, struct http_answer *answer,
                          const char *type,
                          enum http_piece (*write)(struct http_answer *answer,
                                                   struct text *text))
{
    struct content *content = calloc(1, sizeof(*content));
    struct sample *sample = sampler_ask(&http->sampler);

    if (content == NULL || sample == NULL) {
        if (sample != NULL) {
            sampler_release(&http->sampler, sample);
        }
        free(content);
        http_answer_text(answer, 503, "out of memory\n");
        return;
    }
    content->http = http;
    content->sample = sample;
    *answer = (struct http_answer){
        .status = 200,
        .type = type,
        .write = write,
        .end = end_content,
        .content = content,
    };
}

/* ---- paths ---- */

static void get_metrics(struct http *http, struct http_answer *answer)
{
    answer_sample(http, answer, "text/plain; version=0.0.4; charset=utf-8",
                  write_metrics);
}

static void get_status(struct http *http, struct http_answer *answer)
{
    answer_sample(http, answer, "application/json", write_status);
}

static void get_health(struct http *http, struct http_answer *answer)
{
    if (http->facts.stopping) {
        http_answer_text(answer, 503, "stopping\n");
    } else {
        http_answer_text(answer, 200, "ok\n");
    }
}

static void get_life(struct http *http, struct http_answer *answer)
{
    if (*http->stuck) {
        http_answer_text(answer, 503, "a worker does not move\n");
    } else {
        http_answer_text(answer, 200, "ok\n");
    }
}

/* The page has its styles and its script in it, and asks for status.json. */
static void get_page(struct http *http, struct http_answer *answer)
{
    (void)http;
    *answer = (struct http_answer){
        .status = 200,
        .type = "text/html; charset=utf-8",
        .headers = "Content-Security-Policy: default-src 'none'; "
                   "style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                   "connect-src 'self'; img-src data:; base-uri 'none'; "
                   "form-action 'none'; frame-ancestors 'none'\r\n",
        .bytes = status_page,
        .count = status_page_bytes,
    };
}

static const struct {
    const char *path;
    void (*get)(struct http *http, struct http_answer *answer);
} paths[] = {
    {"/", get_page},          {"/metrics", get_metrics},
    {"/healthz", get_health}, {"/status.json", get_status},
    {"/livez", get_life},
};

static const struct service *find_service(const struct http *http,
                                          const char *name)
{
    const struct generation *current =
        generations_current(http->sampler.source.generations);

    for (size_t i = 0; current != NULL && i < current->service_count; i++) {
        if (strcmp(current->services[i].config->name, name) == 0) {
            return &current->services[i];
        }
    }
    return NULL;
}

static bool has_usable(const struct service *service)
{
    for (uint32_t i = 0; i < service->upstream_count; i++) {
        if (upstream_up(service->upstreams[i]) && !service->lines[i]->drain) {
            return true;
        }
    }
    return false;
}

/* encoded: the service's name, as it is in the path. */
static void get_service_health(struct http *http, struct http_answer *answer,
                               const char *encoded)
{
    char name[HTTP_PATH_MAX];
    const struct service *service = NULL;

    strcpy(name, encoded);
    if (http_decode(name) == 0) {
        service = find_service(http, name);
    }
    if (service == NULL) {
        http_answer_text(answer, 404, "no such service\n");
    } else if (http->facts.stopping || has_usable(service)) {
        get_health(http, answer);
    } else {
        http_answer_text(answer, 503, "no upstream is usable\n");
    }
}

static void handle(void *arg, const struct http_request *request,
                   struct http_answer *answer)
{
    static const char service_health[] = "/healthz/";
    struct http *http = arg;

    if (request->method == HTTP_OTHER) {
        http_answer_text(answer, 405, "only GET and HEAD\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (strcmp(request->path, paths[i].path) == 0) {
            paths[i].get(http, answer);
            return;
        }
    }
    if (strncmp(request->path, service_health, strlen(service_health)) == 0) {
        get_service_health(http, answer,
                           request->path + strlen(service_health));
        return;
    }
    http_answer_text(answer, 404, "not found\n");
}

/* ---- histories ---- */

static void add_point(struct history *history, const struct sample *sample,
                      const struct service_sums *sums, uint64_t nameless)
{
    struct history_point point = {.at_ns = sample->now_ns};

    point.values[HISTORY_ACCEPTED] = sums->accepted + nameless;
    point.values[HISTORY_ACTIVE] = sums->active + nameless;
    point.values[HISTORY_BYTES_UP] = sums->bytes[UP];
    point.values[HISTORY_BYTES_DOWN] = sums->bytes[DOWN];
    point.values[HISTORY_ENDED_BAD] = service_sums_ended_bad(sums);
    history_add(history, &point);
}

/* A service that there is no memory for has no history. */
static void add_points(struct http *http, const struct sample *sample)
{
    add_point(&http->history, sample, &sample->process.sums,
              sample->process.nameless);
    for (uint32_t i = 0; i < sample->service_count; i++) {
        const struct sample_service *service = &sample->services[i];
        struct service_state *state = service->service->state;

        if (state->history == NULL) {
            state->history = calloc(1, sizeof(*state->history));
        }
        if (state->history != NULL) {
            add_point(state->history, sample, &service->sums, 0);
        }
    }
}

static void on_sample(void *arg)
{
    struct http *http = arg;
    struct sample *sample = http->history_sample;

    if (sample != NULL && sample->state >= SAMPLE_COMPLETE) {
        if (sample->state == SAMPLE_COMPLETE) {
            add_points(http, sample);
        }
        http->history_sample = NULL;
        sampler_release(&http->sampler, sample);
    }
    http_server_wake(&http->server);
}

static void arm_history(struct http *http)
{
    struct loop *loop = http->server.loop;

    if (!http_server_listens(&http->server)) {
        wheel_disarm(&loop->wheel, &http->history_timer);
    } else if (!wheel_armed(&http->history_timer)) {
        wheel_arm(&loop->wheel, &http->history_timer,
                  loop->now_ns + HISTORY_INTERVAL_NS);
    }
}

static void ask_history(struct http *http)
{
    if (http->history_sample == NULL) {
        http->history_sample = sampler_ask(&http->sampler);
    }
    arm_history(http);
}

/* ---- the beginning and the end ---- */

void http_init(struct http *http, struct loop *loop, unsigned kind,
               unsigned queue, struct generations *generations,
               const struct workers *workers, const bool *stuck)
{
    http->stuck = stuck;
    http->server = (struct http_server){
        .loop = loop,
        .kind = kind,
        .queue = queue,
        .handle = handle,
        .arg = http,
    };
    http_server_init(&http->server);
    http->sampler = (struct sampler){
        .loop = loop,
        .queue = queue,
        .source = {generations, workers, &http->facts},
        .done = on_sample,
        .arg = http,
    };
    http->history_timer.kind = (uint8_t)kind;
}

void http_fini(struct http *http)
{
    wheel_disarm(&http->server.loop->wheel, &http->history_timer);
    http_server_fini(&http->server);
    http->history_sample = NULL;
    sampler_fini(&http->sampler);
}

const char *http_prepare(struct http *http, const struct config *config,
                         const struct listeners_origin *origin)
{
    return http_server_prepare(
        &http->server, &config->metrics_listen.address.endpoint, origin);
}

void http_commit(struct http *http)
{
    bool before = http_server_listens(&http->server);

    http_server_commit(&http->server);
    if (!before && http_server_listens(&http->server)) {
        ask_history(http); /* the first point at once */
    }
    arm_history(http);
}

void http_abandon(struct http *http)
{
    http_server_abandon(&http->server);
}

/* ---- the loop's handlers ---- */

void http_event(struct http *http, uint32_t index, uint32_t instance,
                uint32_t events)
{
    http_server_event(&http->server, index, instance, events);
}

void http_timer(struct http *http, struct wheel_timer *timer)
{
    if (timer == &http->history_timer) {
        ask_history(http);
    } else {
        http_server_timer(&http->server, timer);
    }
}

void http_run(struct http *http, struct list *link)
{
    if (link == &http->sampler.link) {
        sampler_run(&http->sampler);
    } else {
        http_server_run(&http->server);
    }
}
