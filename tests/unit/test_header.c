/* SPDX-License-Identifier: MIT
 *
 * test_header.c: every vector is judged as it says, whole, in pieces and with data behind it; and what holds for all
 * bytes of the fixed part. TLVs have test_header_tlv.c.
 */
#include "guard_page.h"
#include "judge.h"
#include "suites.h"
#include "vectors.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_endpoint(const struct vector *v, const struct pps_addr *got, const char *wanted)
{
    char text[PPS_ADDR_TEXT];

    ck_assert_msg(strcmp(pps_addr_text(got, text), wanted) == 0, "%s: %s instead of %s", v->name, text, wanted);
}

static void check_complete(const struct vector *v, const struct pps_header *h, const uint8_t *bytes)
{
    ck_assert_msg(h->length == v->decided, "%s: %zu bytes instead of %zu", v->name, h->length, v->decided);
    ck_assert_msg(h->version == v->version, "%s: version %d", v->name, h->version);
    ck_assert_msg(h->local == v->local, "%s: local %d", v->name, h->local);
    ck_assert_msg(h->has_client == (v->src != NULL), "%s: has_client %d", v->name, h->has_client);
    ck_assert_msg(h->tlvs.length == v->tlvs, "%s: %zu bytes of TLVs", v->name, h->tlvs.length);
    if (v->src) {
        check_endpoint(v, &h->src, v->src);
        check_endpoint(v, &h->dst, v->dst);
    }
    if (v->version == 2)
        ck_assert_msg(h->tlvs.at + h->tlvs.length == bytes + h->length, "%s: TLVs elsewhere", v->name);
}

START_TEST(vector_is_judged_as_it_says)
{
    const struct vector *v = &vectors[_i];
    uint8_t *bytes = guard_copy(v->bytes, v->size);
    struct answer a = judge_here(bytes, v->size);

    ck_assert_msg(a.verdict == v->verdict, "%s: verdict %d", v->name, a.verdict);
    if (v->verdict == PPS_HEADER_COMPLETE)
        check_complete(v, &a.header, bytes);
    else
        ck_assert_msg(a.reason == v->reason, "%s: %s", v->name, pps_reason_word(a.reason));
}
END_TEST

/* What header.h says `need` is, from the vector rather than from its bytes. */
static size_t documented_need(const struct vector *v, size_t have)
{
    if (have == 0)
        return 1;
    if (v->bytes[0] == 'P')
        return have + 1;
    return have < PPS_V2_FIXED ? PPS_V2_FIXED : v->decided;
}

START_TEST(prefix_is_undecided_until_the_deciding_byte)
{
    const struct vector *v = &vectors[_i];

    for (size_t have = 0; have < v->decided; have++) {
        struct answer a = judge(v->bytes, have);
        ck_assert_msg(a.verdict == PPS_HEADER_NEED, "%s: %d after %zu bytes", v->name, a.verdict, have);
        if (v->verdict == PPS_HEADER_COMPLETE || v->bytes[0] == 'P' || have < PPS_V2_FIXED)
            ck_assert_msg(a.need == documented_need(v, have), "%s: need %zu after %zu", v->name, a.need, have);
    }
    for (size_t have = v->decided; have <= v->size; have++) {
        struct answer a = judge(v->bytes, have);
        ck_assert_msg(a.verdict == v->verdict, "%s: %d after %zu bytes", v->name, a.verdict, have);
        if (v->verdict == PPS_HEADER_COMPLETE)
            ck_assert_msg(a.header.length == v->decided, "%s: %zu after %zu", v->name, a.header.length, have);
    }
}
END_TEST

static void follow_need(const struct vector *v)
{
    size_t have = 0, steps = 0;
    struct answer a;

    while ((a = judge(v->bytes, have)).verdict == PPS_HEADER_NEED) {
        ck_assert_msg(a.need <= v->decided, "%s: need %zu after %zu", v->name, a.need, have);
        have = a.need;
        steps++;
    }
    ck_assert_msg(a.verdict == PPS_HEADER_COMPLETE && have == v->decided, "%s: %zu bytes", v->name, have);
    if (v->version == 2)
        ck_assert_msg(steps <= 3, "%s: asked %zu times", v->name, steps);
}

