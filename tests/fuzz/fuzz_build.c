/* SPDX-License-Identifier: MIT
 *
 * fuzz_build.c: whatever the builder builds, the parser reads, and finds in it what was put there.
 */
#include "promise.h"
#include <ppshim/header.h>

/* The fuzzer's bytes, one after the other; zeros behind the last. */
struct source {
    const uint8_t *at;
    size_t left;
};

static uint8_t byte(struct source *s)
{
    return s->left > 0 ? (s->left--, *s->at++) : 0;
}

static struct pps_addr address(struct source *s, bool v4)
{
    uint8_t ip[16];
    for (int i = 0; i < (v4 ? 4 : 16); i++)
        ip[i] = byte(s);
    uint16_t port = byte(s);
    port = (uint16_t)(port << 8 | byte(s));
    return v4 ? pps_addr_v4(ip, port) : pps_addr_v6(ip, port);
}

static bool same(const struct pps_addr *a, const struct pps_addr *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->port == b->port;
}

struct built {
    uint8_t bytes[PPS_HEADER_MAX + 4];
    size_t length;
};

static void is_read(const struct built *b, size_t behind, bool client, const struct pps_addr *src,
                    const struct pps_addr *dst, struct pps_header *h)
{
    size_t need;
    enum pps_reason reason;
    PROMISE(pps_header_parse(b->bytes, b->length + behind, h, &need, &reason) == PPS_HEADER_COMPLETE);
    PROMISE(h->length == b->length && h->has_client == client);
    PROMISE(!client || (same(&h->src, src) && same(&h->dst, dst)));
    for (size_t n = 0; n < b->length; n += 1 + n / 16) {
        PROMISE(pps_header_parse(b->bytes, n, h, &need, &reason) == PPS_HEADER_NEED && need <= b->length);
    }
    PROMISE(pps_header_parse(b->bytes, b->length, h, &need, &reason) == PPS_HEADER_COMPLETE);
}

static void v1(struct source *s, bool client, bool v4, struct built *b)
{
    struct pps_header h;
    struct pps_addr src = address(s, v4), dst = address(s, v4);
    bool one_kind = pps_addr_is_v4(&src) == pps_addr_is_v4(&dst);
    b->length = pps_header_build_v1(b->bytes, sizeof b->bytes, client ? &src : NULL, client ? &dst : NULL);
    PROMISE((b->length > 0) == (!client || one_kind));
    if (b->length > 0)
        is_read(b, 4, client, &src, &dst, &h);
}

static void v2(struct source *s, bool client, bool v4, struct built *b)
{
    struct pps_addr src = address(s, v4), dst = address(s, byte(s) & 1);
    struct pps_builder builder;
    struct pps_header h;
    struct pps_tlv tlv;
    struct source tlvs;
    bool local = byte(s) & 1, crc = byte(s) & 1;
    size_t put = 0;
    pps_build_v2_begin(&builder, b->bytes, PPS_HEADER_MAX, local && !client, client ? &src : NULL,
                       client ? &dst : NULL);
    tlvs = *s;
    while (s->left > 2) {
        uint8_t type = byte(s);
        size_t length = byte(s);
        length = length < s->left ? length : s->left;
        if (type == PPS_TLV_CRC32C) /* the builder's own affair */
            type = PPS_TLV_NOOP;
        pps_build_v2_tlv(&builder, type, s->at, length);
        s->at += length;
        s->left -= length;
        put++;
    }
    b->length = pps_build_v2_end(&builder, crc);
    if (b->length == 0)
        return;
    is_read(b, 4, client, &src, &dst, &h);
    PROMISE(h.version == 2 && h.local == (local && !client));
    for (size_t i = 0; i < put; i++) {
        uint8_t type = byte(&tlvs);
        size_t length = byte(&tlvs);
        length = length < tlvs.left ? length : tlvs.left;
        PROMISE(pps_tlv_next(&h.tlvs, &tlv) && tlv.type == (type == PPS_TLV_CRC32C ? PPS_TLV_NOOP : type));
        PROMISE(tlv.value.length == length && (length == 0 || memcmp(tlv.value.at, tlvs.at, length) == 0));
        tlvs.at += length;
        tlvs.left -= length;
    }
    PROMISE(pps_tlv_next(&h.tlvs, &tlv) == crc && h.tlvs.length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct built b;
    struct source s = {data, size};
    uint8_t how = byte(&s);
    memset(b.bytes, 0x55, sizeof b.bytes);
    (how & 1 ? v1 : v2)(&s, how & 2, how & 4, &b);
    return 0;
}
