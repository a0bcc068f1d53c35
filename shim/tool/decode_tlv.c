/* SPDX-License-Identifier: MIT
 *
 * decode_tlv.c: see decode_tlv.h.
 */
#include "decode_tlv.h"
#include "../protocol/header_internal.h"
#include <ppshim/cidr.h>
#include <ppshim/header_tlv.h>
#include <stdarg.h>
#include <stdio.h>

#define SHOWN 160
#define NAME_WIDTH 17

void tool_decode_line(size_t offset, const char *name, const char *format, ...)
{
    va_list args;
    printf("%6zu  %-*s  ", offset, NAME_WIDTH, name);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

struct pps_view tool_decode_tlvs(const uint8_t *header)
{
    static const uint8_t blocks[] = {0, PPS_BLOCK_INET, PPS_BLOCK_INET6, PPS_BLOCK_UNIX};
    size_t block = blocks[header[13] >> 4 & 3];
    return (struct pps_view){header + PPS_V2_FIXED + block, pps_get_u16(header + 14) - block};
}

/* --- values --- */

static void tell_text(size_t offset, const char *name, struct pps_view value)
{
    char shown[SHOWN];
    tool_decode_line(offset, name, "\"%s\"", pps_cidr_quote(shown, sizeof shown, (const char *)value.at, value.length));
}

static void tell_bytes(size_t offset, const char *name, struct pps_view value)
{
    enum { MOST = 32 };
    char hex[2 * MOST + 1] = "";
    for (size_t i = 0; i < value.length && i < MOST; i++)
        snprintf(hex + 2 * i, 3, "%02x", value.at[i]);
    tool_decode_line(offset, name, "%zu bytes%s%s%s", value.length, value.length ? ": " : "", hex,
                     value.length > MOST ? "..." : "");
}

static void tell_crc(size_t offset, struct pps_view value, const uint8_t *header, size_t length)
{
    if (value.length != PPS_CRC_LENGTH) {
        tool_decode_line(offset, "CRC32C", "%zu bytes instead of 4", value.length);
        return;
    }
    uint32_t is = pps_get_u32(value.at), right = pps_header_crc(header, length, value.at);
    if (is == right)
        tool_decode_line(offset, "CRC32C", "0x%08x, right", is);
    else
        tool_decode_line(offset, "CRC32C", "0x%08x, wrong: it is 0x%08x", is, right);
}

/* --- TLS --- */

static const char *ssl_field_name(uint8_t type)
{
    static const char *const names[] = {
        [PPS_TLV_SSL_VERSION] = "  version",       [PPS_TLV_SSL_CN] = "  cn",
        [PPS_TLV_SSL_CIPHER] = "  cipher",         [PPS_TLV_SSL_SIG_ALG] = "  sig-alg",
        [PPS_TLV_SSL_KEY_ALG] = "  key-alg",       [PPS_TLV_SSL_GROUP] = "  group",
        [PPS_TLV_SSL_SIG_SCHEME] = "  sig-scheme",
    };
    return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static void tell_ssl_field(size_t offset, const struct pps_tlv *tlv, bool verified)
{
    char name[NAME_WIDTH + 1];
    snprintf(name, sizeof name, "  0x%02x", tlv->type);
    if (tlv->type == PPS_TLV_SSL_CLIENT_CERT)
        tell_bytes(offset, "  client-cert", tlv->value);
    else if (tlv->type == PPS_TLV_SSL_CN && !verified)
        tell_text(offset, "  cn-unverified", tlv->value);
    else if (ssl_field_name(tlv->type))
        tell_text(offset, ssl_field_name(tlv->type), tlv->value);
    else
        tell_bytes(offset, name, tlv->value);
}

static void tell_ssl(size_t offset, struct pps_view value, const uint8_t *header)
{
    struct pps_ssl ssl;
    struct pps_tlv tlv;
    if (!pps_ssl_decode(value, &ssl)) {
        tool_decode_line(offset, "SSL", "%zu bytes, malformed: no field of it counts", value.length);
        return;
    }
    tool_decode_line(offset, "SSL", "client 0x%02x%s%s%s, verify %u%s", ssl.client, ssl.client & 1 ? " TLS" : "",
                     ssl.client & 2 ? ", certificate" : "", ssl.client & 4 ? ", certificate in this session" : "",
                     ssl.verify, pps_ssl_is_verified(&ssl) ? "" : ": no verified certificate");
    struct pps_view rest = {value.at + 5, value.length - 5};
    for (const uint8_t *at = rest.at; pps_tlv_next(&rest, &tlv); at = rest.at)
        tell_ssl_field((size_t)(at - header), &tlv, pps_ssl_is_verified(&ssl));
}

/* --- what the library has a word for --- */

static void tell_fact(size_t offset, enum pps_fact_kind kind, const struct pps_fact *fact)
{
    static const char *const names[PPS_FACT_COUNT] = {
        [PPS_FACT_ALPN] = "ALPN",           [PPS_FACT_SNI] = "authority (SNI)",
        [PPS_FACT_UNIQUE_ID] = "unique id", [PPS_FACT_NETNS] = "network namespace",
        [PPS_FACT_VPCE] = "AWS endpoint",   [PPS_FACT_AZURE_LINK] = "Azure endpoint",
        [PPS_FACT_PSC] = "GCP endpoint",    [PPS_FACT_SPIFFE] = "SPIFFE identity",
    };
    if (pps_fact_is_number(kind))
        tool_decode_line(offset, names[kind], "%s %llu", kind == PPS_FACT_PSC ? "connection id" : "link id",
                         (unsigned long long)fact->number);
    else
        tell_text(offset, names[kind], fact->bytes);
}

static void tell_other(size_t offset, const struct pps_tlv *tlv)
{
    char name[NAME_WIDTH + 1];
    const char *kind = tlv->type == PPS_TLV_AWS     ? "AWS"
                       : tlv->type == PPS_TLV_AZURE ? "Azure"
                       : tlv->type == PPS_TLV_GCP   ? "GCP"
                       : tlv->type >= 0xF8          ? "future"
                       : tlv->type >= 0xF0          ? "experimental"
                       : tlv->type >= 0xE0          ? "custom"
                                                    : "unknown";
    snprintf(name, sizeof name, "0x%02x %s", tlv->type, kind);
    tell_bytes(offset, name, tlv->value);
}

/* --- all of them --- */

static void tell(size_t offset, const struct pps_tlv *tlv, const uint8_t *header, size_t length)
{
    enum pps_fact_kind kind;
    struct pps_fact fact;
    if (tlv->type == PPS_TLV_CRC32C)
        tell_crc(offset, tlv->value, header, length);
    else if (tlv->type == PPS_TLV_NOOP)
        tool_decode_line(offset, "NOOP", "%zu bytes of nothing", tlv->value.length);
    else if (tlv->type == PPS_TLV_SSL)
        tell_ssl(offset, tlv->value, header);
    else if (pps_tlv_fact(tlv, &kind, &fact))
        tell_fact(offset, kind, &fact);
    else
        tell_other(offset, tlv);
}

void tool_decode_explain_tlvs(const uint8_t *header, size_t length)
{
    struct pps_view rest = tool_decode_tlvs(header);
    struct pps_tlv tlv;
    for (const uint8_t *at = rest.at; pps_tlv_next(&rest, &tlv); at = rest.at)
        tell((size_t)(at - header), &tlv, header, length);
    if (rest.length >= 3)
        tool_decode_line((size_t)(rest.at - header), "TLV", "0x%02x of %u bytes, and %zu are left", rest.at[0],
                         pps_get_u16(rest.at + 1), rest.length - 3);
    else if (rest.length > 0)
        tool_decode_line((size_t)(rest.at - header), "rest", "%zu bytes, too few for a TLV", rest.length);
}
