/* SPDX-License-Identifier: MIT
 *
 * header_options.c: see header_options.h.
 */
#include "header_options.h"
#include "endpoint.h"
#include "tool.h"
#include <stdlib.h>
#include <string.h>

#define FROM_PORT 50000
#define TO_PORT 443
#define UNIQUE_ID_MAX 128 /* spec 2.2.5 */
#define CERT_BITS 0x06    /* spec 2.2.6: on this connection, in this session */

static const char *const option_names[] = {
#define X(constant, name, argument, meaning) name,
    TOOL_HEADER_OPTIONS(X)
#undef X
};

#define REFUSE(h, ...) (tool_fail(TOOL_USAGE, (h)->verb, __VA_ARGS__), false)

static bool has(const struct tool_header *h, enum tool_header_option o)
{
    return h->value[o] != NULL;
}

bool tool_header_note(struct tool_header *h, int option, const char *value)
{
    if (option == TOOL_HEADER_TLV) {
        if (h->tlv_count == TOOL_TLVS_MAX)
            return REFUSE(h, "more than %d times --tlv", TOOL_TLVS_MAX);
        h->tlvs[h->tlv_count++] = value;
    } else if (h->value[option]) {
        return REFUSE(h, "--%s is given twice", option_names[option]);
    }
    h->value[option] = value ? value : "";
    return true;
}

/* --- what makes no sense --- */

static bool excludes(const struct tool_header *h, enum tool_header_option a, enum tool_header_option b, const char *why)
{
    return !has(h, a) || !has(h, b) || REFUSE(h, "--%s and --%s: %s", option_names[a], option_names[b], why);
}

static bool needs(const struct tool_header *h, enum tool_header_option a, enum tool_header_option b)
{
    return !has(h, a) || has(h, b) || REFUSE(h, "--%s says nothing without --%s", option_names[a], option_names[b]);
}

static bool is_for_v1(const struct tool_header *h)
{
    for (int o = TOOL_HEADER_SSL; o < TOOL_HEADER_OPTION_COUNT; o++)
        if (!excludes(h, o, TOOL_HEADER_V1, "a version 1 header has room for addresses only"))
            return false;
    return excludes(h, TOOL_HEADER_LOCAL, TOOL_HEADER_V1, "LOCAL is version 2; version 1 has --unknown");
}

static bool makes_sense(const struct tool_header *h)
{
    if (!has(h, TOOL_HEADER_FROM) && !has(h, TOOL_HEADER_LOCAL) && !has(h, TOOL_HEADER_UNKNOWN) &&
        !has(h, TOOL_HEADER_TO))
        return REFUSE(h, "who is the client? --from ADDR[:PORT], or --local or --unknown (try ppshim %s --help)",
                      h->verb);
    return excludes(h, TOOL_HEADER_V1, TOOL_HEADER_V2, "a header is one or the other") &&
           excludes(h, TOOL_HEADER_LOCAL, TOOL_HEADER_UNKNOWN, "a header is one or the other") &&
           excludes(h, TOOL_HEADER_FROM, TOOL_HEADER_LOCAL, "LOCAL names no client") &&
           excludes(h, TOOL_HEADER_FROM, TOOL_HEADER_UNKNOWN, "UNKNOWN names no client") &&
           needs(h, TOOL_HEADER_TO, TOOL_HEADER_FROM) && needs(h, TOOL_HEADER_CN, TOOL_HEADER_SSL) &&
           needs(h, TOOL_HEADER_SSL_VERSION, TOOL_HEADER_SSL) && needs(h, TOOL_HEADER_CIPHER, TOOL_HEADER_SSL) &&
           is_for_v1(h);
}

/* --- the addresses --- */

static bool read_endpoint(const struct tool_header *h, enum tool_header_option o, uint16_t port, struct pps_addr *out)
{
    return tool_endpoint_read(h->value[o], port, out) ||
           REFUSE(h,
                  "--%s %s: not an address, with a port or without: write 203.0.113.7, 203.0.113.7:4711 or "
                  "[2001:db8::7]:4711",
                  option_names[o], h->value[o]);
}

/* Without --to: an address for documentation, of the client's family. */
static void default_destination(const struct pps_addr *from, struct pps_addr *to)
{
    static const uint8_t v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};
    *to = pps_addr_is_v4(from) ? pps_addr_v4(v4, TO_PORT) : pps_addr_v6(v6, TO_PORT);
}

