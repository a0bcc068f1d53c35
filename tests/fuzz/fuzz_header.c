/* SPDX-License-Identifier: MIT
 *
 * fuzz_header.c: what header.h promises, for any bytes at all.
 *
 * Every question is asked of an allocation of exactly the bytes in question, so that AddressSanitizer sees one byte
 * read too far.
 */
#include "promise.h"
#include <errno.h>
#include <ppshim/header.h>
#include <ppshim/name.h>

struct answer {
    enum pps_verdict verdict;
    size_t need;
    enum pps_reason reason;
    struct pps_header header;
};

static struct answer ask_here(const uint8_t *bytes, size_t size)
{
    struct answer a = {0};

    errno = ENOTNAM;
    a.verdict = pps_header_parse(bytes, size, &a.header, &a.need, &a.reason);
    PROMISE(errno == ENOTNAM);
    if (a.verdict == PPS_HEADER_NEED)
        PROMISE(a.need > size && a.need <= PPS_HEADER_MAX);
    else if (a.verdict == PPS_HEADER_COMPLETE)
        PROMISE(a.header.length >= 15 && a.header.length <= size);
    else
        PROMISE(a.reason > PPS_REASON_NONE && a.reason <= PPS_REASON_V2_BAD_CRC);
    return a;
}

/* Of the first `size` bytes with one more, if it is not negative. */
static struct answer ask(const uint8_t *bytes, size_t size, int one_more)
{
    size_t all = size + (one_more >= 0);
    uint8_t *copy = malloc(all);
    struct answer a;

    PROMISE(copy || all == 0);
    if (size > 0)
        memcpy(copy, bytes, size);
    if (one_more >= 0)
        copy[size] = (uint8_t)one_more;
    a = ask_here(copy, all);
    free(copy);
    return a;
}

static bool same_addr(const struct pps_addr *a, const struct pps_addr *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->port == b->port;
}

static bool same_client(const struct pps_header *a, const struct pps_header *b)
{
    return a->has_client == b->has_client && same_addr(&a->src, &b->src) && same_addr(&a->dst, &b->dst);
}

static void prefix_keeps_its_promise(const uint8_t *bytes, size_t size, const struct answer *whole)
{
    struct answer a = ask(bytes, size, -1);

    if (whole->verdict == PPS_HEADER_COMPLETE && size >= whole->header.length) {
        PROMISE(a.verdict == PPS_HEADER_COMPLETE && a.header.length == whole->header.length);
        PROMISE(same_client(&a.header, &whole->header));
    } else if (whole->verdict == PPS_HEADER_COMPLETE) {
        PROMISE(a.verdict == PPS_HEADER_NEED && a.need <= whole->header.length);
    } else if (whole->verdict == PPS_HEADER_NEED) {
        PROMISE(a.verdict == PPS_HEADER_NEED && a.need <= whole->need);
    } else {
        PROMISE(a.verdict != PPS_HEADER_COMPLETE);
    }
}

/* All of them where a text line or a fixed part may end, some of the others. */
static void prefixes_keep_their_promises(const uint8_t *bytes, size_t size, const struct answer *whole)
{
    size_t step = size > 256 ? size / 32 : 1;

    for (size_t n = 0; n < size; n += n < 128 ? 1 : step)
        prefix_keeps_its_promise(bytes, n, whole);
    if (whole->verdict == PPS_HEADER_COMPLETE)
        prefix_keeps_its_promise(bytes, whole->header.length - 1, whole);
}

/* A line is refused as soon as no further byte could make it valid. */
static void v1_need_is_no_dead_end(const uint8_t *bytes, size_t size)
{
    for (int next = 0; next < 256; next++) {
        if (ask(bytes, size, next).verdict != PPS_HEADER_INVALID)
            return;
    }
    abort();
}

static void tlvs_are_well_formed(const struct pps_header *h, struct pps_builder *copy)
{
    struct pps_view rest = h->tlvs;
    struct pps_tlv tlv;
    struct pps_ssl ssl;

    while (pps_tlv_next(&rest, &tlv)) {
        PROMISE(tlv.value.at >= h->tlvs.at && tlv.value.at + tlv.value.length <= h->tlvs.at + h->tlvs.length);
        if (tlv.type == PPS_TLV_SSL && pps_ssl_decode(tlv.value, &ssl))
            PROMISE(!ssl.cn.at || ssl.cn.at + ssl.cn.length <= tlv.value.at + tlv.value.length);
        if (tlv.type != PPS_TLV_CRC32C)
            pps_build_v2_tlv(copy, tlv.type, tlv.value.at, tlv.value.length);
    }
    PROMISE(h->local || rest.length == 0);
}

static void facts_are_of_the_header(const struct pps_header *h)
{
    struct pps_facts facts;
    enum pps_fact_kind first = PPS_FACT_COUNT;

    pps_facts_read(h, &facts);
    for (enum pps_fact_kind kind = 0; kind < PPS_FACT_COUNT; kind++) {
        struct pps_view said = facts.of[kind].bytes;
        PROMISE(!said.at || (said.at >= h->tlvs.at && said.at + said.length <= h->tlvs.at + h->tlvs.length));
    }
    PROMISE(!(facts.of[PPS_FACT_CN].bytes.at && facts.of[PPS_FACT_CN_UNVERIFIED].bytes.at));
    if (pps_name_first(&facts, &first))
        PROMISE(pps_name_text(first, &facts.of[first]).length <= PPS_NAME_TEXT);
}

static void built_again_it_says_the_same(const struct pps_header *h)
{
    static uint8_t out[PPS_HEADER_MAX];
    const struct pps_addr *src = h->has_client ? &h->src : NULL, *dst = h->has_client ? &h->dst : NULL;
    struct pps_builder b;
    struct answer a;
    size_t length;

    pps_build_v2_begin(&b, out, sizeof out, h->local, src, dst);
    tlvs_are_well_formed(h, &b);
    length = pps_build_v2_end(&b, true);
    if (length > 0) { /* 0: no room for the checksum */
        a = ask(out, length, -1);
        PROMISE(a.verdict == PPS_HEADER_COMPLETE && a.header.length == length && a.header.local == h->local);
        PROMISE(same_client(&a.header, h));
    }
    length = pps_header_build_v1(out, sizeof out, src, dst);
    PROMISE((length == 0) == (src && pps_addr_is_v4(src) != pps_addr_is_v4(dst)));
    if (length > 0) {
        a = ask(out, length, -1);
        PROMISE(a.verdict == PPS_HEADER_COMPLETE && a.header.length == length);
        PROMISE(same_client(&a.header, h));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = exactly(data, size);
    struct answer whole;

    whole = ask_here(bytes, size);
    prefixes_keep_their_promises(bytes, size, &whole);
    if (whole.verdict == PPS_HEADER_COMPLETE)
        built_again_it_says_the_same(&whole.header);
    if (whole.verdict == PPS_HEADER_COMPLETE)
        facts_are_of_the_header(&whole.header);
    if (whole.verdict == PPS_HEADER_NEED && size > 0 && bytes[0] == 'P')
        v1_need_is_no_dead_end(bytes, size);
    free(bytes);
    return 0;
}
