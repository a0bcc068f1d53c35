/* SPDX-License-Identifier: MIT
 *
 * test_cidr.c: sets of addresses (cidr.h).
 */
#include "suites.h"
#include <arpa/inet.h>
#include <ppshim/cidr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WHY 300

static struct pps_addr addr(const char *text)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1)
        return pps_addr_v4(ip, 4711);
    ck_assert_msg(inet_pton(AF_INET6, text, ip) == 1, "%s", text);
    return pps_addr_v6(ip, 4711);
}

static bool has(const struct pps_cidr_set *set, const char *text)
{
    struct pps_addr a = addr(text);
    return pps_cidr_has(set, &a);
}

/* A set of entries separated by one space. */
static struct pps_cidr_set set_of(const char *entries)
{
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    struct pps_cidr_set set;
    char why[WHY];
    while (*entries) {
        size_t n = strcspn(entries, " ");
        ck_assert_msg(pps_cidr_add(&b, entries, n, why, sizeof why), "%s", why);
        entries += n + (entries[n] == ' ');
    }
    ck_assert(pps_cidr_finish(&b, &set, why, sizeof why));
    return set;
}

static const char *refusal_of(const char *entry, size_t length)
{
    static char why[WHY];
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    strcpy(why, "accepted");
    bool accepted = pps_cidr_add(&b, entry, length, why, sizeof why);
    ck_assert_msg(!accepted || strcmp(why, "accepted") == 0, "%s", why);
    pps_cidr_abandon(&b);
    return why;
}

/* --- what is in a set --- */

