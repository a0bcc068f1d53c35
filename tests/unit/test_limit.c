/* SPDX-License-Identifier: MIT
 *
 * test_limit.c: limits as operators write them, the bucket, and what one client is (limit.h).
 */
#include "suites.h"
#include <arpa/inet.h>
#include <ppshim/limit.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

static struct pps_limit limit;
static char why[200];

/* --- the text --- */

static const struct {
    const char *text;
    unsigned count;
    uint64_t window;
    int prefix4, prefix6;
    bool dry_run;
} rates[] = {
    {"20/10s", 20, 10 * SECOND, 32, 128, false},
    {"1/100ms", 1, SECOND / 10, 32, 128, false},
    {"100000/24h", 100000, 24 * 3600 * SECOND, 32, 128, false},
    {"5/2m", 5, 120 * SECOND, 32, 128, false},
    {" 20/10s , dry-run", 20, 10 * SECOND, 32, 128, true},
    {"20/10s per /24,/56", 20, 10 * SECOND, 24, 56, false},
    {"20/10s per /24, /56, dry-run", 20, 10 * SECOND, 24, 56, true},
    {"20/10s per /24", 20, 10 * SECOND, 24, 128, false},
    {"20/10s,per,/56,dry-run", 20, 10 * SECOND, 32, 56, true},
    {"20/10s per /32,/1", 20, 10 * SECOND, 32, 1, false},
};

START_TEST(a_rate_is_connections_and_a_time_and_perhaps_prefixes_and_a_dry_run)
{
    ck_assert_msg(pps_limit_read_rate(rates[_i].text, &limit, why, sizeof why), "%s", why);
    ck_assert_uint_eq(limit.count, rates[_i].count);
    ck_assert_uint_eq(limit.window, rates[_i].window);
    ck_assert_int_eq(limit.prefix4, rates[_i].prefix4);
    ck_assert_int_eq(limit.prefix6, rates[_i].prefix6);
    ck_assert_int_eq(limit.dry_run, rates[_i].dry_run);
}
END_TEST

START_TEST(a_maximum_is_connections_alone)
{
    ck_assert_msg(pps_limit_read_max("50 per /24 dry-run", &limit, why, sizeof why), "%s", why);
    ck_assert_uint_eq(limit.count, 50);
    ck_assert_uint_eq(limit.window, 0);
    ck_assert_int_eq(limit.prefix4, 24);
    ck_assert(limit.dry_run);
}
END_TEST

#define RATE ": write 20/10s, or 20/10s per /24,/56, dry-run"
#define MAX ": write 50, or 50 per /24,/56, dry-run"
#define NO_TIME ": not a time, which is a number with ms, s, m or h behind it" RATE
#define NO_PREFIX ": not a prefix, which is /1 to /32 for IPv4, /1 to /128 for IPv6" RATE

