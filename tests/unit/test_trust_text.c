/* SPDX-License-Identifier: MIT
 *
 * test_trust_text.c: list texts, and what the lists say.
 */
#include "trust_lists.h"

#define EMPTY ": set but empty: write addresses and CIDRs like 10.0.0.0/8, or leave it unset"

static const struct {
    const char *setting, *text, *error; /* NULL: good */
} texts[] = {
    {"PPSHIM_TRUST", "10.0.0.0/8", NULL},
    {"PPSHIM_TRUST", "10.0.0.0/8,192.0.2.1 2001:db8::/32\t!10.0.0.1\n,", NULL},
    {"PPSHIM_TRUST", "!10.0.0.1,10.0.0.0/8", NULL},
    {"PPSHIM_TRUST", "@/nowhere", NULL},
    {"PPSHIM_TRUST", "@/nowhere !10.0.0.1", NULL},
    {"PPSHIM_TRUST", "@/nowhere 10.0.0.1 !10.0.0.1", NULL},
    {"PPSHIM_TRUST", "@/nowhere,@/elsewhere", NULL},
    {"PPSHIM_TRUST", "10.0.0.1 !10.0.0.0/8", "PPSHIM_TRUST=10.0.0.1 !10.0.0.0/8" NOBODY},
    {"PPSHIM_TRUST", "!10.0.0.0/8", "PPSHIM_TRUST=!10.0.0.0/8" ONLY_OUT},
    {"PPSHIM_CLIENT_ALLOW", "!10.0.0.0/8", "PPSHIM_CLIENT_ALLOW=!10.0.0.0/8" ONLY_OUT},
    {"PPSHIM_CLIENT_ALLOW", "10.0.0.1 !10.0.0.1", "PPSHIM_CLIENT_ALLOW=10.0.0.1 !10.0.0.1" NOBODY},
    {"PPSHIM_CLIENT_DENY", " , ", "PPSHIM_CLIENT_DENY= , " EMPTY},
    {"PPSHIM_TRUST", "@", "PPSHIM_TRUST=@: a file is named by its absolute path: write one like @/etc/ppshim/trust"},
    {"PPSHIM_TRUST", "@./x,10.0.0.1",
     "PPSHIM_TRUST=@./x: a file is named by its absolute path: write one like @/etc/ppshim/trust"},
    {"PPSHIM_TRUST", "10.0.0.0/8,!@/x",
     "PPSHIM_TRUST=10.0.0.0/8,!@/x: a file is not taken out as a whole: write ! before its entries"},
    {"PPSHIM_TRUST", "10.0.0.1,#10.0.0.2",
     "PPSHIM_TRUST=#10.0.0.2: not an address: write one like 10.0.0.0/8 or 2001:db8::/32"},
    {"PPSHIM_TRUST", "@/1,@/2,@/3,@/4,@/5,@/6,@/7,@/8,@/9,@/10,@/11,@/12,@/13,@/14,@/15,@/16,@/17",
     "PPSHIM_TRUST=@/17: more than 16 files: write fewer, a file may be long"},
};

START_TEST(a_text_is_checked_without_opening_its_files)
{
    bool good = pps_trust_check(texts[_i].setting, texts[_i].text, error);
    ck_assert_str_eq(error, texts[_i].error ? texts[_i].error : "no error");
    ck_assert_int_eq(good, !texts[_i].error);
}
END_TEST

START_TEST(a_path_may_be_as_long_as_the_kernel_takes)
{
    char text[PATH_MAX + 2];
    memset(text, 'x', sizeof text);
    memcpy(text, "@/", 2);
    text[PATH_MAX] = 0; /* the path without the @ has PATH_MAX - 1 bytes */
    ck_assert_msg(pps_trust_check("PPSHIM_TRUST", text, error), "%s", error);
    text[PATH_MAX] = 'x';
    text[PATH_MAX + 1] = 0;
    ck_assert(!pps_trust_check("PPSHIM_TRUST", text, error));
    ck_assert_ptr_nonnull(strstr(error, "xxx...: a path of 4096 bytes is too long: 4095 are the most"));
}
END_TEST

START_TEST(a_peer_is_trusted_optional_or_neither)
{
    must_load("10.0.0.0/8,!10.0.5.0/28,2001:db8::/32", "10.0.5.0/28 192.0.2.1");
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("::ffff:10.0.0.1"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("2001:db8::7"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("10.0.5.7"), PPS_OPTIONAL);
    ck_assert_int_eq(trust_of("192.0.2.1"), PPS_OPTIONAL);
    ck_assert_int_eq(trust_of("192.0.2.2"), PPS_UNTRUSTED);
    ck_assert_int_eq(trust_of("::1"), PPS_UNTRUSTED);
    ck_assert_uint_eq(pps_trust_prefixes(), 4);
}
END_TEST

START_TEST(without_client_lists_every_client_is_let_in)
{
    must_load("10.0.0.1", NULL);
    ck_assert(allowed("203.0.113.7") && allowed("2001:db8::7"));
}
END_TEST

START_TEST(a_client_is_let_in_by_allow_unless_deny_has_it)
{
    config.client_allow = "203.0.113.0/24";
    config.client_deny = "203.0.113.7 2001:db8::7";
    must_load("10.0.0.1", NULL);
    ck_assert(allowed("203.0.113.8"));
    ck_assert(!allowed("203.0.113.7"));
    ck_assert(!allowed("198.51.100.1"));
    ck_assert(!allowed("2001:db8::8"));
}
END_TEST

START_TEST(deny_alone_lets_everybody_else_in)
{
    config.client_deny = "203.0.113.7";
    must_load("10.0.0.1", NULL);
    ck_assert(allowed("203.0.113.8"));
    ck_assert(!allowed("203.0.113.7"));
}
END_TEST

START_TEST(a_second_load_changes_nothing)
{
    must_load("10.0.0.1", NULL);
    must_load("10.0.0.2", NULL);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_UNTRUSTED);
}
END_TEST

START_TEST(a_load_that_failed_can_be_tried_again)
{
    ck_assert(!load("@%/trust", NULL));
    put("trust", "10.0.0.1\n");
    must_load("@%/trust", NULL);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
}
END_TEST

Suite *suite_trust_text(void)
{
    Suite *s = suite_create("trust_text");
    TCase *t = new_case(s, "trust_text");
    tcase_add_loop_test(t, a_text_is_checked_without_opening_its_files, 0, COUNT(texts));
    tcase_add_test(t, a_path_may_be_as_long_as_the_kernel_takes);
    tcase_add_test(t, a_peer_is_trusted_optional_or_neither);
    tcase_add_test(t, without_client_lists_every_client_is_let_in);
    tcase_add_test(t, a_client_is_let_in_by_allow_unless_deny_has_it);
    tcase_add_test(t, deny_alone_lets_everybody_else_in);
    tcase_add_test(t, a_second_load_changes_nothing);
    tcase_add_test(t, a_load_that_failed_can_be_tried_again);
    return s;
}