static const struct {
    const char *entries, *in, *out;
} memberships[] = {
    {"10.0.0.0/8", "10.0.0.0 10.255.255.255 10.1.2.3 ::ffff:10.1.2.3", "9.255.255.255 11.0.0.0 ::10.1.2.3 ::"},
    {"10.1.2.3", "10.1.2.3", "10.1.2.2 10.1.2.4"},
    {"10.1.2.3/32", "10.1.2.3", "10.1.2.2 10.1.2.4"},
    {"0.0.0.0/0", "0.0.0.0 255.255.255.255 127.0.0.1", "::1 :: ::fffe:ffff:ffff ::1:0:0:0 2001:db8::1"},
    {"255.255.255.255", "255.255.255.255", "255.255.255.254 ::1:0:0:0"},
    {"2001:db8::/32", "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:: 2001:db9:: 32.1.13.184"},
    {"2001:DB8::7", "2001:db8::7", "2001:db8::6 2001:db8::8"},
    {"2001:db8:0:1::/64", "2001:db8:0:1:: 2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:0:ffff:: 2001:db8:0:2::"},
    {"2001:db8::/65", "2001:db8::7fff:ffff:ffff:ffff", "2001:db8::8000:0:0:0"},
    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe ::"},
    {"::ffff:10.0.0.0/104", "10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"},
    {"::ffff:10.1.2.3", "10.1.2.3", "10.1.2.4"},
    {"::ffff:0:0/96", "0.0.0.0 255.255.255.255", "::1 2001:db8::1"},
    {"::ffff:a01:203/128", "10.1.2.3", "10.1.2.4"},
    /* an IPv6 prefix around the mapped block goes around it */
    {"::/0", ":: ::1 2001:db8::1 ::fffe:ffff:ffff ::1:0:0:0 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
     "0.0.0.0 10.0.0.1 255.255.255.255"},
    {"::/1", "::1 7fff::1", "10.0.0.1 8000::"},
    {"::/64", ":: ::1 ::fffe:ffff:ffff ::1:0:0:0 ::ffff:ffff:ffff:ffff", "10.0.0.1 0:0:0:1::"},
    {"::/80", ":: ::fffe:ffff:ffff", "0.0.0.0 255.255.255.255 ::1:0:0:0"},
    {"::fffe:0:0/95", "::fffe:0:0 ::fffe:ffff:ffff", "0.0.0.0 255.255.255.255 ::fffd:ffff:ffff"},
    {"::fffe:0:0/96", "::fffe:0:0 ::fffe:ffff:ffff", "0.0.0.0"},
    {"::/0 0.0.0.0/0", "::1 10.0.0.1 ffff::1", ""},
    {"::/0 10.0.0.0/8", "::1 10.0.0.1", "11.0.0.1"},
    {"0.0.0.0/0 !::/0", "10.0.0.1 0.0.0.0 255.255.255.255", "::1"},
    /* taking out, in any order */
    {"10.0.0.0/8 !10.0.5.0/28", "10.0.4.255 10.0.5.16", "10.0.5.0 10.0.5.15"},
    {"!10.0.5.0/28 10.0.0.0/8", "10.0.4.255 10.0.5.16", "10.0.5.0 10.0.5.15"},
    {"10.0.0.0/8 !10.0.0.0/9", "10.128.0.0 10.255.255.255", "10.0.0.0 10.127.255.255"},
    {"10.0.0.0/8 !10.128.0.0/9", "10.0.0.0 10.127.255.255", "10.128.0.0 10.255.255.255"},
    {"10.0.0.0/9 10.128.0.0/9 !10.64.0.0/10 !10.128.0.0/10", "10.63.0.0 10.192.0.0", "10.64.0.0 10.191.255.255"},
    {"10.0.0.0/24 10.0.2.0/24 10.0.4.0/24 !10.0.0.0/22", "10.0.4.0", "10.0.0.0 10.0.2.0"},
    {"0.0.0.0/0 !0.0.0.0 !255.255.255.255", "0.0.0.1 255.255.255.254", "0.0.0.0 255.255.255.255"},
    {"::/0 !::", "::1", "::"},
    {"::/0 !ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe",
     "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    {"10.0.0.0/8 !192.168.0.0/16", "10.0.0.1", "192.168.0.1"},
    {"10.0.0.0/8 !10.0.0.0/8", "", "10.0.0.1"},
    {"", "", "0.0.0.0 :: 10.0.0.1"},
};

static void all_are(const struct pps_cidr_set *set, const char *addresses, bool in, const char *entries)
{
    char one[INET6_ADDRSTRLEN];
    for (int n; sscanf(addresses, "%45s%n", one, &n) == 1; addresses += n)
        ck_assert_msg(has(set, one) == in, "%s should%s be in %s", one, in ? "" : " not", entries);
}

START_TEST(a_set_holds_what_its_entries_say_and_nothing_else)
{
    struct pps_cidr_set set = set_of(memberships[_i].entries);
    all_are(&set, memberships[_i].in, true, memberships[_i].entries);
    all_are(&set, memberships[_i].out, false, memberships[_i].entries);
    pps_cidr_free(&set);
}
END_TEST

START_TEST(ranges_that_overlap_or_touch_become_one)
{
    struct pps_cidr_set set = set_of("10.0.1.0/24 10.0.0.0/24 10.0.0.128/25 10.0.2.0/23 10.0.1.7");
    ck_assert_uint_eq(set.count, 1);
    pps_cidr_free(&set);
}
END_TEST

static const struct {
    const char *entry;
    size_t ranges;
} arounds[] = {{"::/64", 2}, {"::/79", 2}, {"::/80", 1}, {"::fffe:0:0/95", 1}, {"::ffff:0:0/96", 1}, {"::/81", 1}};

START_TEST(going_around_the_mapped_block_leaves_no_empty_range)
{
    struct pps_cidr_set set = set_of(arounds[_i].entry);
    ck_assert_uint_eq(set.count, arounds[_i].ranges);
    pps_cidr_free(&set);
}
END_TEST

START_TEST(prefixes_counts_entries_that_include_as_written)
{
    struct pps_cidr_set set = set_of("10.0.0.0/8 10.0.0.0/8 ::/0 !10.0.5.0/28");
    ck_assert_uint_eq(set.prefixes, 3);
    pps_cidr_free(&set);
}
END_TEST

START_TEST(an_empty_set_has_no_mapping)
{
    struct pps_cidr_set set = set_of("10.0.0.1 !10.0.0.0/8");
    ck_assert_ptr_null(set.ranges);
    ck_assert_uint_eq(set.count, 0);
    ck_assert_uint_eq(set.mapped, 0);
    ck_assert_uint_eq(set.prefixes, 1);
    pps_cidr_free(&set);
}
END_TEST

START_TEST(a_finished_builder_is_empty)
{
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    struct pps_cidr_set first, second;
    char why[WHY];
    ck_assert(pps_cidr_add(&b, "10.0.0.1", 8, why, sizeof why));
    ck_assert(pps_cidr_finish(&b, &first, why, sizeof why));
    ck_assert(pps_cidr_finish(&b, &second, why, sizeof why));
    ck_assert_uint_eq(second.count, 0);
    pps_cidr_free(&first);
}
END_TEST

/* --- two sets --- */

static const struct {
    const char *a, *b, *common;
} pairs[] = {
    {"10.0.0.0/8", "11.0.0.0/8", NULL},
    {"10.0.0.0/8 12.0.0.0/8", "11.0.0.0/8 13.0.0.0/8 9.0.0.0/8", NULL},
    {"10.0.0.0/8", "10.0.5.0/28", "10.0.5.0"},
    {"10.0.5.0/28", "10.0.0.0/8", "10.0.5.0"},
    {"10.0.0.0/8 !10.0.5.0/28", "10.0.5.0/28", NULL},
    {"1.0.0.0/8 10.0.0.0/8", "2.0.0.0/8 10.255.255.255", "10.255.255.255"},
    {"::/0", "10.0.0.0/8", NULL},
    {"::/0", "2001:db8::7", "2001:db8::7"},
    {"", "10.0.0.0/8", NULL},
};

START_TEST(disjoint_sets_are_told_from_sets_with_a_common_address)
{
    struct pps_cidr_set a = set_of(pairs[_i].a), b = set_of(pairs[_i].b);
    struct pps_addr common;
    bool disjoint = pps_cidr_disjoint(&a, &b, &common);
    ck_assert_int_eq(disjoint, !pairs[_i].common);
    if (!disjoint) {
        struct pps_addr expected = addr(pairs[_i].common);
        ck_assert_mem_eq(common.ip, expected.ip, 16);
        ck_assert_uint_eq(common.port, 0);
    }
    pps_cidr_free(&a);
    pps_cidr_free(&b);
}
END_TEST

/* --- errors --- */

#define FOUR ": an IPv4 address is four numbers: write one like 10.0.0.1 or 10.0.0.0/8"
#define ZERO ": a leading zero reads as octal in some places: write the numbers without"
#define V4_BITS ": an IPv4 prefix is /0 to /32"
#define V6_BITS ": an IPv6 prefix is /0 to /128"
#define NAME ": write an address or a CIDR, names are not looked up"
#define NOT_V6 ": not an IPv6 address: write one like 2001:db8::7 or 2001:db8::/32"
#define NOTHING ": an address is missing: write one like 10.0.0.0/8 or 2001:db8::/32"
#define NOT_ONE ": not an address: write one like 10.0.0.0/8 or 2001:db8::/32"

static const struct {
    const char *entry, *why;
} refusals[] = {
    {"10.1.2.3/8", "10.1.2.3/8 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host"},
    {"!10.1.2.3/8", "!10.1.2.3/8 has host bits set: write !10.0.0.0/8, or !10.1.2.3 for the one host"},
    {"10.0.0.1/0", "10.0.0.1/0 has host bits set: write 0.0.0.0/0, or 10.0.0.1 for the one host"},
    {"2001:db8::1/32", "2001:db8::1/32 has host bits set: write 2001:db8::/32, or 2001:db8::1 for the one host"},
    {"::ffff:10.1.2.3/104", "::ffff:10.1.2.3/104 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host"},
    {"::ffff:10.1.2.3/8", "::ffff:10.1.2.3/8: an IPv4-mapped prefix is /96 to /128: write 10.0.0.0/8"},
    {"::ffff:10.1.2.3/64", "::ffff:10.1.2.3/64: an IPv4-mapped prefix is /96 to /128"},
    {"10.0.0.0/33", "10.0.0.0/33" V4_BITS},
    {"10.0.0.0/129", "10.0.0.0/129" V4_BITS},
    {"10.0.0.0/4294967304", "10.0.0.0/4294967304" V4_BITS},
    {"10.0.0.0/", "10.0.0.0/" V4_BITS},
    {"10.0.0.0/08", "10.0.0.0/08" V4_BITS},
    {"10.0.0.0/+8", "10.0.0.0/+8" V4_BITS},
    {"10.0.0.0/-1", "10.0.0.0/-1" V4_BITS},
    {"10.0.0.0/8/8", "10.0.0.0/8/8" V4_BITS},
    {"10.0.0.0/eight", "10.0.0.0/eight" V4_BITS},
    {"2001:db8::/129", "2001:db8::/129" V6_BITS},
    {"2001:db8::/", "2001:db8::/" V6_BITS},
    {"10.1.2.3/255.255.0.0", "10.1.2.3/255.255.0.0: netmasks are not read: write 10.1.0.0/16"},
    {"!10.0.0.0/255.0.0.0", "!10.0.0.0/255.0.0.0: netmasks are not read: write !10.0.0.0/8"},
    {"10.0.0.0/0.0.0.0", "10.0.0.0/0.0.0.0: netmasks are not read: write 0.0.0.0/0"},
    {"10.0.0.0/0.0.0.255", "10.0.0.0/0.0.0.255" V4_BITS},
    {"010.0.0.1", "010.0.0.1" ZERO},
    {"10.0.0.00", "10.0.0.00" ZERO},
    {"10.0.0.256", "10.0.0.256: 256 is too much: the numbers of an IPv4 address are 0 to 255"},
    {"10.0.1000.1", "10.0.1000.1: 1000 is too much: the numbers of an IPv4 address are 0 to 255"},
    {"10.0.0", "10.0.0" FOUR},
    {"10/8", "10/8" FOUR},
    {"10.0.0.0.0", "10.0.0.0.0" FOUR},
    {"10..0.1", "10..0.1" FOUR},
    {".", "." FOUR},
    {"10.0.0.1:3306", "10.0.0.1:3306: a list takes no ports: write 10.0.0.1"},
    {"[2001:db8::1]:3306", "[2001:db8::1]:3306: a list takes no brackets and no ports: write the bare address"},
    {"fe80::1%eth0", "fe80::1%eth0: zones are not compared: write the address without the % and what follows"},
    {"2001:db8::1::", "2001:db8::1::" NOT_V6},
    {"::ffff:10.0.0.256", "::ffff:10.0.0.256" NOT_V6},
    {"1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8:9" NOT_V6},
    {"balancer.example", "balancer.example" NAME},
    {"balancer.example/24", "balancer.example/24" NAME},
    {"localhost", "localhost" NAME},
    {"10.0.0.x", "10.0.0.x" NAME},
    {"10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9: ranges are not read: write CIDRs"},
    {"10.0.0.*", "10.0.0.*" NOT_ONE},
    {"0.0.0.0", "0.0.0.0: nobody has that address: everybody is written 0.0.0.0/0 ::/0"},
    {"::", "::: nobody has that address: everybody is written 0.0.0.0/0 ::/0"},
    {"*", "*: everybody is written 0.0.0.0/0 ::/0"},
    {"\"10.0.0.1\"", "\"10.0.0.1\": the quotes are part of the value: write it without"},
    {"'10.0.0.1", "'10.0.0.1: the quotes are part of the value: write it without"},
    {"", NOTHING},
    {"!", "!" NOTHING},
    {"/8", "/8" NOTHING},
    {"!!10.0.0.1", "!!10.0.0.1" NOT_ONE},
    {" 10.0.0.1", " 10.0.0.1" NOT_ONE},
    {"::1\n", "::1\\x0a" NOT_V6},
    {"\xff\x01\\", "\\xff\\x01\\x5c" NOT_ONE},
    {"a-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on.example",
     "a-name-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on..." NAME},
};

START_TEST(a_bad_entry_is_refused_with_what_would_be_right)
{
    ck_assert_str_eq(refusal_of(refusals[_i].entry, strlen(refusals[_i].entry)), refusals[_i].why);
}
END_TEST

START_TEST(a_nul_byte_does_not_end_an_entry)
{
    ck_assert_str_eq(refusal_of("::1\0junk", 8), "::1\\x00junk" NOT_V6);
    ck_assert_str_eq(refusal_of("10.0.0.1\0", 9), "10.0.0.1\\x00" NOT_ONE);
}
END_TEST

START_TEST(a_refused_entry_leaves_the_builder_as_it_was)
{
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    char why[WHY];
    ck_assert(!pps_cidr_add(&b, "10.0.0.1/8", 10, why, sizeof why));
    ck_assert_uint_eq(b.include.count + b.exclude.count + b.include.prefixes, 0);
    ck_assert_ptr_null(b.include.ranges);
}
END_TEST

START_TEST(an_error_fits_any_buffer)
{
    for (size_t size = 1; size < 100; size++) {
        struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
        char *why = malloc(size); /* exactly: the sanitizer sees one byte too many */
        ck_assert(!pps_cidr_add(&b, "10.1.2.3/8", 10, why, size));
        ck_assert_uint_lt(strlen(why), size);
        free(why);
    }
}
END_TEST

START_TEST(a_quote_is_one_line_of_ascii_that_fits)
{
    char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    for (size_t size = 8; size < 1100; size++) {
        char *out = malloc(size);
        pps_cidr_quote(out, size, every, sizeof every);
        ck_assert_uint_lt(strlen(out), size);
        bool plain = true;
        for (char *p = out; *p; p++)
            plain &= *p >= ' ' && *p < 0x7f;
        ck_assert(plain);
        bool cut = strcmp(out + strlen(out) - 3, "...") == 0;
        ck_assert_int_eq(cut, size < 94 + 162 * 4 + 1);
        free(out);
    }
    char exact[8];
    ck_assert_str_eq(pps_cidr_quote(exact, sizeof exact, "1234567", 7), "1234567");
    ck_assert_str_eq(pps_cidr_quote(exact, sizeof exact, "12345678", 8), "1234...");
    ck_assert_str_eq(pps_cidr_quote(exact, sizeof exact, "", 0), "");
}
END_TEST

/* --- against a matcher that cannot be wrong --- */

struct naive {
    uint8_t ip[16];
    unsigned bits;
    bool out, v4;
};

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)random_state * n) >> 32);
}

