#include "wire/proxy_tlv.h"

#include <string.h>

#define TLV_HEAD_BYTES 3
#define CRC_BYTES      4

#define HEADER_HEAD_BYTES 16 /* the length of the rest are its last two */
#define VERSION_MAX       16

enum tlv_type {
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_NOOP = 0x04,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21, /* these two within TLV_SSL */
    TLV_SSL_CN = 0x22,
};

/* Of TLV_SSL, 2.2.6. */
enum { CLIENT_SSL = 0x01, CLIENT_CERT_CONN = 0x02, CLIENT_CERT_SESS = 0x04 };

static size_t read_u16(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

static void write_u16(uint8_t *bytes, size_t number)
{
    bytes[0] = (uint8_t)(number >> 8);
    bytes[1] = (uint8_t)number;
}

/* ---- the checksum -------------------------------------------------------- */

/* CRC-32C (Castagnoli), RFC 3720, 12.1, by four bits at a time. */
static uint32_t crc32c(uint32_t crc, const uint8_t *bytes, size_t count)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    crc = ~crc;
    for (size_t i = 0; i < count; i++) {
        crc = crc >> 4 ^ table[(crc ^ bytes[i]) & 0xf];
        crc = crc >> 4 ^ table[(crc ^ bytes[i] >> 4) & 0xf];
    }
    return ~crc;
}

/* Of the header with zeros in place of its checksum. */
static uint32_t crc_of(const uint8_t *header, size_t count, size_t crc_at)
{
    static const uint8_t zeros[CRC_BYTES];
    size_t after = crc_at + CRC_BYTES;
    uint32_t crc = crc32c(0, header, crc_at);

    crc = crc32c(crc, zeros, sizeof(zeros));
    return crc32c(crc, header + after, count - after);
}

bool proxy_tlv_crc_is_valid(const uint8_t *header, size_t count, size_t crc_at)
{
    uint32_t sent = (uint32_t)read_u16(header + crc_at) << 16 |
                    (uint32_t)read_u16(header + crc_at + 2);

    return crc_of(header, count, crc_at) == sent;
}

/* ---- reading ------------------------------------------------------------- */

bool proxy_tlv_scan(const uint8_t *header, size_t count, size_t at,
                    size_t *crc_at)
{
    *crc_at = 0;
    while (at < count) {
        size_t value = at + TLV_HEAD_BYTES;
        size_t length = value <= count ? read_u16(header + at + 1) : 0;

        if (value > count || length > count - value) {
            return false;
        }
        if (header[at] == TLV_CRC32C) {
            if (length != CRC_BYTES || *crc_at != 0) {
                return false;
            }
            *crc_at = value;
        }
        at = value + length;
    }
    return true;
}

/* Copies the TLVs whose type is not one of these, a bit for each. */
static size_t copy_but(const uint8_t *tlvs, size_t count, uint64_t without,
                       uint8_t *to)
{
    size_t copied = 0;

    for (size_t at = 0; at < count;) {
        size_t length = TLV_HEAD_BYTES + read_u16(tlvs + at + 1);
        unsigned type = tlvs[at];

        if (type >= 64 || !(without >> type & 1)) {
            memmove(to + copied, tlvs + at, length);
            copied += length;
        }
        at += length;
    }
    return copied;
}

#define BIT(type) (UINT64_C(1) << (type))

size_t proxy_tlv_pass(const uint8_t *tlvs, size_t count, uint8_t *to)
{
    return copy_but(tlvs, count, BIT(TLV_NOOP) | BIT(TLV_CRC32C), to);
}

size_t proxy_tlv_without_tls(const uint8_t *tlvs, size_t count, uint8_t *to)
{
    return copy_but(tlvs, count,
                    BIT(TLV_ALPN) | BIT(TLV_AUTHORITY) | BIT(TLV_SSL), to);
}

/* ---- writing ------------------------------------------------------------- */

static uint8_t *write_tlv(uint8_t *at, enum tlv_type type, const void *value,
                          size_t count)
{
    *at = (uint8_t)type;
    write_u16(at + 1, count);
    memcpy(at + TLV_HEAD_BYTES, value, count);
    return at + TLV_HEAD_BYTES + count;
}

/* Without a zero byte, at which a receiver may take the name to end, and other
 * control characters. */
static bool is_printable(const uint8_t *name, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (name[i] < ' ' || name[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static uint8_t *write_name(uint8_t *at, enum tlv_type type, const void *name,
                           size_t count)
{
    return count == 0 || count > PROXY_TLV_NAME_MAX ||
                   !is_printable(name, count)
               ? at
               : write_tlv(at, type, name, count);
}

static uint8_t client_bits(const struct proxy_tls *tls)
{
    if (!tls->shown) {
        return CLIENT_SSL;
    }
    return CLIENT_SSL | CLIENT_CERT_SESS |
           (tls->resumed ? 0 : CLIENT_CERT_CONN);
}

/* 2.2.6: "verify" is zero if the client has shown a certificate that was
 * verified, and only then. */
static uint8_t *write_ssl(uint8_t *at, const struct proxy_tls *tls)
{
    uint8_t *end = at + TLV_HEAD_BYTES;

    *end++ = client_bits(tls);
    memset(end, 0, 3);
    end[3] = tls->shown && tls->verified ? 0 : 1;
    end += 4;
    end = write_tlv(end, TLV_SSL_VERSION, tls->version,
                    strnlen(tls->version, VERSION_MAX));
    end = write_name(end, TLV_SSL_CN, tls->common_name, tls->common_name_bytes);
    *at = TLV_SSL;
    write_u16(at + 1, (size_t)(end - at) - TLV_HEAD_BYTES);
    return end;
}

size_t proxy_tlv_of_tls(const struct proxy_tls *tls,
                        uint8_t to[PROXY_TLV_TLS_MAX])
{
    uint8_t *at = to;

    if (tls->protocol_bytes > 0 && tls->protocol_bytes <= PROXY_TLV_NAME_MAX) {
        at = write_tlv(at, TLV_ALPN, tls->protocol, tls->protocol_bytes);
    }
    at = write_name(at, TLV_AUTHORITY, tls->name, tls->name_bytes);
    at = write_ssl(at, tls);
    return (size_t)(at - to);
}

size_t proxy_tlv_append(uint8_t *header, size_t count, const uint8_t *tlvs,
                        size_t tlv_bytes)
{
    static const uint8_t zeros[CRC_BYTES];
    size_t length = count + tlv_bytes + PROXY_TLV_CRC_BYTES;
    uint8_t *crc = header + length - CRC_BYTES;
    uint32_t value;

    if (length - HEADER_HEAD_BYTES > UINT16_MAX) {
        return 0;
    }
    if (tlv_bytes > 0) {
        memcpy(header + count, tlvs, tlv_bytes);
    }
    write_u16(header + HEADER_HEAD_BYTES - 2, length - HEADER_HEAD_BYTES);
    (void)write_tlv(header + count + tlv_bytes, TLV_CRC32C, zeros, CRC_BYTES);
    value = crc_of(header, length, length - CRC_BYTES);
    write_u16(crc, value >> 16);
    write_u16(crc + 2, value & 0xffff);
    return length;
}
