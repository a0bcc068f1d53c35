/* SPDX-License-Identifier: MIT
 *
 * decode.c: a header's bytes in words. The verdict is the parser's; this file only says what stands where, and where
 * it went wrong. Offsets count from 0.
 */
#include "decode.h"
#include "../protocol/header_internal.h"
#include "decode_tlv.h"
#include "options.h"
#include "tool.h"
#include <ppshim/cidr.h>
#include <string.h>

#define SHOWN 160 /* bytes of the sender's on one line */

struct input {
    uint8_t bytes[PPS_HEADER_MAX];
    size_t length;
    unsigned long long beyond; /* how many came behind those */
};

struct verdict {
    enum pps_verdict is;
    struct pps_header header; /* COMPLETE */
    size_t need;              /* NEED */
    enum pps_reason reason;   /* INVALID */
};

static void line(size_t offset, const char *name, const char *text)
{
    tool_decode_line(offset, name, "%s", text);
}

/* --- where the fault is --- */

/* The TLV that runs past the end, or the checksum that is wrong: the one there is, or the second. */
static size_t fault_among_tlvs(const struct input *in, enum pps_reason reason)
{
    struct pps_view rest = tool_decode_tlvs(in->bytes);
    struct pps_tlv tlv;
    size_t crc = 0;
    while (pps_tlv_next(&rest, &tlv))
        if (tlv.type == PPS_TLV_CRC32C)
            crc = (size_t)(tlv.value.at - in->bytes) - 3;
    return reason == PPS_REASON_V2_BAD_CRC ? crc : (size_t)(rest.at - in->bytes);
}

/* Elsewhere the parser says no as soon as it can: at the first byte that makes it. */
static size_t first_bad_byte(const struct input *in)
{
    struct verdict v;
    size_t n = 1;
    while (n < in->length && pps_header_parse(in->bytes, n, &v.header, &v.need, &v.reason) != PPS_HEADER_INVALID)
        n++;
    return n - 1;
}

static size_t fault_of(const struct input *in, enum pps_reason reason)
{
    switch (reason) {
    case PPS_REASON_V2_BAD_VERSION:
    case PPS_REASON_V2_BAD_COMMAND:
        return 12;
    case PPS_REASON_V2_BAD_FAMILY:
        return 13;
    case PPS_REASON_V2_SHORT_BLOCK:
        return 14;
    case PPS_REASON_V2_TLV_OVERRUN:
    case PPS_REASON_V2_BAD_CRC:
        return fault_among_tlvs(in, reason);
    default:
        return first_bad_byte(in);
    }
}

/* --- version 1 --- */

static void explain_line(const struct input *in, size_t length)
{
    char shown[SHOWN];
    line(0, "line", pps_cidr_quote(shown, sizeof shown, (const char *)in->bytes, length < SHOWN ? length : SHOWN));
}

/* The line is valid: fields stand between single spaces, and what follows UNKNOWN is any text. */
static void explain_v1(const struct input *in, const struct pps_header *h)
{
    static const char *const names[] = {"protocol", "source", "destination", "source port", "destination port"};
    const char *at = (const char *)in->bytes + PPS_V1_PREFIX_LENGTH, *end = (const char *)in->bytes + h->length - 2;
    explain_line(in, h->length);
    for (size_t i = 0; i < (h->has_client ? 5 : 1); i++) {
        size_t length = strcspn(at, " \r");
        tool_decode_line((size_t)(at - (const char *)in->bytes), names[i], "%.*s", (int)length, at);
        at += length + (at + length < end);
    }
    if (!h->has_client && at < end)
        tool_decode_line((size_t)(at - (const char *)in->bytes), "text", "%td bytes that do not count", end - at);
}

/* --- version 2 --- */

static const char *family_name(uint8_t family)
{
    switch (family) {
    case PPS_FAM_UNSPEC:
        return "unspecified: no address counts";
    case PPS_FAM_TCP4:
        return "TCP over IPv4";
    case PPS_FAM_UDP4:
        return "UDP over IPv4";
    case PPS_FAM_TCP6:
        return "TCP over IPv6";
    case PPS_FAM_UDP6:
        return "UDP over IPv6";
    case PPS_FAM_UNIX_STREAM:
        return "Unix stream";
    case PPS_FAM_UNIX_DGRAM:
        return "Unix datagram";
    default:
        return family >> 4 < 4 && (family & 15) < 3 ? "only half of it specified" : "none that there is";
    }
}

static void explain_fixed(const uint8_t *b)
{
    static const char *const commands[] = {"LOCAL: the proxy's own connection", "PROXY: on a client's behalf"};
    line(0, "signature", "of version 2");
    tool_decode_line(12, "version", "%u", b[12] >> 4);
    tool_decode_line(12, "command", "%s", (b[12] & 15) < 2 ? commands[b[12] & 15] : "none that there is");
    tool_decode_line(13, "family", "0x%02x, %s", b[13], family_name(b[13]));
    tool_decode_line(14, "length", "%u, so the header has %u bytes", pps_get_u16(b + 14),
                     PPS_V2_FIXED + pps_get_u16(b + 14));
}