START_TEST(following_need_ends_at_the_header)
{
    for (size_t i = 0; i < vector_count; i++) {
        if (vectors[i].verdict == PPS_HEADER_COMPLETE)
            follow_need(&vectors[i]);
    }
}
END_TEST

static void put_data_behind(const struct vector *v)
{
    static const char data[][13] = {"\r\n", "\n", "0", " ", ":", ".1", "PROXY UNK\r\n", "\r\n\r\n\0\r\nQUIT\n"};
    struct answer alone = judge(v->bytes, v->decided);
    uint8_t bytes[2048];

    memcpy(bytes, v->bytes, v->decided);
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        struct answer followed;
        memcpy(bytes + v->decided, data[i], sizeof data[i]);
        followed = judge(bytes, v->decided + sizeof data[i]);
        ck_assert_msg(followed.verdict == PPS_HEADER_COMPLETE, "%s then data: %d", v->name, followed.verdict);
        same_header(&alone.header, &followed.header);
    }
}

START_TEST(data_behind_the_header_changes_nothing)
{
    for (size_t i = 0; i < vector_count; i++) {
        if (vectors[i].verdict == PPS_HEADER_COMPLETE)
            put_data_behind(&vectors[i]);
    }
}
END_TEST

/* As header.h says: version 1 is refused as soon as no further byte could make it valid. So every NEED has a byte that
   leads on, and by induction a whole header that it begins. */
static bool some_byte_leads_on(const uint8_t *bytes, size_t have)
{
    uint8_t longer[PPS_V1_MAX + 1];

    memcpy(longer, bytes, have);
    for (unsigned next = 0; next < 256; next++) {
        longer[have] = (uint8_t)next;
        if (judge(longer, have + 1).verdict != PPS_HEADER_INVALID)
            return true;
    }
    return false;
}

