/* udp_responses: a session ends with the last reply that is due to the
 * datagrams of its client. */
#include "expect.h"
#include "loopback.h"
#include "proxy.h"
#include "stats.h"
#include "teardown.h"
#include "test.h"
#include "udp.h"
#include "udp_fixture.h"
#include "wait.h"

static void each_of_many_questions_gets_its_replies(void **state)
{
    enum { QUESTIONS = 5, REPLIES = 2 };
    struct udp_fixture fixture;
    struct socket_address session;

    (void)state;
    udp_fixture_open(&fixture, "", "udp_responses = 2");
    int client = udp_connect(NULL, &fixture.front);
    for (char i = 0; i < QUESTIONS; i++) {
        udp_send(client, &i, 1);
    }
    for (char i = 0; i < QUESTIONS; i++) {
        udp_expect_from(fixture.upstream, &i, 1, &session);
    }
    for (char i = 0; i < QUESTIONS * REPLIES; i++) {
        assert_int_equal(udp_fixture_stat(&fixture, "active"), 1);
        udp_reply(fixture.upstream, &session, &i, 1);
        udp_expect(client, &i, 1);
    }
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "active"), 0);
    assert_int_equal(udp_fixture_stat(&fixture, "dropped"), 0);
    udp_fixture_close(&fixture);
}

static void a_question_that_waits_is_not_ended_by_an_earlier_reply(void **state)
{
    struct udp_fixture fixture;
    struct socket_address session;

    (void)state;
    udp_fixture_open(&fixture, "", "udp_responses = 1");
    int client = udp_connect(NULL, &fixture.front);
    udp_send(client, "a", 1);
    udp_expect_from(fixture.upstream, "a", 1, &session);
    for (char i = 'b'; i < 'k'; i++) {
        udp_send(client, &i, 1);
        udp_expect(fixture.upstream, &i, 1);
        udp_reply(fixture.upstream, &session, &i, 1);
        udp_expect(client, &i, 1);
    }
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_reply(fixture.upstream, &session, "z", 1);
    udp_expect(client, "z", 1);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    udp_fixture_close(&fixture);
}

/* What is over the rate never reaches the upstream. */
static void no_reply_is_due_to_what_was_dropped(void **state)
{
    enum { BYTES = 600 };
    static char bytes[BYTES];
    struct udp_fixture fixture;
    struct socket_address session;

    (void)state;
    udp_fixture_open(&fixture, "",
                     "udp_responses = 1\nrate_up = 1\nrate_burst = 1K");
    int client = udp_connect(NULL, &fixture.front);
    for (unsigned i = 0; i < 3; i++) {
        udp_send(client, bytes, BYTES);
    }
    stats_await(fixture.proxy, "web", NULL, "dropped", 2);
    udp_expect_from(fixture.upstream, bytes, BYTES, &session);
    udp_reply(fixture.upstream, &session, "a", 1);
    udp_expect(client, "a", 1);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    udp_fixture_close(&fixture);
}

/* With the header that the first one carries it is too long. */
static void no_reply_is_due_to_what_could_not_be_sent(void **state)
{
    enum { HEADER = 28 };
    static char bytes[UDP_PAYLOAD_MAX];
    struct udp_fixture fixture;
    struct loopback front = loopback_new();
    struct socket_address session = {.length = sizeof(session.storage)};

    (void)state;
    udp_fixture_open_at(&fixture, &front, "proxy_protocol=v2", "",
                        "udp_responses = 1");
    int client = udp_connect(NULL, &fixture.front);
    udp_send(client, bytes, UDP_PAYLOAD_MAX);
    stats_await(fixture.proxy, "web", NULL, "dropped", 1);
    udp_send(client, "a", 1);
    wait_until(wait_readable(fixture.upstream, 100));
    assert_int_equal(recvfrom(fixture.upstream, bytes, sizeof(bytes), 0,
                              (struct sockaddr *)&session.storage,
                              &session.length),
                     HEADER + 1);
    udp_reply(fixture.upstream, &session, "b", 1);
    udp_expect(client, "b", 1);
    stats_await_cause(fixture.proxy, "upstream_fin", 1);
    assert_int_equal(udp_fixture_stat(&fixture, "accepted"), 1);
    udp_fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        E2E(each_of_many_questions_gets_its_replies),
        E2E(a_question_that_waits_is_not_ended_by_an_earlier_reply),
        E2E(no_reply_is_due_to_what_was_dropped),
        E2E(no_reply_is_due_to_what_could_not_be_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
