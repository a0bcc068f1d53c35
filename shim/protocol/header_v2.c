/* SPDX-License-Identifier: MIT
 *
 * header_v2.c: the binary header of spec 2.2, its TLVs and the SSL TLV. Owns their layout on the wire.
 *
 * Judged twice: its 16 fixed bytes as soon as they are here, the rest when it is whole. Of a LOCAL header only the
 * length counts.
 *
 * Where the spec leaves a choice:
 * - The address block's size goes by the family nibble alone, also where the transport is UNSPEC.
 * - Family UNSPEC has a block of no known size, to be skipped whatever it holds; what is a list of TLVs from byte 16
 * on, as senders write it, is one, and its checksum counts.
 * - A second CRC32C TLV is refused: no rule says whether it was zero while the first was computed.
 * - The inside of an SSL TLV is not the header's frame: only pps_ssl_decode judges it.
 *
 * Must never lay a struct over the caller's bytes: they have no alignment.
 */
#include "header_internal.h"
#include <string.h>

#define SSL_FIXED 5 /* client, verify */

enum command { LOCAL = 0, PROXY = 1 };

static const uint8_t block_lengths[] = {0, PPS_BLOCK_INET, PPS_BLOCK_INET6, PPS_BLOCK_UNIX}; /* by family nibble */
#define UNSPEC 0
#define FAMILIES (sizeof block_lengths / sizeof *block_lengths)
#define TRANSPORTS 3

static unsigned command_of(const uint8_t *buf)
{
    return buf[12] & 15;
}

static size_t rest_length(const uint8_t *buf)
{
    return pps_get_u16(buf + 14);
}

static enum pps_reason judge_fixed_part(const uint8_t *buf)
{
    unsigned family = buf[13] >> 4, transport = buf[13] & 15;

    if (buf[12] >> 4 != 2)
        return PPS_REASON_V2_BAD_VERSION;
    if (command_of(buf) == LOCAL)
        return PPS_REASON_NONE;
    if (command_of(buf) != PROXY)
        return PPS_REASON_V2_BAD_COMMAND;
    if (family >= FAMILIES || transport >= TRANSPORTS)
        return PPS_REASON_V2_BAD_FAMILY;
    if (rest_length(buf) < block_lengths[family])
        return PPS_REASON_V2_SHORT_BLOCK;
    return PPS_REASON_NONE;
}

bool pps_tlv_next(struct pps_view *rest, struct pps_tlv *out)
{
    size_t length;

    if (rest->length < 3)
        return false;
    length = pps_get_u16(rest->at + 1);
    if (length > rest->length - 3)
        return false;
    *out = (struct pps_tlv){rest->at[0], {rest->at + 3, length}};
    rest->at += 3 + length;
    rest->length -= 3 + length;
    return true;
}

uint32_t pps_header_crc(const uint8_t *buf, size_t length, const uint8_t *field)
{
    static const uint8_t zeros[PPS_CRC_LENGTH];
    const uint8_t *after = field + sizeof zeros;
    uint32_t crc = pps_crc32c(0, buf, (size_t)(field - buf));

    crc = pps_crc32c(crc, zeros, sizeof zeros);
    return pps_crc32c(crc, after, (size_t)(buf + length - after));
}

static bool crc_holds(const uint8_t *buf, size_t length, struct pps_view field)
{
    return field.length == PPS_CRC_LENGTH && pps_header_crc(buf, length, field.at) == pps_get_u32(field.at);
}

static enum pps_reason judge_tlvs(const uint8_t *buf, size_t length, struct pps_view tlvs)
{
    struct pps_view crc = {NULL, 0};
    struct pps_tlv tlv;
    unsigned crcs = 0;

    while (pps_tlv_next(&tlvs, &tlv)) {
        if (tlv.type != PPS_TLV_CRC32C)
            continue;
        crc = tlv.value;
        crcs++;
    }
    if (tlvs.length > 0)
        return PPS_REASON_V2_TLV_OVERRUN;
    if (crcs > 1 || (crcs && !crc_holds(buf, length, crc)))
        return PPS_REASON_V2_BAD_CRC;
    return PPS_REASON_NONE;
}

