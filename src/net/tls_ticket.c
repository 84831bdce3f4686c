#include "net/tls_ticket.h"

#include "base/base.h"
#include "base/clock.h"
#include "net/tls_file.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME_NS (TLS_TICKET_LIFETIME_S * NS_PER_S)

static struct {
    pthread_rwlock_t lock;
    struct tls_ticket_keys keys;
    EVP_CIPHER *cipher; /* set before the first ticket */
} shared = {.lock = PTHREAD_RWLOCK_INITIALIZER};

static bool is_older(const struct tls_ticket_key *key, uint64_t now_ns,
                     uint64_t age_ns)
{
    return key->made_ns == 0 || now_ns - key->made_ns >= age_ns;
}

bool tls_ticket_has_current(const struct tls_ticket_keys *keys, uint64_t now_ns)
{
    return !is_older(&keys->current, now_ns, LIFETIME_NS);
}

bool tls_ticket_rotate(struct tls_ticket_keys *keys, uint64_t now_ns)
{
    struct tls_ticket_key next = {.made_ns = now_ns};

    if (RAND_bytes(next.name, sizeof(next.name)) != 1 ||
        RAND_priv_bytes(next.cipher, sizeof(next.cipher)) != 1 ||
        RAND_priv_bytes(next.mac, sizeof(next.mac)) != 1) {
        return false;
    }
    keys->previous = keys->current;
    keys->current = next;
    OPENSSL_cleanse(&next, sizeof(next));
    return true;
}

enum tls_ticket tls_ticket_find(const struct tls_ticket_keys *keys,
                                const unsigned char *name, uint64_t now_ns,
                                struct tls_ticket_key *key)
{
    if (memcmp(name, keys->current.name, TLS_TICKET_NAME_BYTES) == 0) {
        *key = keys->current;
    } else if (memcmp(name, keys->previous.name, TLS_TICKET_NAME_BYTES) == 0) {
        *key = keys->previous;
    } else {
        return TLS_TICKET_UNKNOWN;
    }
    if (is_older(key, now_ns, 2 * LIFETIME_NS)) {
        return TLS_TICKET_UNKNOWN;
    }
    return is_older(key, now_ns, LIFETIME_NS) ? TLS_TICKET_OLD
                                              : TLS_TICKET_GOOD;
}

/* ---- the keys of the process ---- */

/* The key to encrypt with. Rotates the keys when it is time. */
static bool copy_current(struct tls_ticket_key *key)
{
    uint64_t now_ns = clock_now_ns();
    bool good;

    pthread_rwlock_rdlock(&shared.lock);
    *key = shared.keys.current;
    good = tls_ticket_has_current(&shared.keys, now_ns);
    pthread_rwlock_unlock(&shared.lock);
    if (good) {
        return true;
    }
    pthread_rwlock_wrlock(&shared.lock);
    good = tls_ticket_has_current(&shared.keys, now_ns) ||
           tls_ticket_rotate(&shared.keys, now_ns);
    *key = shared.keys.current;
    pthread_rwlock_unlock(&shared.lock);
    return good;
}

static enum tls_ticket copy_named(const unsigned char *name,
                                  struct tls_ticket_key *key)
{
    enum tls_ticket found;

    pthread_rwlock_rdlock(&shared.lock);
    found = tls_ticket_find(&shared.keys, name, clock_now_ns(), key);
    pthread_rwlock_unlock(&shared.lock);
    return found;
}

/* ---- the keys of a file ---- */

static void read_key(struct tls_ticket_key *key, const char *bytes)
{
    memcpy(key->name, bytes, sizeof(key->name));
    bytes += sizeof(key->name);
    memcpy(key->mac, bytes, sizeof(key->mac));
    memcpy(key->cipher, bytes + sizeof(key->mac), sizeof(key->cipher));
}

static struct tls_ticket_set *read_set(const char *bytes, size_t count)
{
    struct tls_ticket_set *set =
        calloc(1, sizeof(*set) + count * sizeof(*set->keys));

