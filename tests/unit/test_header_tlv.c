/* SPDX-License-Identifier: MIT
 *
 * test_header_tlv.c: TLVs one by one, the SSL TLV, and the checksum.
 */
#include "guard_page.h"
#include "judge.h"
#include "suites.h"
#include <string.h>

#define FIXED_TCP4 "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\0\xcb\x00\x71\x07\xc6\x33\x64\x09\x12\x67\x0c\xea"
#define FIXED_TCP4_LENGTH 28

/* A TCP4 header with these TLVs. */
static struct answer judge_tlvs(const void *tlvs, size_t length)
{
    uint8_t bytes[512];

    memcpy(bytes, FIXED_TCP4, FIXED_TCP4_LENGTH);
    memcpy(bytes + FIXED_TCP4_LENGTH, tlvs, length);
    bytes[14] = (uint8_t)((12 + length) >> 8);
    bytes[15] = (uint8_t)(12 + length);
    return judge(bytes, FIXED_TCP4_LENGTH + length);
}

START_TEST(tlvs_cut_anywhere_but_between_two_are_refused)
{
    static const char tlvs[] = "\x01\x00\x02h2\x04\x00\x00\x05\x00\x04id-1\xea\x00\x01\x01\x30\x00\x03net";
    static const size_t boundaries[] = {0, 5, 8, 15, 19, 25};

    ck_assert_uint_eq(sizeof tlvs - 1, 25);
    for (size_t cut = 0, b = 0; cut <= 25; cut++) {
        struct answer a = judge_tlvs(tlvs, cut);
        if (cut == boundaries[b]) {
            ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
            b++;
        } else {
            ck_assert_int_eq(a.verdict, PPS_HEADER_INVALID);
            ck_assert_int_eq(a.reason, PPS_REASON_V2_TLV_OVERRUN);
        }
    }
}
END_TEST

START_TEST(tlv_next_takes_them_in_order)
{
    const uint8_t *at = guard_copy("\x01\x00\x02h2\x04\x00\x00\xea\x00\x01\x07", 12);
    struct pps_view rest = {at, 12};
    struct pps_tlv tlv;

    ck_assert(pps_tlv_next(&rest, &tlv));
    ck_assert_uint_eq(tlv.type, PPS_TLV_ALPN);
    ck_assert_uint_eq(tlv.value.length, 2);
    ck_assert_ptr_eq(tlv.value.at, at + 3);
    ck_assert(pps_tlv_next(&rest, &tlv));
    ck_assert_uint_eq(tlv.type, PPS_TLV_NOOP);
    ck_assert_uint_eq(tlv.value.length, 0);
    ck_assert(pps_tlv_next(&rest, &tlv));
    ck_assert_uint_eq(tlv.type, PPS_TLV_AWS);
    ck_assert_ptr_eq(tlv.value.at, at + 11);
    ck_assert_uint_eq(rest.length, 0);
    ck_assert(!pps_tlv_next(&rest, &tlv));
    ck_assert_uint_eq(rest.length, 0);
}
END_TEST

START_TEST(tlv_next_leaves_what_is_no_tlv)
{
    for (size_t length = 1; length < 6; length++) {
        struct pps_view rest = {guard_copy("\x05\x00\x03"
                                           "abc",
                                           length),
                                length};
        struct pps_tlv tlv = {.type = 99};
        ck_assert(!pps_tlv_next(&rest, &tlv));
        ck_assert_uint_eq(rest.length, length);
        ck_assert_uint_eq(tlv.type, 99);
    }
}
END_TEST

START_TEST(tlv_next_takes_the_longest_value)
{
    uint8_t *at = guard_page() - 65538;
    struct pps_view rest = {at, 65538};
    struct pps_tlv tlv;

    memcpy(at, "\x05\xff\xff", 3);
    ck_assert(pps_tlv_next(&rest, &tlv));
    ck_assert_uint_eq(tlv.value.length, 65535);
    ck_assert_uint_eq(rest.length, 0);
}
END_TEST