static bool read_endpoints(const struct tool_header *h, struct pps_addr *from, struct pps_addr *to)
{
    if (!read_endpoint(h, TOOL_HEADER_FROM, FROM_PORT, from))
        return false;
    default_destination(from, to);
    if (has(h, TOOL_HEADER_TO) && !read_endpoint(h, TOOL_HEADER_TO, TO_PORT, to))
        return false;
    if (has(h, TOOL_HEADER_V1) && pps_addr_is_v4(from) != pps_addr_is_v4(to))
        return REFUSE(h, "--from %s --to %s: both ends of a version 1 header are of one family",
                      h->value[TOOL_HEADER_FROM], h->value[TOOL_HEADER_TO]);
    return true;
}

/* --- the TLVs --- */

static struct pps_view view_of(const char *text)
{
    return (struct pps_view){(const uint8_t *)text, text ? strlen(text) : 0};
}

static void put_text(const struct tool_header *h, struct pps_builder *b, enum tool_header_option o, uint8_t type)
{
    if (has(h, o))
        pps_build_v2_tlv(b, type, h->value[o], strlen(h->value[o]));
}

static void put_ssl(const struct tool_header *h, struct pps_builder *b)
{
    bool certified = has(h, TOOL_HEADER_CN);
    struct pps_ssl ssl = {
        .client = 0x01 | (certified ? CERT_BITS : 0),
        .verify = certified ? 0 : 1, /* spec 2.2.6: zero is for a certificate that was verified */
        .version = view_of(has(h, TOOL_HEADER_SSL_VERSION) ? h->value[TOOL_HEADER_SSL_VERSION] : "TLSv1.3"),
        .cn = view_of(h->value[TOOL_HEADER_CN]),
        .cipher = view_of(h->value[TOOL_HEADER_CIPHER]),
    };
    if (has(h, TOOL_HEADER_SSL))
        pps_build_v2_ssl(b, &ssl);
}

static bool read_byte(const char *hex, uint8_t *out)
{
    const char *digits = "0123456789abcdefABCDEF";
    char pair[3] = {hex[0], hex[0] ? hex[1] : '\0', '\0'};
    *out = (uint8_t)strtoul(pair, NULL, 16);
    return strspn(pair, digits) == 2;
}

static bool put_tlv(const struct tool_header *h, struct pps_builder *b, const char *text)
{
    static uint8_t value[PPS_HEADER_MAX];
    char *end;
    unsigned long type = strtoul(text, &end, 0);
    size_t length = 0;
    if (*text < '0' || *text > '9' || *end != '=' || type > 255)
        return REFUSE(h, "--tlv %s: write TYPE=HEX, like 0xE0=0011aaff", text);
    if (type == PPS_TLV_CRC32C)
        return REFUSE(h, "--tlv %s: a checksum is made by --crc", text);
    for (const char *at = end + 1; *at; at += 2)
        if (length == sizeof value || !read_byte(at, &value[length++]))
            return REFUSE(h, "--tlv %s: behind = stand pairs of hex digits", text);
    pps_build_v2_tlv(b, (uint8_t)type, value, length);
    return true;
}

static bool put_tlvs(const struct tool_header *h, struct pps_builder *b)
{
    if (has(h, TOOL_HEADER_UNIQUE_ID) && strlen(h->value[TOOL_HEADER_UNIQUE_ID]) > UNIQUE_ID_MAX)
        return REFUSE(h, "--unique-id: %d bytes are the most", UNIQUE_ID_MAX);
    put_text(h, b, TOOL_HEADER_ALPN, PPS_TLV_ALPN);
    put_text(h, b, TOOL_HEADER_SNI, PPS_TLV_AUTHORITY);
    put_text(h, b, TOOL_HEADER_UNIQUE_ID, PPS_TLV_UNIQUE_ID);
    put_ssl(h, b);
    for (size_t i = 0; i < h->tlv_count; i++)
        if (!put_tlv(h, b, h->tlvs[i]))
            return false;
    return true;
}

/* --- the whole --- */

size_t tool_header_build(const struct tool_header *h, uint8_t *out, size_t size)
{
    struct pps_addr from, to;
    struct pps_builder b;
    if (!makes_sense(h) || (has(h, TOOL_HEADER_FROM) && !read_endpoints(h, &from, &to)))
        return 0;
    const struct pps_addr *src = has(h, TOOL_HEADER_FROM) ? &from : NULL;
    if (has(h, TOOL_HEADER_V1))
        return pps_header_build_v1(out, size, src, &to);
    pps_build_v2_begin(&b, out, size, has(h, TOOL_HEADER_LOCAL), src, &to);
    if (!put_tlvs(h, &b))
        return 0;
    size_t length = pps_build_v2_end(&b, has(h, TOOL_HEADER_CRC));
    if (length == 0)
        tool_fail(TOOL_USAGE, h->verb, "the header would be longer than %zu bytes", size);
    return length;
}