/* Few distinct bytes, so that prefixes nest, touch and repeat. */
static void random_ip(uint8_t ip[16], bool v4)
{
    static const uint8_t bytes[] = {0, 0, 1, 127, 128, 255, 255};
    memset(ip, 0, 16);
    memset(ip + 10, 0xff, 2);
    for (int i = v4 ? 12 : 0; i < 16; i++)
        ip[i] = bytes[random_below(sizeof bytes)];
    if (!v4 && random_below(4) == 0)
        memset(ip, 0, 10 + random_below(3));
}

static struct naive random_entry(struct pps_cidr_builder *b)
{
    struct naive n = {.v4 = random_below(2), .out = random_below(3) == 0};
    char address[INET6_ADDRSTRLEN], entry[80], why[WHY];
    random_ip(n.ip, n.v4);
    n.bits = n.v4 ? 96 + random_below(33) : random_below(129);
    for (unsigned i = n.bits; i < 128; i++)
        n.ip[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
    struct pps_addr a = pps_addr_v6(n.ip, 0);
    n.v4 = pps_addr_is_v4(&a) && n.bits >= 96;
    if (pps_addr_is_v4(&a) && !n.v4)
        n.bits = 0, memset(n.ip, 0, 16);
    inet_ntop(n.v4 ? AF_INET : AF_INET6, n.ip + (n.v4 ? 12 : 0), address, sizeof address);
    int length = snprintf(entry, sizeof entry, "%s%s/%u", n.out ? "!" : "", address, n.bits - (n.v4 ? 96 : 0));
    ck_assert_msg(pps_cidr_add(b, entry, (size_t)length, why, sizeof why), "%s", why);
    return n;
}

static bool naive_matches(const struct naive *n, const struct pps_addr *a)
{
    for (unsigned i = 0; i < n->bits; i++)
        if ((n->ip[i / 8] ^ a->ip[i / 8]) & (0x80u >> (i % 8)))
            return false;
    return n->v4 == pps_addr_is_v4(a);
}

static bool naive_has(const struct naive *n, size_t count, const struct pps_addr *a)
{
    bool in = false;
    for (size_t i = 0; i < count; i++) {
        if (naive_matches(&n[i], a) && n[i].out)
            return false;
        in |= naive_matches(&n[i], a);
    }
    return in;
}

static void is_sorted_and_apart(const struct pps_cidr_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct pps_wide first = set->ranges[i].first, last = set->ranges[i].last;
        ck_assert(first.high < last.high || (first.high == last.high && first.low <= last.low));
        if (!i)
            continue;
        struct pps_wide before = set->ranges[i - 1].last;
        ck_assert(before.high < first.high || (before.high == first.high && before.low < first.low));
    }
}