    for (size_t i = 0; set != NULL && i < count; i++) {
        read_key(&set->keys[i], bytes + i * TLS_TICKET_KEY_BYTES);
        set->count++;
    }
    return set;
}

struct tls_ticket_set *tls_ticket_set_load(const char *path,
                                           struct tls_fault_report *report)
{
    BIO *bio = tls_file_open(path);
    struct tls_ticket_set *set = NULL;
    char *bytes;
    long size;

    if (bio == NULL) {
        tls_file_report(report, TLS_FAULT_TICKET_KEYS, path);
        return NULL;
    }
    size = BIO_get_mem_data(bio, &bytes);
    if (size <= 0 || size % TLS_TICKET_KEY_BYTES != 0) {
        tls_file_raise("it has %ld bytes; keys have %d each, as openssl rand "
                       "makes them",
                       size, TLS_TICKET_KEY_BYTES);
    } else if (size > TLS_TICKET_KEYS_MAX * TLS_TICKET_KEY_BYTES) {
        tls_file_raise("it has more than %d keys", TLS_TICKET_KEYS_MAX);
    } else {
        set = read_set(bytes, (size_t)size / TLS_TICKET_KEY_BYTES);
    }
    BIO_free(bio);
    if (set == NULL) {
        tls_file_report(report, TLS_FAULT_TICKET_KEYS, path);
    }
    return set;
}

void tls_ticket_set_destroy(struct tls_ticket_set *set)
{
    if (set != NULL) {
        OPENSSL_cleanse(set->keys, set->count * sizeof(*set->keys));
        free(set);
    }
}

enum tls_ticket tls_ticket_set_find(const struct tls_ticket_set *set,
                                    const unsigned char *name,
                                    struct tls_ticket_key *key)
{
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(name, set->keys[i].name, TLS_TICKET_NAME_BYTES) == 0) {
            *key = set->keys[i];
            return i == 0 ? TLS_TICKET_GOOD : TLS_TICKET_OLD;
        }
    }
    return TLS_TICKET_UNKNOWN;
}

/* ---- tickets ---- */

static bool set_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
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

static bool encrypt(unsigned char *name, unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, const struct tls_ticket_key *key)
{
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(shared.cipher)) != 1) {
        return false;
    }
    memcpy(name, key->name, TLS_TICKET_NAME_BYTES);
    return EVP_EncryptInit_ex2(cipher, shared.cipher, key->cipher, iv, NULL) ==
           1;
}

/* A ticket of TLS 1.3 is used once (RFC 8446, appendix C.4). Without a new one,
 * every other connection would need a full handshake. */
static bool needs_new_ticket(const SSL *ssl, enum tls_ticket found)
{
    return found == TLS_TICKET_OLD || SSL_version(ssl) >= TLS1_3_VERSION;
}

/* OpenSSL asks for the key to encrypt or decrypt a ticket with. -1: failure; 0:
 * unknown; 1: it is set; 2: it is set, and the client gets a new ticket. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypting)
{
    const struct tls_ticket_set *set =
        SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    enum tls_ticket found = TLS_TICKET_GOOD;
    struct tls_ticket_key key;
    bool good;

    if (encrypting) {
        good = set == NULL ? copy_current(&key) : (key = set->keys[0], true);
        good = good && encrypt(name, iv, cipher, &key);
    } else {
        found = set == NULL ? copy_named(name, &key)
                            : tls_ticket_set_find(set, name, &key);
        if (found == TLS_TICKET_UNKNOWN) {
            return 0;
        }
        good = EVP_DecryptInit_ex2(cipher, shared.cipher, key.cipher, iv,
                                   NULL) == 1;
    }
    good = good && set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    if (!good) {
        return -1;
    }
    return needs_new_ticket(ssl, found) ? 2 : 1;
}

void tls_ticket_use(struct ssl_ctx_st *context,
                    const struct tls_ticket_set *set)
{
    if (shared.cipher == NULL) {
        shared.cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    }
    SSL_CTX_set_app_data(context, (void *)set);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