static void explain_ip(size_t ip, size_t port, const uint8_t *b, const char *name, bool v4)
{
    char text[PPS_ADDR_TEXT];
    uint16_t number = pps_get_u16(b + port);
    struct pps_addr a = v4 ? pps_addr_v4(b + ip, number) : pps_addr_v6(b + ip, number);
    tool_decode_line(ip, name, "%s%s", pps_addr_text(&a, text), !v4 && pps_addr_is_v4(&a) ? ", mapped" : "");
}

static void explain_path(size_t offset, const uint8_t *b, const char *name)
{
    char shown[SHOWN];
    const char *path = (const char *)b + offset;
    line(offset, name, pps_cidr_quote(shown, sizeof shown, path, strnlen(path, PPS_BLOCK_UNIX / 2)));
}

static void explain_block(const uint8_t *b)
{
    unsigned family = b[13] >> 4;
    if (family == 1 || family == 2) {
        size_t ip = family == 1 ? 4 : 16, at = PPS_V2_FIXED;
        explain_ip(at, at + 2 * ip, b, "source", family == 1);
        explain_ip(at + ip, at + 2 * ip + 2, b, "destination", family == 1);
    } else if (family == 3) {
        explain_path(PPS_V2_FIXED, b, "source");
        explain_path(PPS_V2_FIXED + PPS_BLOCK_UNIX / 2, b, "destination");
    }
}

/* What follows the fixed part: in a LOCAL header, and in one of no family unless it is a list of TLVs. */
static bool is_skipped(const uint8_t *b, const struct verdict *v)
{
    bool is_local = (b[12] & 15) == 0, has_family = b[13] >> 4 != 0;
    return is_local || (!has_family && v->is == PPS_HEADER_COMPLETE && v->header.tlvs.length == 0);
}

static void explain_v2(const struct input *in, const struct verdict *v)
{
    const uint8_t *b = in->bytes;
    size_t length = PPS_V2_FIXED + pps_get_u16(b + 14);
    bool fixed_part_holds =
        v->is != PPS_HEADER_INVALID || v->reason == PPS_REASON_V2_TLV_OVERRUN || v->reason == PPS_REASON_V2_BAD_CRC;
    explain_fixed(b);
    if (!fixed_part_holds || in->length < length)
        return;
    if (is_skipped(b, v)) {
        if (length > PPS_V2_FIXED)
            tool_decode_line(PPS_V2_FIXED, "rest", "%zu bytes that do not count", length - PPS_V2_FIXED);
        return;
    }
    explain_block(b);
    tool_decode_explain_tlvs(b, length);
}

/* --- the whole --- */

static bool read_input(FILE *from, struct input *in)
{
    char more[4096];
    size_t n;
    in->length = fread(in->bytes, 1, sizeof in->bytes, from);
    while ((n = fread(more, 1, sizeof more, from)) > 0)
        in->beyond += n;
    return !ferror(from);
}

static bool is_v2(const struct input *in)
{
    return in->length >= PPS_V2_FIXED && memcmp(in->bytes, PPS_V2_SIGNATURE, PPS_V2_SIGNATURE_LENGTH) == 0;
}

static void explain(const struct input *in, const struct verdict *v)
{
    if (is_v2(in))
        explain_v2(in, v);
    else if (v->is == PPS_HEADER_COMPLETE)
        explain_v1(in, &v->header);
    else if (in->length > 0)
        explain_line(in, in->length);
}

static void tell_fault(const struct input *in, const struct verdict *v)
{
    size_t at = fault_of(in, v->reason);
    printf("%sinvalid%s: %s, at offset %zu (byte 0x%02x): %s\n", tool_bold(stdout), tool_plain(stdout),
           pps_reason_word(v->reason), at, at < in->length ? in->bytes[at] : 0, pps_reason_meaning(v->reason));
}

static void tell_what_it_does(const struct input *in, const struct pps_header *h)
{
    char text[PPS_ADDR_TEXT];
    printf("%svalid%s: version %u, %zu bytes; the server's peer is %s\n", tool_bold(stdout), tool_plain(stdout),
           h->version, h->length, h->has_client ? pps_addr_text(&h->src, text) : "the real TCP peer");
    printf("behind the header: %llu bytes\n", in->length - h->length + in->beyond);
}

int tool_decode(FILE *from)
{
    static struct input in;
    struct verdict v = {.is = PPS_HEADER_NEED};
    if (!read_input(from, &in))
        return tool_fail(TOOL_NO, "header", "stdin: %m");
    v.is = pps_header_parse(in.bytes, in.length, &v.header, &v.need, &v.reason);
    explain(&in, &v);
    if (v.is == PPS_HEADER_COMPLETE)
        tell_what_it_does(&in, &v.header);
    else if (v.is == PPS_HEADER_INVALID)
        tell_fault(&in, &v);
    else
        printf("%sincomplete%s: %zu bytes, and a header has at least %zu\n", tool_bold(stdout), tool_plain(stdout),
               in.length, v.need);
    return v.is == PPS_HEADER_COMPLETE ? TOOL_OK : TOOL_NO;
}
