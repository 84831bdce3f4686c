#include "net/tls_ticket.h"

#include "base/base.h"
#include "base/clock.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME_BYTES 16

struct key {
    unsigned char name[NAME_BYTES]; /* all-zero: there is none */
    unsigned char cipher[32];
    unsigned char mac[32];
    uint64_t made_ns;
};

static struct {
    pthread_rwlock_t lock;
    struct key current;
    struct key former;
    EVP_CIPHER *cipher; /* set before the first ticket */
} keys = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static bool is_old(const struct key *key, uint64_t now_ns, unsigned lives)
{
    return key->made_ns == 0 ||
           now_ns - key->made_ns >= lives * TLS_TICKET_LIFETIME_S * NS_PER_S;
}

/* With the lock held for writing. */
static bool change_key(uint64_t now_ns)
{
    struct key next = {.made_ns = now_ns};

    if (RAND_bytes(next.name, sizeof(next.name)) != 1 ||
        RAND_priv_bytes(next.cipher, sizeof(next.cipher)) != 1 ||
        RAND_priv_bytes(next.mac, sizeof(next.mac)) != 1) {
        return false;
    }
    keys.former = keys.current;
    keys.current = next;
    return true;
}

/* The key that seals now, which is changed if it is its time. */
static bool current_key(struct key *key)
{
    uint64_t now_ns = clock_now_ns();
    bool good = true;

    pthread_rwlock_rdlock(&keys.lock);
    *key = keys.current;
    pthread_rwlock_unlock(&keys.lock);
    if (!is_old(key, now_ns, 1)) {
        return true;
    }
    pthread_rwlock_wrlock(&keys.lock);
    if (is_old(&keys.current, now_ns, 1)) {
        good = change_key(now_ns);
    }
    *key = keys.current;
    pthread_rwlock_unlock(&keys.lock);
    return good;
}

/* The key of that name: 0 none, 1 the current one, 2 the one before. */
static int find_key(const unsigned char *name, struct key *key)
{
    uint64_t now_ns = clock_now_ns();
    int result = 0;

    pthread_rwlock_rdlock(&keys.lock);
    if (memcmp(name, keys.current.name, NAME_BYTES) == 0) {
        *key = keys.current;
        result = is_old(key, now_ns, 1) ? 2 : 1;
    } else if (memcmp(name, keys.former.name, NAME_BYTES) == 0) {
        *key = keys.former;
        result = 2;
    }
    pthread_rwlock_unlock(&keys.lock);
    return result != 0 && is_old(key, now_ns, 2) ? 0 : result;
}

static bool set_mac(EVP_MAC_CTX *mac, struct key *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                         (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL asks for the key of a ticket that it seals, or opens. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int sealing)
{
    struct key key;
    int result;
    bool good;

    (void)ssl;
    if (sealing) {
        if (!current_key(&key) ||
            RAND_bytes(iv, EVP_CIPHER_get_iv_length(keys.cipher)) != 1) {
            return -1;
        }
        memcpy(name, key.name, NAME_BYTES);
        result = 1;
        good = EVP_EncryptInit_ex2(cipher, keys.cipher, key.cipher, iv, NULL);
    } else {
        result = find_key(name, &key);
        if (result == 0) {
            return 0;
        }
        good = EVP_DecryptInit_ex2(cipher, keys.cipher, key.cipher, iv, NULL);
    }
    good = good && set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    return good ? result : -1;
}

void tls_ticket_use(struct ssl_ctx_st *context)
{
    if (keys.cipher == NULL) {
        keys.cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    }
    SSL_CTX_set_timeout(context, TLS_TICKET_LIFETIME_S);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