static const struct {
    bool (*read)(const char *text, struct pps_limit *out, char *why, size_t size);
    const char *text, *why;
} refusals[] = {
    {pps_limit_read_rate, ",", "nothing in it" RATE},
    {pps_limit_read_rate, "20", "a rate needs a time: write 20/10s"},
    {pps_limit_read_rate, "20/10", "a bare number has no unit: write 20/10s"},
    {pps_limit_read_rate, "20/10S", "10S" NO_TIME},
    {pps_limit_read_rate, "20/s", "s" NO_TIME},
    {pps_limit_read_rate, "20/", NO_TIME},
    {pps_limit_read_rate, "20/1.5s", "1.5s" NO_TIME},
    {pps_limit_read_rate, "20/99999999999999999999s", "99999999999999999999s" NO_TIME},
    {pps_limit_read_rate, "20/99ms", "99ms: too short, 100ms is the least" RATE},
    {pps_limit_read_rate, "20/25h", "25h: too long, 24h is the most" RATE},
    {pps_limit_read_rate, "0/10s", "nobody would ever get in: write 1 or more"},
    {pps_limit_read_rate, "100001/10s", "too many: 100000 is the most"},
    {pps_limit_read_rate, "-1/10s", "-1/10s: not a number of connections" RATE},
    {pps_limit_read_rate, "020/10s", "020/10s: not a number of connections" RATE},
    {pps_limit_read_rate, "many", "many: not a number of connections" RATE},
    {pps_limit_read_rate, "20 per 10s", "a rate needs a time: write 20/10s"},
    {pps_limit_read_rate, "20x10s", "20x10s: not a rate" RATE},
    {pps_limit_read_rate, "20/10s per", "no prefix behind per: write 20/10s, or 20/10s per /24,/56, dry-run"},
    {pps_limit_read_rate, "20/10s per dry-run", "no prefix behind per: write 20/10s, or 20/10s per /24,/56, dry-run"},
    {pps_limit_read_rate, "20/10s per 24", "no prefix behind per: write 20/10s, or 20/10s per /24,/56, dry-run"},
    {pps_limit_read_rate, "20/10s per /0", "/0" NO_PREFIX},
    {pps_limit_read_rate, "20/10s per /24,/129", "/129" NO_PREFIX},
    {pps_limit_read_rate, "20/10s per /24,/", "/" NO_PREFIX},
    {pps_limit_read_rate, "20/10s per /56,/24", "/56: longer than an IPv4 address, and IPv4's prefix comes first" RATE},
    {pps_limit_read_rate, "20/10s per /24,/56,/64", "/64: one word too many" RATE},
    {pps_limit_read_rate, "20/10s per /56 per /24", "per: one word too many" RATE},
    {pps_limit_read_rate, "20/10s dryrun", "dryrun: one word too many" RATE},
    {pps_limit_read_rate, "20/10s dry-run dry-run", "dry-run: one word too many" RATE},
    {pps_limit_read_rate, "20/10s dry-run per /24", "per: one word too many" RATE},
    {pps_limit_read_rate, "20/10s 50/60s", "50/60s: one word too many" RATE},
    {pps_limit_read_max, "0", "nobody would ever get in: write 1 or more"},
    {pps_limit_read_max, "10001", "too many: 10000 is the most"},
    {pps_limit_read_max, "50/10s", "50/10s: not a number" MAX},
    {pps_limit_read_max, "all", "all: not a number of connections" MAX},
};

START_TEST(what_is_no_limit_is_told_with_what_would_be)
{
    ck_assert_msg(!refusals[_i].read(refusals[_i].text, &limit, why, sizeof why), "%s", refusals[_i].text);
    ck_assert_str_eq(why, refusals[_i].why);
}
END_TEST

/* --- the bucket --- */

static unsigned taken_at(uint64_t *bucket, uint64_t now, unsigned tries)
{
    unsigned n = 0;
    while (tries--)
        n += pps_limit_take(&limit, bucket, now);
    return n;
}

START_TEST(a_full_bucket_gives_as_many_as_it_holds_at_once)
{
    uint64_t bucket = 0;
    limit = (struct pps_limit){.count = (unsigned)_i, .window = 10 * SECOND};
    ck_assert_uint_eq(taken_at(&bucket, 1000 * SECOND, 2 * limit.count), limit.count);
}
END_TEST

START_TEST(tokens_come_back_one_at_a_time)
{
    uint64_t bucket = 0, now = 1000 * SECOND;
    limit = (struct pps_limit){.count = 20, .window = 10 * SECOND};
    taken_at(&bucket, now, 20);
    ck_assert_uint_eq(taken_at(&bucket, now + SECOND / 2 - 1, 5), 0);
    ck_assert_uint_eq(taken_at(&bucket, now + SECOND / 2, 5), 1);
    ck_assert_uint_eq(taken_at(&bucket, now + 2 * SECOND, 5), 3);
    ck_assert_uint_eq(taken_at(&bucket, now + 100 * SECOND, 50), 20);
}
END_TEST

START_TEST(a_refused_one_costs_nothing)
{
    uint64_t bucket = 0, now = 1000 * SECOND;
    limit = (struct pps_limit){.count = 3, .window = 3 * SECOND};
    taken_at(&bucket, now, 3);
    uint64_t before = bucket;
    ck_assert_uint_eq(taken_at(&bucket, now, 1000), 0);
    ck_assert_uint_eq(bucket, before);
}
END_TEST

/* Another processor's clock may be read a little earlier. */
START_TEST(time_that_goes_back_a_little_gives_no_token)
{
    uint64_t bucket = 0, now = 1000 * SECOND;
    limit = (struct pps_limit){.count = 3, .window = 3 * SECOND};
    ck_assert_uint_eq(taken_at(&bucket, now, 2), 2);
    ck_assert_uint_eq(taken_at(&bucket, now - 1, 2), 0);
    ck_assert_uint_eq(taken_at(&bucket, now, 2), 1);
}
END_TEST