/* Whether the block holds a TCP client's addresses; UNSPEC, AF_UNIX and DGRAM mean the real peer. */
static bool read_block(const uint8_t *block, uint8_t family, struct pps_header *h)
{
    if (family == PPS_FAM_TCP4) {
        h->src = pps_addr_v4(block, pps_get_u16(block + 8));
        h->dst = pps_addr_v4(block + 4, pps_get_u16(block + 10));
        return true;
    }
    if (family == PPS_FAM_TCP6) {
        h->src = pps_addr_v6(block, pps_get_u16(block + 32));
        h->dst = pps_addr_v6(block + 16, pps_get_u16(block + 34));
        return true;
    }
    return false;
}

static enum pps_reason read_rest(const uint8_t *buf, struct pps_header *h)
{
    const uint8_t *block = buf + PPS_V2_FIXED;
    size_t block_length = h->local ? 0 : block_lengths[buf[13] >> 4];
    enum pps_reason fault;

    h->tlvs = (struct pps_view){block + block_length, h->length - PPS_V2_FIXED - block_length};
    if (h->local)
        return PPS_REASON_NONE;
    h->has_client = read_block(block, buf[13], h);
    fault = judge_tlvs(buf, h->length, h->tlvs);
    if (fault != PPS_REASON_V2_TLV_OVERRUN || buf[13] >> 4 != UNSPEC)
        return fault;
    h->tlvs = (struct pps_view){buf + h->length, 0};
    return PPS_REASON_NONE;
}

enum pps_verdict pps_header_parse_v2(const uint8_t *buf, size_t len, struct pps_header *out, size_t *need,
                                     enum pps_reason *reason)
{
    struct pps_header h = {.version = 2, .local = command_of(buf) == LOCAL};
    enum pps_reason fault = judge_fixed_part(buf);

    h.length = PPS_V2_FIXED + rest_length(buf);
    if (fault == PPS_REASON_NONE && len < h.length) {
        *need = h.length;
        return PPS_HEADER_NEED;
    }
    if (fault == PPS_REASON_NONE)
        fault = read_rest(buf, &h);
    if (fault != PPS_REASON_NONE) {
        *reason = fault;
        return PPS_HEADER_INVALID;
    }
    *out = h;
    return PPS_HEADER_COMPLETE;
}

static struct pps_view *ssl_field(struct pps_ssl *ssl, uint8_t type)
{
    struct pps_view *const fields[] = {
        [PPS_TLV_SSL_VERSION] = &ssl->version,       [PPS_TLV_SSL_CN] = &ssl->cn,
        [PPS_TLV_SSL_CIPHER] = &ssl->cipher,         [PPS_TLV_SSL_SIG_ALG] = &ssl->sig_alg,
        [PPS_TLV_SSL_KEY_ALG] = &ssl->key_alg,       [PPS_TLV_SSL_GROUP] = &ssl->group,
        [PPS_TLV_SSL_SIG_SCHEME] = &ssl->sig_scheme, [PPS_TLV_SSL_CLIENT_CERT] = &ssl->client_cert,
    };

    return type <= PPS_TLV_SSL_CLIENT_CERT ? fields[type] : NULL; /* NULL: of a later spec */
}

/* Of a repeated field the first counts. */
bool pps_ssl_decode(struct pps_view value, struct pps_ssl *out)
{
    struct pps_ssl ssl = {0};
    struct pps_view rest;
    struct pps_tlv tlv;

    if (value.length < SSL_FIXED)
        return false;
    ssl.client = value.at[0];
    ssl.verify = pps_get_u32(value.at + 1);
    rest = (struct pps_view){value.at + SSL_FIXED, value.length - SSL_FIXED};
    while (pps_tlv_next(&rest, &tlv)) {
        struct pps_view *field = ssl_field(&ssl, tlv.type);
        if (field && !field->at)
            *field = tlv.value;
    }
    if (rest.length > 0)
        return false;
    *out = ssl;
    return true;
}