START_TEST(v1_need_is_never_a_dead_end)
{
    for (size_t i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        for (size_t have = 0; v->bytes[0] == 'P' && have < v->decided; have++)
            ck_assert_msg(some_byte_leads_on(v->bytes, have), "%s: dead after %zu bytes", v->name, have);
    }
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* One more byte that does not make the line invalid; false when there is none. */
static bool step_on(uint8_t *line, size_t have, uint64_t *state)
{
    static const char alphabet[] = "012345:. \r\n";
    size_t first = next_random(state) % (sizeof alphabet - 1);

    for (size_t i = 0; i < sizeof alphabet - 1; i++) {
        line[have] = (uint8_t)alphabet[(first + i) % (sizeof alphabet - 1)];
        if (judge(line, have + 1).verdict != PPS_HEADER_INVALID)
            return true;
    }
    return false;
}

/* Near 107 bytes a line can die of its length inside any field. */
START_TEST(v1_any_walk_over_possible_bytes_ends_in_a_header)
{
    uint64_t state = 2463534242;
    unsigned near_the_limit = 0;

    for (int walk = 0; walk < 4000; walk++) {
        uint8_t line[PPS_V1_MAX + 1] = "PROXY TCP6 0000:0000:0000:0000:0000:ffff:255.255.255.255 "
                                       "0000:0000:0000:0000:0000:";
        size_t have = strlen((char *)line);
        while (judge(line, have).verdict == PPS_HEADER_NEED) {
            MUST(step_on(line, have, &state), "dead after %.*s", (int)have, line);
            have++;
        }
        MUST(judge(line, have).verdict == PPS_HEADER_COMPLETE, "%.*s", (int)have, line);
        near_the_limit += have >= PPS_V1_MAX - 2;
    }
    ck_assert_uint_gt(near_the_limit, 10);
}
END_TEST

/* Mutations of right addresses, over the bytes that addresses are made of. */
static size_t random_address(char *text, uint64_t *state)
{
    static const char *const seeds[] = {
        "1:2:3:4:5:6:7:8", "2001:db8::7",    "::ffff:1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "::", "1::",
        "203.0.113.7",     "255.255.255.255"};
    static const char alphabet[] = "0123456789abcdefABCDEF:::::....gx%";
    size_t changes = next_random(state) % 4, length;

    strcpy(text, seeds[next_random(state) % 8]);
    length = strlen(text);
    while (changes-- > 0) {
        size_t at = next_random(state) % (length + 1);
        char byte = alphabet[next_random(state) % (sizeof alphabet - 1)];
        unsigned kind = next_random(state) % 3;
        if (kind == 0) {
            memmove(text + at + 1, text + at, length + 1 - at);
            text[at] = byte;
            length++;
        } else if (at < length && kind == 1 && length > 1) {
            memmove(text + at, text + at + 1, length - at);
            length--;
        } else if (at < length) {
            text[at] = byte;
        }
    }
    return length;
}

/* inet_pton knows the same grammar; it is not used by the parser because it wants a NUL and may set errno. */
static void check_against_inet_pton(const char *protocol, int family, const char *address)
{
    uint8_t ip[16];
    char line[128];
    int n =
        snprintf(line, sizeof line, "PROXY %s %s %s 1 2\r\n", protocol, address, family == AF_INET ? "0.0.0.0" : "::");
    bool right = inet_pton(family, address, ip) == 1;
    struct answer a = judge(line, (size_t)n);

    MUST((a.verdict == PPS_HEADER_COMPLETE) == right, "%s: verdict %d", line, a.verdict);
    if (right) {
        struct pps_addr wanted = family == AF_INET ? pps_addr_v4(ip, 1) : pps_addr_v6(ip, 1);
        MUST(memcmp(a.header.src.ip, wanted.ip, 16) == 0, "%s: another address", line);
    }
}

START_TEST(v1_addresses_are_those_of_inet_pton)
{
    uint64_t state = 88172645463325252u;
    char text[64];

    for (int i = 0; i < 20000; i++) {
        random_address(text, &state);
        check_against_inet_pton("TCP4", AF_INET, text);
        check_against_inet_pton("TCP6", AF_INET6, text);
    }
}
END_TEST

START_TEST(v1_every_port_is_read)
{
    char line[64];

    for (unsigned port = 0; port <= 65535; port++) {
        int n = snprintf(line, sizeof line, "PROXY TCP4 1.1.1.1 2.2.2.2 %u %u\r\n", port, 65535 - port);
        struct answer a = judge(line, (size_t)n);
        MUST(a.verdict == PPS_HEADER_COMPLETE, "%s", line);
        MUST(a.header.src.port == port && a.header.dst.port == 65535 - port, "%s", line);
    }
}
END_TEST

START_TEST(every_flipped_bit_of_a_beginning_is_no_header)
{
    static const char *const beginnings[] = {"PROXY ", "\r\n\r\n\0\r\nQUIT\n"};
    static const size_t lengths[] = {6, 12};
    uint8_t bytes[PPS_V2_FIXED] = {0};

    for (int b = 0; b < 2; b++) {
        for (size_t bit = 0; bit < 8 * lengths[b]; bit++) {
            struct answer a;
            memcpy(bytes, beginnings[b], lengths[b]);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            a = judge(bytes, bit / 8 + 1);
            ck_assert_int_eq(a.verdict, PPS_HEADER_INVALID);
            ck_assert_int_eq(a.reason, PPS_REASON_NOT_A_HEADER);
        }
    }
}
END_TEST

/* The fixed part of a v2 header. */
static struct answer judge_v2(uint8_t version_and_command, uint8_t family, size_t rest)
{
    uint8_t *at = guard_page() - PPS_V2_FIXED - rest;

    memset(at, 0, PPS_V2_FIXED + rest);
    memcpy(at, "\r\n\r\n\0\r\nQUIT\n", 12);
    at[12] = version_and_command;
    at[13] = family;
    at[14] = (uint8_t)(rest >> 8);
    at[15] = (uint8_t)rest;
    return judge_here(at, PPS_V2_FIXED + rest);
}

START_TEST(v2_only_0x20_and_0x21_are_versions_and_commands)
{
    struct answer a = judge_v2((uint8_t)_i, 0x11, 12);

    if (_i == 0x20 || _i == 0x21) {
        ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
        ck_assert_int_eq(a.header.local, _i == 0x20);
        ck_assert_int_eq(a.header.has_client, _i == 0x21);
    } else {
        ck_assert_int_eq(a.verdict, PPS_HEADER_INVALID);
        ck_assert_int_eq(a.reason, _i >> 4 == 2 ? PPS_REASON_V2_BAD_COMMAND : PPS_REASON_V2_BAD_VERSION);
    }
}
END_TEST

/* The address block of a family byte, or -1 for one the spec does not define. */
static int block_of(int family)
{
    switch (family) {
    case 0x00:
    case 0x01:
    case 0x02:
        return 0;
    case 0x10:
    case 0x11:
    case 0x12:
        return 12;
    case 0x20:
    case 0x21:
    case 0x22:
        return 36;
    case 0x30:
    case 0x31:
    case 0x32:
        return 216;
    default:
        return -1;
    }
}

START_TEST(v2_only_defined_families_are_accepted_from_a_client)
{
    int block = block_of(_i);
    struct answer a = judge_v2(0x21, (uint8_t)_i, block < 0 ? 216 : (size_t)block);

    if (block < 0) {
        ck_assert_int_eq(a.verdict, PPS_HEADER_INVALID);
        ck_assert_int_eq(a.reason, PPS_REASON_V2_BAD_FAMILY);
        return;
    }
    ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
    ck_assert_int_eq(a.header.has_client, _i == 0x11 || _i == 0x21);
    ck_assert_uint_eq(a.header.tlvs.length, 0);
    if (block > 0) {
        a = judge_v2(0x21, (uint8_t)_i, (size_t)block - 1);
        ck_assert_int_eq(a.verdict, PPS_HEADER_INVALID);
        ck_assert_int_eq(a.reason, PPS_REASON_V2_SHORT_BLOCK);
    }
}
END_TEST

START_TEST(v2_every_family_is_accepted_from_the_proxy_itself)
{
    struct answer a = judge_v2(0x20, (uint8_t)_i, (size_t)_i);

    ck_assert_int_eq(a.verdict, PPS_HEADER_COMPLETE);
    ck_assert(a.header.local && !a.header.has_client);
    ck_assert_uint_eq(a.header.length, PPS_V2_FIXED + (size_t)_i);
    ck_assert_uint_eq(a.header.tlvs.length, (size_t)_i);
}
END_TEST

START_TEST(v2_every_length_is_skipped_for_local)
{
    uint8_t *guard = guard_page();

    memset(guard - PPS_HEADER_MAX, 0xff, PPS_HEADER_MAX);
    for (size_t rest = 0; rest <= 65535; rest++) {
        uint8_t *at = guard - PPS_V2_FIXED - rest;
        uint8_t fixed[PPS_V2_FIXED] = {[12] = 0x20, 0x21, (uint8_t)(rest >> 8), (uint8_t)rest};
        struct answer a;
        memcpy(fixed, "\r\n\r\n\0\r\nQUIT\n", 12);
        memcpy(at, fixed, sizeof fixed);
        a = judge_here(at, PPS_V2_FIXED + rest);
        MUST(a.verdict == PPS_HEADER_COMPLETE && a.header.length == PPS_V2_FIXED + rest, "length %zu", rest);
        if (rest == 0)
            continue;
        a = judge_here(at, PPS_V2_FIXED + rest - 1);
        MUST(a.verdict == PPS_HEADER_NEED && a.need == PPS_V2_FIXED + rest, "length %zu, one byte short", rest);
    }
}
END_TEST

/* A TCP4 header whose TLV area is one NOOP that fills it; one or two bytes are no TLV. */
START_TEST(v2_every_length_is_judged_for_proxy)
{
    uint8_t *guard = guard_page();

    for (size_t rest = 0; rest <= 65535; rest++) {
        uint8_t *at = guard - PPS_V2_FIXED - rest;
        size_t value = rest >= 15 ? rest - 15 : 0;
        bool right = rest == 12 || rest >= 15;
        struct answer a;
        memcpy(at, "\r\n\r\n\0\r\nQUIT\n\x21\x11", 14);
        at[14] = (uint8_t)(rest >> 8);
        at[15] = (uint8_t)rest;
        if (rest >= 15)
            memcpy(at + 28, (uint8_t[]){PPS_TLV_NOOP, (uint8_t)(value >> 8), (uint8_t)value}, 3);
        a = judge_here(at, PPS_V2_FIXED + rest);
        MUST(a.verdict == (right ? PPS_HEADER_COMPLETE : PPS_HEADER_INVALID), "length %zu: %d", rest, a.verdict);
        MUST(right || a.reason == (rest < 12 ? PPS_REASON_V2_SHORT_BLOCK : PPS_REASON_V2_TLV_OVERRUN), "length %zu",
             rest);
    }
}
END_TEST

START_TEST(v2_largest_header_is_read_in_three_questions)
{
    static uint8_t bytes[PPS_HEADER_MAX];
    static const size_t cuts[] = {16, 17, 28, 536, 4096, 65535, 65536, PPS_HEADER_MAX - 1};

    memcpy(bytes, "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", 16);
    memcpy(bytes + 28, "\x04\xff\xf0", 3);
    ck_assert_uint_eq(judge(bytes, 1).need, PPS_V2_FIXED);
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        struct answer a = judge(bytes, cuts[i]);
        ck_assert_int_eq(a.verdict, PPS_HEADER_NEED);
        ck_assert_uint_eq(a.need, 65551);
    }
    ck_assert_int_eq(judge(bytes, PPS_HEADER_MAX).verdict, PPS_HEADER_COMPLETE);
    ck_assert_uint_eq(judge(bytes, PPS_HEADER_MAX).header.tlvs.length, 65535 - 12);
}
END_TEST