static void check_view(struct pps_view view, const char *wanted)
{
    ck_assert_ptr_nonnull(view.at);
    ck_assert_uint_eq(view.length, strlen(wanted));
    ck_assert_mem_eq(view.at, wanted, view.length);
}

static struct pps_view guarded(const char *bytes, size_t length)
{
    return (struct pps_view){guard_copy(bytes, length), length};
}

#define SSL_ALL                                                                                                        \
    "\x07\x00\x00\x00\x12"                                                                                             \
    "\x21\x00\x07TLSv1.3"                                                                                              \
    "\x22\x00\x02me"                                                                                                   \
    "\x23\x00\x06"                                                                                                     \
    "cipher"                                                                                                           \
    "\x24\x00\x06SHA256"                                                                                               \
    "\x25\x00\x07RSA2048"                                                                                              \
    "\x26\x00\x06X25519"                                                                                               \
    "\x27\x00\x03rsa"                                                                                                  \
    "\x28\x00\x04"                                                                                                     \
    "cert"

START_TEST(ssl_fields_are_decoded)
{
    struct pps_ssl ssl;

    ck_assert(pps_ssl_decode(guarded(SSL_ALL, sizeof SSL_ALL - 1), &ssl));
    ck_assert_uint_eq(ssl.client, 7);
    ck_assert_uint_eq(ssl.verify, 0x12);
    check_view(ssl.version, "TLSv1.3");
    check_view(ssl.cn, "me");
    check_view(ssl.cipher, "cipher");
    check_view(ssl.sig_alg, "SHA256");
    check_view(ssl.key_alg, "RSA2048");
    check_view(ssl.group, "X25519");
    check_view(ssl.sig_scheme, "rsa");
    check_view(ssl.client_cert, "cert");
}
END_TEST

START_TEST(ssl_verify_is_big_endian)
{
    struct pps_ssl ssl;

    ck_assert(pps_ssl_decode(guarded("\x01\x89\xab\xcd\xef", 5), &ssl));
    ck_assert_uint_eq(ssl.client, 1);
    ck_assert_uint_eq(ssl.verify, 0x89abcdef);
}
END_TEST

START_TEST(ssl_absent_field_is_null_and_an_empty_one_is_not)
{
    struct pps_ssl ssl;

    ck_assert(pps_ssl_decode(guarded("\x01\0\0\0\0\x22\0\0", 8), &ssl));
    ck_assert_ptr_null(ssl.version.at);
    ck_assert_ptr_null(ssl.client_cert.at);
    ck_assert_ptr_nonnull(ssl.cn.at);
    ck_assert_uint_eq(ssl.cn.length, 0);
}
END_TEST

START_TEST(ssl_first_of_a_repeated_field_counts)
{
    struct pps_ssl ssl;

    ck_assert(pps_ssl_decode(guarded("\x01\0\0\0\0\x22\0\0\x22\0\x01x\x21\0\x01y", 16), &ssl));
    ck_assert_uint_eq(ssl.cn.length, 0);
    check_view(ssl.version, "y");
}
END_TEST

START_TEST(ssl_unknown_field_is_skipped)
{
    struct pps_ssl ssl;

    ck_assert(pps_ssl_decode(guarded("\x01\0\0\0\0\x2f\0\x02zz\x22\0\x01x", 14), &ssl));
    check_view(ssl.cn, "x");
}
END_TEST

START_TEST(ssl_cut_anywhere_but_between_two_fields_is_refused)
{
    static const size_t boundaries[] = {5, 15, 20, 29, 38, 48, 57, 63, 70};

    ck_assert_uint_eq(sizeof SSL_ALL - 1, 70);
    for (size_t cut = 0, b = 0; cut <= 70; cut++) {
        struct pps_ssl ssl = {.client = 99};
        bool right = pps_ssl_decode(guarded(SSL_ALL, cut), &ssl);
        ck_assert_int_eq(right, cut == boundaries[b]);
        ck_assert_uint_eq(ssl.client, right ? 7 : 99);
        b += right;
    }
}
END_TEST

