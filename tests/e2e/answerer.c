#include "answerer.h"

#include "transport.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* False: the connection ended before the question did. */
static bool read_question(int fd, struct answerer *answerer)
{
    char text[4096];
    size_t used = 0;

    while (used == 0 || strstr(text, answerer->end) == NULL) {
        ssize_t count =
            *answerer->end == '\0'
                ? 0
                : transport_recv(fd, text + used, sizeof(text) - 1 - used);

        if (count <= 0) {
            break;
        }
        used += (size_t)count;
        text[used] = '\0';
    }
    text[used] = '\0';
    pthread_mutex_lock(&answerer->lock);
    memcpy(answerer->question, text, used + 1);
    pthread_mutex_unlock(&answerer->lock);
    return strstr(text, answerer->end) != NULL;
}

static bool send_answer(int fd, const char *answer)
{
    while (*answer != '\0') {
        size_t part = strcspn(answer, ANSWERER_PAUSE);

        if (part > 0 && transport_send_all(fd, answer, part) != 0) {
            return false;
        }
        answer += part;
        if (*answer != '\0') {
            wait_sleep(20);
            answer++;
        }
    }
    return true;
}

void answerer_serve(int fd, const void *arg)
{
    struct answerer *answerer = (struct answerer *)arg;
    const char *answer;
    char byte;

    if (!read_question(fd, answerer)) {
        return;
    }
    answerer->asked++;
    answer = answerer->answer;
    if (answer != NULL && !send_answer(fd, answer)) {
        answerer->reset++;
        return;
    }
    if (answer != NULL) {
        (void)transport_finish(fd);
    }
    if (transport_recv(fd, &byte, 1) < 0) {
        answerer->reset++;
    }
}

void answerer_await(struct answerer *answerer, int times)
{
    int limit = answerer->asked + times;

    wait_until(answerer->asked >= limit);
}

const char *answerer_question(struct answerer *answerer)
{
    static char copy[sizeof(answerer->question)];

    pthread_mutex_lock(&answerer->lock);
    memcpy(copy, answerer->question, sizeof(copy));
    pthread_mutex_unlock(&answerer->lock);
    return copy;
}
