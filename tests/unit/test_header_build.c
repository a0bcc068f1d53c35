/* SPDX-License-Identifier: MIT
 *
 * test_header_build.c: what the builder writes is what the parser reads, and never passes the end of its buffer.
 */
#include "guard_page.h"
#include "judge.h"
#include "suites.h"
#include <arpa/inet.h>
#include <string.h>

static struct pps_addr v4(const char *ip, uint16_t port)
{
    uint8_t bytes[4];

    ck_assert_int_eq(inet_pton(AF_INET, ip, bytes), 1);
    return pps_addr_v4(bytes, port);
}

static struct pps_addr v6(const char *ip, uint16_t port)
{
    uint8_t bytes[16];

    ck_assert_int_eq(inet_pton(AF_INET6, ip, bytes), 1);
    return pps_addr_v6(bytes, port);
}

/* A buffer of `size` bytes that ends at the guard page. */
static uint8_t *room(size_t size)
{
    memset(guard_page() - GUARD_ROOM, 0xa5, GUARD_ROOM);
    return guard_page() - size;
}

static void check_endpoints(const struct pps_header *h, const struct pps_addr *src, const struct pps_addr *dst)
{
    ck_assert(h->has_client && !h->local);
    ck_assert_mem_eq(h->src.ip, src->ip, 16);
    ck_assert_mem_eq(h->dst.ip, dst->ip, 16);
    ck_assert_uint_eq(h->src.port, src->port);
    ck_assert_uint_eq(h->dst.port, dst->port);
}

static void check_v1_line(const struct pps_addr *src, const struct pps_addr *dst, const char *wanted)
{
    size_t length = strlen(wanted);
    uint8_t *out = room(length);

    ck_assert_uint_eq(pps_header_build_v1(out, length, src, dst), length);
    ck_assert_mem_eq(out, wanted, length);
    ck_assert_int_eq(judge_here(out, length).verdict, PPS_HEADER_COMPLETE);
    for (size_t size = 0; size < length; size++) {
        out = room(size);
        ck_assert_uint_eq(pps_header_build_v1(out, size, src, dst), 0);
    }
}

START_TEST(v1_lines_are_as_the_spec_writes_them)
{
    struct pps_addr a = v4("203.0.113.7", 4711), b = v4("198.51.100.9", 3306);
    struct pps_addr c = v6("2001:db8::7", 4711), d = v6("2001:db8::9", 0);
    struct pps_addr most = v4("255.255.255.255", 65535), most6 = v6("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535);

    check_v1_line(&a, &b, "PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n");
    check_v1_line(&c, &d, "PROXY TCP6 2001:db8::7 2001:db8::9 4711 0\r\n");
    check_v1_line(NULL, NULL, "PROXY UNKNOWN\r\n");
    check_v1_line(&most, &most, "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n");
    check_v1_line(&most6, &most6,
                  "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
                  "65535\r\n");
}
END_TEST

START_TEST(v1_endpoints_of_two_families_are_refused)
{
    struct pps_addr a = v4("203.0.113.7", 1), b = v6("2001:db8::9", 2);
    uint8_t *out = room(PPS_V1_MAX);

    ck_assert_uint_eq(pps_header_build_v1(out, PPS_V1_MAX, &a, &b), 0);
    ck_assert_uint_eq(pps_header_build_v1(out, PPS_V1_MAX, &b, &a), 0);
}
END_TEST

static size_t build_v2(uint8_t *out, size_t size, bool local, const struct pps_addr *src, const struct pps_addr *dst)
{
    struct pps_builder b;

    pps_build_v2_begin(&b, out, size, local, src, dst);
    return pps_build_v2_end(&b, false);
}

START_TEST(v2_bytes_are_as_the_spec_writes_them)
{
    static const char wanted[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc6\x33\x64\x09\x12\x67\x0c\xea";
    struct pps_addr a = v4("203.0.113.7", 4711), b = v4("198.51.100.9", 3306);
    uint8_t *out = room(28);

    ck_assert_uint_eq(build_v2(out, 28, false, &a, &b), 28);
    ck_assert_mem_eq(out, wanted, 28);
}
END_TEST

START_TEST(v2_endpoints_are_read_back)
{
    struct pps_addr ends[] = {v4("203.0.113.7", 0), v4("198.51.100.9", 65535), v6("2001:db8::7", 4711),
                              v6("ffff::1", 3306)};

    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            uint8_t *out = room(52);
            size_t length = build_v2(out, 52, false, &ends[i], &ends[j]);
            struct answer a = judge(out, length);
            ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
            ck_assert_uint_eq(length, i < 2 && j < 2 ? 28 : 52);
            check_endpoints(&a.header, &ends[i], &ends[j]);
        }
    }
}
END_TEST