START_TEST(random_sets_agree_with_a_naive_matcher)
{
    random_state = (uint32_t)_i + 1;
    struct naive naive[24];
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    struct pps_cidr_set set;
    char why[WHY], text[PPS_ADDR_TEXT];
    size_t count = 1 + random_below(24);
    for (size_t i = 0; i < count; i++)
        naive[i] = random_entry(&b);
    ck_assert(pps_cidr_finish(&b, &set, why, sizeof why));
    is_sorted_and_apart(&set);
    const char *wrong = NULL;
    for (int k = 0; k < 300; k++) {
        uint8_t ip[16];
        random_ip(ip, random_below(2));
        if (k % 2) /* just beside an entry */
            memcpy(ip, naive[random_below((uint32_t)count)].ip, 16), ip[15] = (uint8_t)(ip[15] + random_below(3) - 1);
        struct pps_addr a = pps_addr_v6(ip, 1);
        if (pps_cidr_has(&set, &a) != naive_has(naive, count, &a))
            wrong = pps_addr_text(&a, text);
    }
    ck_assert_msg(!wrong, "seed %d: %s", _i + 1, wrong);
    pps_cidr_free(&set);
}
END_TEST

/* --- size --- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what else the machine does is no matter */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(a_hundred_thousand_prefixes_load_in_a_second_of_the_processor)
{
    enum { PREFIXES = 100000 };
    struct pps_cidr_builder b = PPS_CIDR_BUILDER_INIT;
    struct pps_cidr_set set;
    char entry[64], why[WHY];
    unsigned added = 0; /* one assertion an entry would cost more than the entry */
    double start = seconds();
    for (unsigned i = 0; i < PREFIXES; i++) {
        unsigned k = (i * 7919u) % PREFIXES; /* neither sorted nor touching: every second /28 */
        int n =
            snprintf(entry, sizeof entry, "%u.%u.%u.%u/28", 10 + (k >> 19), k >> 11 & 255, k >> 3 & 255, (k & 7) * 32);
        added += pps_cidr_add(&b, entry, (size_t)n, why, sizeof why);
    }
    ck_assert_uint_eq(added, PREFIXES);
    ck_assert(pps_cidr_finish(&b, &set, why, sizeof why));
    double loaded = seconds();
    ck_assert_uint_eq(set.count, PREFIXES);
    ck_assert_uint_eq(set.mapped, PREFIXES * sizeof(struct pps_range));
    ck_assert_double_lt(loaded - start, 1.0);
    unsigned hits = 0;
    for (unsigned i = 0; i < 1000000; i++) {
        uint8_t ip[4] = {10, (uint8_t)(i * 2654435761u >> 24), (uint8_t)(i * 40503u >> 8), (uint8_t)(i * 97u)};
        struct pps_addr a = pps_addr_v4(ip, 0);
        hits += pps_cidr_has(&set, &a);
    }
    if (getenv("PPS_TEST_FIGURES"))
        printf("100,000 prefixes: load %.1f ms, look-up %.0f ns (%u hits in a million)\n", (loaded - start) * 1e3,
               (seconds() - loaded) * 1e3, hits);
    pps_cidr_free(&set);
}
END_TEST