/* RFC 3720 appendix B.4, and the check value of the CRC catalogues. */
START_TEST(crc32c_known_answers)
{
    static const uint8_t read_command[48] = {
        [0] = 0x01, [1] = 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    uint8_t bytes[32] = {0};

    ck_assert_uint_eq(pps_crc32c(0, "", 0), 0);
    ck_assert_uint_eq(pps_crc32c(0, "123456789", 9), 0xe3069283);
    ck_assert_uint_eq(pps_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    ck_assert_uint_eq(pps_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    ck_assert_uint_eq(pps_crc32c(0, bytes, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    ck_assert_uint_eq(pps_crc32c(0, bytes, 32), 0x113fdb5c);
    ck_assert_uint_eq(pps_crc32c(0, read_command, 48), 0xd9963a56);
}
END_TEST

START_TEST(crc32c_of_pieces_is_that_of_the_whole)
{
    static const char text[] = "the quick brown fox jumps over the lazy dog";
    uint32_t whole = pps_crc32c(0, text, sizeof text);

    for (size_t cut = 0; cut <= sizeof text; cut++)
        ck_assert_uint_eq(pps_crc32c(pps_crc32c(0, text, cut), text + cut, sizeof text - cut), whole);
}
END_TEST

/* Every bit but those that say whether there is a checksum to look at: the command's lowest (it makes the header
   LOCAL), the family's (it makes it UNSPEC, whose block may be anything), and the type of the TLV. */
START_TEST(crc_notices_every_flipped_bit)
{
    static const char crc[] = "\x03\x00\x04\xdb\xc5\x82\xad";
    enum { SIZE = FIXED_TCP4_LENGTH + 7 };
    uint8_t bytes[SIZE];

    for (size_t bit = 0; bit < 8 * SIZE; bit++) {
        struct answer a;
        memcpy(bytes, FIXED_TCP4, FIXED_TCP4_LENGTH);
        memcpy(bytes + FIXED_TCP4_LENGTH, crc, 7);
        bytes[15] = 0x13;
        ck_assert_int_eq(judge(bytes, SIZE).verdict, PPS_HEADER_COMPLETE);
        if (bit == 8 * 12 || bit == 8 * 13 + 4 || bit / 8 == FIXED_TCP4_LENGTH)
            continue;
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        a = judge(bytes, SIZE);
        ck_assert_msg(a.verdict != PPS_HEADER_COMPLETE, "bit %zu", bit);
        if (bit / 8 >= PPS_V2_FIXED)
            ck_assert_msg(a.reason == PPS_REASON_V2_BAD_CRC || a.reason == PPS_REASON_V2_TLV_OVERRUN, "bit %zu", bit);
    }
}
END_TEST

Suite *suite_header_tlv(void)
{
    Suite *s = suite_create("header_tlv");
    TCase *t = tcase_create("tlv");

    tcase_add_test(t, tlvs_cut_anywhere_but_between_two_are_refused);
    tcase_add_test(t, tlv_next_takes_them_in_order);
    tcase_add_test(t, tlv_next_leaves_what_is_no_tlv);
    tcase_add_test(t, tlv_next_takes_the_longest_value);
    tcase_add_test(t, ssl_fields_are_decoded);
    tcase_add_test(t, ssl_verify_is_big_endian);
    tcase_add_test(t, ssl_absent_field_is_null_and_an_empty_one_is_not);
    tcase_add_test(t, ssl_first_of_a_repeated_field_counts);
    tcase_add_test(t, ssl_unknown_field_is_skipped);
    tcase_add_test(t, ssl_cut_anywhere_but_between_two_fields_is_refused);
    tcase_add_test(t, crc32c_known_answers);
    tcase_add_test(t, crc32c_of_pieces_is_that_of_the_whole);
    tcase_add_test(t, crc_notices_every_flipped_bit);
    suite_add_tcase(s, t);
    return s;
}
