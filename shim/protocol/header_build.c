/* SPDX-License-Identifier: MIT
 *
 * header_build.c: headers for the client library, tests and benchmarks. Owns the sender's side of spec 2.
 *
 * Must never write past out + size, nor judge what the caller says: tests build wrong headers with it.
 */
#include "header_internal.h"
#include <string.h>

static uint8_t *put(uint8_t *p, const void *bytes, size_t length)
{
    memcpy(p, bytes, length);
    return p + length;
}

/* An endpoint's text taken apart again, so that addr.c alone writes addresses. */
struct endpoint {
    char text[PPS_ADDR_TEXT];
    const char *ip, *port;
    size_t ip_length;
};

static void split(struct endpoint *e, const struct pps_addr *a)
{
    bool v4 = pps_addr_is_v4(a);

    pps_addr_text(a, e->text);
    e->ip = v4 ? e->text : e->text + strlen("[");
    e->ip_length = strcspn(e->ip, v4 ? ":" : "]");
    e->port = e->ip + e->ip_length + strlen(v4 ? ":" : "]:");
}

static size_t put_v1_line(uint8_t *line, const struct pps_addr *src, const struct pps_addr *dst)
{
    struct endpoint s, d;
    uint8_t *p = line;

    split(&s, src);
    split(&d, dst);
    p = put(p, pps_addr_is_v4(src) ? "PROXY TCP4 " : "PROXY TCP6 ", 11);
    p = put(p, s.ip, s.ip_length);
    *p++ = ' ';
    p = put(p, d.ip, d.ip_length);
    *p++ = ' ';
    p = put(p, s.port, strlen(s.port));
    *p++ = ' ';
    p = put(p, d.port, strlen(d.port));
    p = put(p, "\r\n", 2);
    return (size_t)(p - line);
}

size_t pps_header_build_v1(uint8_t *out, size_t size, const struct pps_addr *src, const struct pps_addr *dst)
{
    static const char unknown[] = "PROXY UNKNOWN\r\n";
    uint8_t line[PPS_V1_MAX];
    size_t length = sizeof unknown - 1;

    if (!src) {
        memcpy(line, unknown, length);
    } else {
        if (!dst || pps_addr_is_v4(src) != pps_addr_is_v4(dst))
            return 0;
        length = put_v1_line(line, src, dst);
    }
    if (length > size)
        return 0;
    memcpy(out, line, length);
    return length;
}

/* The next `length` bytes to write to, or NULL when they would not fit the buffer or the header's length field. */
static uint8_t *extend(struct pps_builder *b, size_t length)
{
    size_t limit = b->size < PPS_HEADER_MAX ? b->size : PPS_HEADER_MAX;
    uint8_t *p = b->out + b->length;

    if (b->failed || length > limit - b->length) {
        b->failed = true;
        return NULL;
    }
    b->length += length;
    return p;
}

static void append(struct pps_builder *b, const void *bytes, size_t length)
{
    uint8_t *p = extend(b, length);

    if (p && length > 0)
        memcpy(p, bytes, length);
}

static void append_u16(struct pps_builder *b, uint16_t value)
{
    uint8_t *p = extend(b, 2);

    if (p)
        pps_put_u16(p, value);
}

void pps_build_v2_begin(struct pps_builder *b, uint8_t *out, size_t size, bool local, const struct pps_addr *src,
                        const struct pps_addr *dst)
{
    bool v4 = src && pps_addr_is_v4(src) && pps_addr_is_v4(dst);
    size_t skip = v4 ? 12 : 0; /* of the mapped form */
    uint8_t family = !src ? PPS_FAM_UNSPEC : v4 ? PPS_FAM_TCP4 : PPS_FAM_TCP6;
    uint8_t command = local ? 0x20 : 0x21;

    *b = (struct pps_builder){.out = out, .size = size};
    append(b, PPS_V2_SIGNATURE, PPS_V2_SIGNATURE_LENGTH);
    append(b, &command, 1);
    append(b, &family, 1);
    append_u16(b, 0); /* the length: known at the end */
    if (!src)
        return;
    append(b, src->ip + skip, 16 - skip);
    append(b, dst->ip + skip, 16 - skip);
    append_u16(b, src->port);
    append_u16(b, dst->port);
}

void pps_build_v2_tlv(struct pps_builder *b, uint8_t type, const void *value, size_t length)
{
    append(b, &type, 1);
    append_u16(b, (uint16_t)length); /* a longer value does not fit the header and fails below */
    append(b, value, length);
}

static void append_view(struct pps_builder *b, uint8_t type, struct pps_view view)
{
    if (view.at)
        pps_build_v2_tlv(b, type, view.at, view.length);
}

void pps_build_v2_ssl(struct pps_builder *b, const struct pps_ssl *ssl)
{
    size_t start = b->length;
    uint8_t fixed[5] = {ssl->client};

    pps_put_u32(fixed + 1, ssl->verify);
    pps_build_v2_tlv(b, PPS_TLV_SSL, fixed, sizeof fixed);
    append_view(b, PPS_TLV_SSL_VERSION, ssl->version);
    append_view(b, PPS_TLV_SSL_CN, ssl->cn);
    append_view(b, PPS_TLV_SSL_CIPHER, ssl->cipher);
    append_view(b, PPS_TLV_SSL_SIG_ALG, ssl->sig_alg);
    append_view(b, PPS_TLV_SSL_KEY_ALG, ssl->key_alg);
    append_view(b, PPS_TLV_SSL_GROUP, ssl->group);
    append_view(b, PPS_TLV_SSL_SIG_SCHEME, ssl->sig_scheme);
    append_view(b, PPS_TLV_SSL_CLIENT_CERT, ssl->client_cert);
    if (!b->failed)
        pps_put_u16(b->out + start + 1, (uint16_t)(b->length - start - 3));
}

size_t pps_build_v2_end(struct pps_builder *b, bool crc)
{
    static const uint8_t zeros[4];

    if (crc)
        pps_build_v2_tlv(b, PPS_TLV_CRC32C, zeros, sizeof zeros);
    if (b->failed || b->length < PPS_V2_FIXED) {
        b->failed = true;
        return 0;
    }
    pps_put_u16(b->out + 14, (uint16_t)(b->length - PPS_V2_FIXED));
    if (crc)
        pps_put_u32(b->out + b->length - 4, pps_crc32c(0, b->out, b->length));
    b->size = b->length; /* whatever is added after the end fails */
    return b->length;
}