START_TEST(v2_without_a_client_is_unspec_or_local)
{
    for (int local = 0; local < 2; local++) {
        uint8_t *out = room(16);
        struct answer a;
        ck_assert_uint_eq(build_v2(out, 16, local, NULL, NULL), 16);
        ck_assert_uint_eq(out[13], PPS_FAM_UNSPEC);
        a = judge_here(out, 16);
        ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
        ck_assert_int_eq(a.header.local, local);
        ck_assert(!a.header.has_client);
    }
}
END_TEST

START_TEST(v2_local_may_carry_addresses)
{
    struct pps_addr a = v4("203.0.113.7", 4711), b = v4("198.51.100.9", 3306);
    uint8_t *out = room(28);

    ck_assert_uint_eq(build_v2(out, 28, true, &a, &b), 28);
    ck_assert_uint_eq(out[12], 0x20);
    ck_assert_uint_eq(out[13], PPS_FAM_TCP4);
    ck_assert(judge_here(out, 28).header.local);
}
END_TEST

static struct pps_view view(const char *text)
{
    return (struct pps_view){(const uint8_t *)text, strlen(text)};
}

static bool same_view(struct pps_view a, struct pps_view b)
{
    return (a.at == NULL) == (b.at == NULL) && a.length == b.length && (!a.at || memcmp(a.at, b.at, a.length) == 0);
}

/* Everything at once: address block, TLVs, SSL with an empty and an absent field, checksum. 126 bytes. */
static size_t build_full(uint8_t *out, size_t size, const struct pps_ssl *ssl)
{
    struct pps_addr src = v4("203.0.113.7", 4711), dst = v4("198.51.100.9", 3306);
    struct pps_builder b;

    pps_build_v2_begin(&b, out, size, false, &src, &dst);
    pps_build_v2_tlv(&b, PPS_TLV_ALPN, "h2", 2);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, NULL, 0);
    pps_build_v2_ssl(&b, ssl);
    pps_build_v2_tlv(&b, PPS_TLV_UNIQUE_ID, "id-1", 4);
    return pps_build_v2_end(&b, true);
}

static struct pps_ssl full_ssl(void)
{
    return (struct pps_ssl){
        .client = 7,
        .verify = 0x89abcdef,
        .version = view("TLSv1.3"),
        .cn = view(""),
        .cipher = view("TLS_AES_256_GCM_SHA384"),
        .sig_alg = view("SHA256"),
        .key_alg = view("RSA2048"),
        .group = view("X25519"),
        .sig_scheme = view("rsa_pss_rsae_sha256"),
    };
}

START_TEST(v2_tlvs_are_read_back)
{
    static const uint8_t types[] = {PPS_TLV_ALPN, PPS_TLV_NOOP, PPS_TLV_SSL, PPS_TLV_UNIQUE_ID, PPS_TLV_CRC32C};
    static const size_t lengths[] = {2, 0, 93, 4, 4};
    struct pps_ssl sent = full_ssl(), got = {0};
    uint8_t *out = room(512);
    size_t length = build_full(out, 512, &sent);
    struct answer a = judge(out, length);
    struct pps_tlv tlv;

    ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
    ck_assert_uint_eq(a.header.length, length);
    for (int i = 0; i < 5; i++) {
        ck_assert(pps_tlv_next(&a.header.tlvs, &tlv));
        ck_assert_uint_eq(tlv.type, types[i]);
        ck_assert_uint_eq(tlv.value.length, lengths[i]);
        if (tlv.type == PPS_TLV_SSL)
            ck_assert(pps_ssl_decode(tlv.value, &got));
    }
    ck_assert_uint_eq(a.header.tlvs.length, 0);
    ck_assert(got.client == sent.client && got.verify == sent.verify);
    ck_assert(same_view(got.version, sent.version) && same_view(got.cn, sent.cn));
    ck_assert(same_view(got.cipher, sent.cipher) && same_view(got.sig_alg, sent.sig_alg));
    ck_assert(same_view(got.key_alg, sent.key_alg) && same_view(got.group, sent.group));
    ck_assert(same_view(got.sig_scheme, sent.sig_scheme) && same_view(got.client_cert, sent.client_cert));
}
END_TEST

