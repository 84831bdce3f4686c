/* The keys of session tickets, by a simulated clock. */
#include "net/tls_ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LIFETIME_NS (TLS_TICKET_LIFETIME_S * NS_PER_S)
#define START_NS    (5 * NS_PER_S)

static enum tls_ticket find(const struct tls_ticket_keys *keys,
                            const struct tls_ticket_key *wanted,
                            uint64_t now_ns)
{
    struct tls_ticket_key found;
    enum tls_ticket result =
        tls_ticket_find(keys, wanted->name, now_ns, &found);

    if (result != TLS_TICKET_UNKNOWN) {
        assert_memory_equal(found.cipher, wanted->cipher, sizeof(found.cipher));
        assert_memory_equal(found.mac, wanted->mac, sizeof(found.mac));
    }
    return result;
}

static void without_a_key_no_ticket_is_encrypted_or_decrypted(void **state)
{
    const struct tls_ticket_keys keys = {0};

    (void)state;
    assert_false(tls_ticket_has_current(&keys, START_NS));
    /* A client may send the all-zero name that no key has. */
    assert_int_equal(find(&keys, &keys.current, START_NS), TLS_TICKET_UNKNOWN);
}

static void a_key_encrypts_for_one_lifetime(void **state)
{
    struct tls_ticket_keys keys = {0};

    (void)state;
    assert_true(tls_ticket_rotate(&keys, START_NS));
    assert_true(tls_ticket_has_current(&keys, START_NS));
    assert_true(tls_ticket_has_current(&keys, START_NS + LIFETIME_NS - 1));
    assert_false(tls_ticket_has_current(&keys, START_NS + LIFETIME_NS));
}

static void a_key_decrypts_for_two_lifetimes(void **state)
{
    struct tls_ticket_keys keys = {0};
    struct tls_ticket_key key;

    (void)state;
    assert_true(tls_ticket_rotate(&keys, START_NS));
    key = keys.current;
    assert_int_equal(find(&keys, &key, START_NS + LIFETIME_NS - 1),
                     TLS_TICKET_GOOD);
    assert_int_equal(find(&keys, &key, START_NS + LIFETIME_NS), TLS_TICKET_OLD);
    assert_int_equal(find(&keys, &key, START_NS + 2 * LIFETIME_NS),
                     TLS_TICKET_UNKNOWN);
}

static void the_previous_key_is_known_and_older_ones_are_not(void **state)
{
    struct tls_ticket_keys keys = {0};
    struct tls_ticket_key first, second;

    (void)state;
    assert_true(tls_ticket_rotate(&keys, START_NS));
    first = keys.current;
    assert_true(tls_ticket_rotate(&keys, START_NS + LIFETIME_NS));
    second = keys.current;
    assert_memory_not_equal(first.name, second.name, sizeof(first.name));
    assert_memory_not_equal(first.cipher, second.cipher, sizeof(first.cipher));
    assert_memory_not_equal(first.mac, second.mac, sizeof(first.mac));
    assert_int_equal(find(&keys, &first, START_NS + LIFETIME_NS),
                     TLS_TICKET_OLD);
    assert_int_equal(find(&keys, &second, START_NS + LIFETIME_NS),
                     TLS_TICKET_GOOD);
    assert_true(tls_ticket_rotate(&keys, START_NS + LIFETIME_NS + 1));
    assert_int_equal(find(&keys, &first, START_NS + LIFETIME_NS + 1),
                     TLS_TICKET_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_key_no_ticket_is_encrypted_or_decrypted),
        cmocka_unit_test(a_key_encrypts_for_one_lifetime),
        cmocka_unit_test(a_key_decrypts_for_two_lifetimes),
        cmocka_unit_test(the_previous_key_is_known_and_older_ones_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