#define COUNT(table) (int)(sizeof table / sizeof *table)

Suite *suite_cidr(void)
{
    Suite *s = suite_create("cidr");
    TCase *t = tcase_create("cidr");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, a_set_holds_what_its_entries_say_and_nothing_else, 0, COUNT(memberships));
    tcase_add_test(t, ranges_that_overlap_or_touch_become_one);
    tcase_add_loop_test(t, going_around_the_mapped_block_leaves_no_empty_range, 0, COUNT(arounds));
    tcase_add_test(t, prefixes_counts_entries_that_include_as_written);
    tcase_add_test(t, an_empty_set_has_no_mapping);
    tcase_add_test(t, a_finished_builder_is_empty);
    tcase_add_loop_test(t, disjoint_sets_are_told_from_sets_with_a_common_address, 0, COUNT(pairs));
    tcase_add_loop_test(t, a_bad_entry_is_refused_with_what_would_be_right, 0, COUNT(refusals));
    tcase_add_test(t, a_nul_byte_does_not_end_an_entry);
    tcase_add_test(t, a_refused_entry_leaves_the_builder_as_it_was);
    tcase_add_test(t, an_error_fits_any_buffer);
    tcase_add_test(t, a_quote_is_one_line_of_ascii_that_fits);
    tcase_add_loop_test(t, random_sets_agree_with_a_naive_matcher, 0, 400);
    tcase_add_test(t, a_hundred_thousand_prefixes_load_in_a_second_of_the_processor);
    suite_add_tcase(s, t);
    return s;
}