START_TEST(nothing_yet_needs_one_byte)
{
    struct answer a = judge("", 0);

    ck_assert_int_eq(a.verdict, PPS_HEADER_NEED);
    ck_assert_uint_eq(a.need, 1);
}
END_TEST

START_TEST(every_reason_has_a_word_and_a_meaning_of_its_own)
{
    for (int r = 0; r < PPS_REASON_COUNT; r++) {
        ck_assert_uint_gt(strlen(pps_reason_word((enum pps_reason)r)), 0);
        ck_assert_uint_gt(strlen(pps_reason_meaning((enum pps_reason)r)), 0);
        for (int other = 0; other < r; other++)
            ck_assert_str_ne(pps_reason_word((enum pps_reason)r), pps_reason_word((enum pps_reason)other));
    }
    ck_assert_str_eq(pps_reason_word(PPS_REASON_V1_BAD_PORT), "v1-bad-port");
    ck_assert_str_eq(pps_reason_word(PPS_REASON_COUNT), "unknown");
    ck_assert_uint_gt(strlen(pps_reason_meaning(PPS_REASON_COUNT)), 0);
}
END_TEST

Suite *suite_header(void)
{
    Suite *s = suite_create("header");
    TCase *each = tcase_create("each vector"), *all = tcase_create("all bytes");
    int count = (int)vector_count;

    tcase_add_loop_test(each, vector_is_judged_as_it_says, 0, count);
    tcase_add_loop_test(each, prefix_is_undecided_until_the_deciding_byte, 0, count);
    tcase_add_test(each, following_need_ends_at_the_header);
    tcase_add_test(each, data_behind_the_header_changes_nothing);
    tcase_add_test(each, v1_need_is_never_a_dead_end);
    suite_add_tcase(s, each);

    tcase_set_timeout(all, 60);
    tcase_add_test(all, nothing_yet_needs_one_byte);
    tcase_add_test(all, every_flipped_bit_of_a_beginning_is_no_header);
    tcase_add_test(all, v1_any_walk_over_possible_bytes_ends_in_a_header);
    tcase_add_test(all, v1_addresses_are_those_of_inet_pton);
    tcase_add_test(all, v1_every_port_is_read);
    tcase_add_loop_test(all, v2_only_0x20_and_0x21_are_versions_and_commands, 0, 256);
    tcase_add_loop_test(all, v2_only_defined_families_are_accepted_from_a_client, 0, 256);
    tcase_add_loop_test(all, v2_every_family_is_accepted_from_the_proxy_itself, 0, 256);
    tcase_add_test(all, v2_every_length_is_skipped_for_local);
    tcase_add_test(all, v2_every_length_is_judged_for_proxy);
    tcase_add_test(all, v2_largest_header_is_read_in_three_questions);
    tcase_add_test(all, every_reason_has_a_word_and_a_meaning_of_its_own);
    suite_add_tcase(s, all);
    return s;
}