START_TEST(v2_every_buffer_too_small_is_refused)
{
    struct pps_ssl ssl = full_ssl();
    size_t length = build_full(room(512), 512, &ssl);

    ck_assert_uint_eq(length, 28 + 5 + 3 + 96 + 7 + 7);
    for (size_t size = 0; size < length; size++) {
        uint8_t *out = room(size);
        ck_assert_uint_eq(build_full(out, size, &ssl), 0);
        ck_assert_uint_eq(out[-1], 0xa5);
    }
    ck_assert_uint_eq(build_full(room(length), length, &ssl), length);
}
END_TEST

START_TEST(v2_largest_header_is_built_and_one_byte_more_is_not)
{
    static const uint8_t zeros[65536];
    uint8_t *out = room(PPS_HEADER_MAX + 1);
    struct pps_builder b;

    pps_build_v2_begin(&b, out, PPS_HEADER_MAX + 1, false, NULL, NULL);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, zeros, 65532);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), PPS_HEADER_MAX);
    ck_assert_int_eq(judge(out, PPS_HEADER_MAX).verdict, PPS_HEADER_COMPLETE);

    pps_build_v2_begin(&b, out, PPS_HEADER_MAX + 1, false, NULL, NULL);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, zeros, 65533);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), 0);

    pps_build_v2_begin(&b, out, PPS_HEADER_MAX + 1, false, NULL, NULL);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, zeros, 65536);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), 0);
}
END_TEST

START_TEST(v2_largest_checksum_holds)
{
    static uint8_t noise[65525];
    uint8_t *out = room(PPS_HEADER_MAX);
    struct pps_builder b;

    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)(i * i >> 3);
    pps_build_v2_begin(&b, out, PPS_HEADER_MAX, false, NULL, NULL);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, noise, sizeof noise);
    ck_assert_uint_eq(pps_build_v2_end(&b, true), PPS_HEADER_MAX);
    ck_assert_int_eq(judge_here(out, PPS_HEADER_MAX).verdict, PPS_HEADER_COMPLETE);
    out[40000] ^= 1;
    ck_assert_int_eq(judge_here(out, PPS_HEADER_MAX).reason, PPS_REASON_V2_BAD_CRC);
}
END_TEST

START_TEST(v2_failure_is_sticky)
{
    uint8_t *out = room(24);
    struct pps_builder b;

    pps_build_v2_begin(&b, out, 24, false, NULL, NULL);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, "too long", 8);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, NULL, 0);
    ck_assert(b.failed);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), 0);
}
END_TEST

START_TEST(v2_nothing_may_follow_the_end)
{
    uint8_t *out = room(64);
    struct pps_builder b;

    pps_build_v2_begin(&b, out, 64, false, NULL, NULL);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), 16);
    pps_build_v2_tlv(&b, PPS_TLV_NOOP, NULL, 0);
    ck_assert(b.failed);
    ck_assert_uint_eq(out[16], 0xa5);
    ck_assert_uint_eq(pps_build_v2_end(&b, false), 0);
}
END_TEST

Suite *suite_header_build(void)
{
    Suite *s = suite_create("header_build");
    TCase *t = tcase_create("build");

    tcase_add_test(t, v1_lines_are_as_the_spec_writes_them);
    tcase_add_test(t, v1_endpoints_of_two_families_are_refused);
    tcase_add_test(t, v2_bytes_are_as_the_spec_writes_them);
    tcase_add_test(t, v2_endpoints_are_read_back);
    tcase_add_test(t, v2_without_a_client_is_unspec_or_local);
    tcase_add_test(t, v2_local_may_carry_addresses);
    tcase_add_test(t, v2_tlvs_are_read_back);
    tcase_add_test(t, v2_every_buffer_too_small_is_refused);
    tcase_add_test(t, v2_largest_header_is_built_and_one_byte_more_is_not);
    tcase_add_test(t, v2_largest_checksum_holds);
    tcase_add_test(t, v2_failure_is_sticky);
    tcase_add_test(t, v2_nothing_may_follow_the_end);
    suite_add_tcase(s, t);
    return s;
}