/* --- what one client is --- */

static const struct pps_limit_seed seed = {{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

static uint64_t client_at(const char *text, uint16_t port)
{
    uint8_t ip[16];
    bool six = strchr(text, ':');
    ck_assert_int_eq(inet_pton(six ? AF_INET6 : AF_INET, text, ip), 1);
    struct pps_addr a = six ? pps_addr_v6(ip, port) : pps_addr_v4(ip, port);
    return pps_limit_client(&limit, &seed, &a);
}

static const struct {
    uint8_t prefix4, prefix6;
    const char *a, *b;
    bool same;
} clients[] = {
    {32, 128, "203.0.113.7", "203.0.113.7", true},
    {32, 128, "203.0.113.7", "203.0.113.6", false},
    {24, 128, "203.0.113.7", "203.0.113.250", true},
    {24, 128, "203.0.113.7", "203.0.112.7", false},
    {23, 128, "203.0.113.7", "203.0.112.7", true},
    {1, 128, "1.2.3.4", "127.255.255.255", true},
    {1, 128, "1.2.3.4", "128.0.0.0", false},
    {24, 128, "2001:db8::1", "2001:db8::2", false},
    {32, 56, "2001:db8:0:ff::1", "2001:db8::9", true},
    {32, 56, "2001:db8:0:100::1", "2001:db8::9", false},
    {32, 56, "203.0.113.7", "203.0.113.6", false},
    {32, 1, "::1", "::ffff:0:0:1", true},
    {32, 1, "::1", "0.0.0.1", false},
    {32, 128, "::ffff:203.0.113.7", "203.0.113.7", true},
};

START_TEST(a_client_is_its_address_or_its_prefix_whatever_its_port)
{
    limit = (struct pps_limit){.prefix4 = clients[_i].prefix4, .prefix6 = clients[_i].prefix6};
    ck_assert_int_eq(client_at(clients[_i].a, 1) == client_at(clients[_i].b, 2), clients[_i].same);
}
END_TEST

/* Key 00..0f, input 00..0f: the test vector of SipHash's authors. */
START_TEST(the_hash_is_siphash)
{
    uint8_t input[16];
    for (uint8_t i = 0; i < sizeof input; i++)
        input[i] = i;
    ck_assert_uint_eq(pps_limit_hash(&seed, input), UINT64_C(0x3f2acc7f57c29bdb));
}
END_TEST

START_TEST(another_seed_makes_another_client)
{
    struct pps_limit_seed other = {{1, 2}};
    struct pps_addr a = pps_addr_v4((uint8_t[4]){203, 0, 113, 7}, 0);
    limit = (struct pps_limit){.prefix4 = 32, .prefix6 = 128};
    ck_assert_uint_ne(pps_limit_client(&limit, &seed, &a), pps_limit_client(&limit, &other, &a));
}
END_TEST

Suite *suite_limit(void)
{
    Suite *s = suite_create("limit");
    TCase *t = tcase_create("limit");
    suite_add_tcase(s, t);
    tcase_add_loop_test(t, a_rate_is_connections_and_a_time_and_perhaps_prefixes_and_a_dry_run, 0,
                        sizeof rates / sizeof *rates);
    tcase_add_test(t, a_maximum_is_connections_alone);
    tcase_add_loop_test(t, what_is_no_limit_is_told_with_what_would_be, 0, sizeof refusals / sizeof *refusals);
    tcase_add_loop_test(t, a_full_bucket_gives_as_many_as_it_holds_at_once, 1, 100);
    tcase_add_test(t, tokens_come_back_one_at_a_time);
    tcase_add_test(t, a_refused_one_costs_nothing);
    tcase_add_test(t, time_that_goes_back_a_little_gives_no_token);
    tcase_add_loop_test(t, a_client_is_its_address_or_its_prefix_whatever_its_port, 0,
                        sizeof clients / sizeof *clients);
    tcase_add_test(t, the_hash_is_siphash);
    tcase_add_test(t, another_seed_makes_another_client);
    return s;
}
