/* SPDX-License-Identifier: MIT
 *
 * test_trust_listeners.c: listeners (unix:) in lists and in their files.
 */
#include "trust_lists.h"

START_TEST(listeners_are_named_beside_addresses_and_in_files)
{
    put("trust", "# balancers\nunix:/run/b.sock 10.0.0.1\n");
    must_load("unix:/run/a.sock,@%/trust 10.0.0.2 unix:/run/a.sock", "unix:@c");
    ck_assert_int_eq(trust_of_listener("/run/a.sock"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of_listener("/run/b.sock"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of_listener("@c"), PPS_OPTIONAL);
    ck_assert_int_eq(trust_of_listener("/run/c"), PPS_UNTRUSTED);
    ck_assert_int_eq(trust_of_listener("/run/a.soc"), PPS_UNTRUSTED);
    ck_assert_uint_eq(pps_trust_prefixes(), 6);
    put("trust", "unix:/run/d.sock\n");
    tells(false, "reloaded PPSHIM_TRUST prefixes=4");
    ck_assert_int_eq(trust_of_listener("/run/b.sock"), PPS_UNTRUSTED);
    ck_assert_int_eq(trust_of_listener("/run/d.sock"), PPS_TRUSTED);
}
END_TEST

START_TEST(a_list_of_listeners_alone_is_a_list)
{
    must_load("unix:/run/a.sock", NULL);
    ck_assert_uint_eq(pps_trust_prefixes(), 1);
    ck_assert_int_eq(trust_of("127.0.0.1"), PPS_UNTRUSTED);
}
END_TEST

START_TEST(listeners_are_known_before_a_load_whatever_else_is_wrong)
{
    put("trust", "broken\n!unix:/run/c.sock unix:relative @file\nunix:/run/b.sock # and a comment\n");
    config.trust = with_dir("10.0.0.1/8,none,@%/missing @%/trust,unix:/run/a.sock", trust_text);
    config.header_optional = with_dir("!@x unix:@d", optional_text);
    ck_assert(names("/run/a.sock") && names("/run/b.sock") && names("@d"));
    ck_assert(!names("/run/c.sock") && !names("relative") && !names("/run"));
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: line 1: broken: write an address or a CIDR, names are not looked up");
}
END_TEST

START_TEST(a_listener_in_both_lists_is_an_error)
{
    ck_assert(!load("unix:/run/a.sock unix:/run/b.sock", "10.0.0.1 unix:/run/b.sock"));
    is_error(
        "PPSHIM_HEADER_OPTIONAL=10.0.0.1 unix:/run/b.sock: unix:/run/b.sock is in PPSHIM_TRUST as well: take it out "
        "of one of the two");
}
END_TEST

START_TEST(more_listeners_than_a_list_holds_are_an_error)
{
    char text[64 * 32 + 32] = "";
    for (int i = 0; i < 64; i++)
        snprintf(text + strlen(text), 32, "unix:/run/%d ", i);
    must_load(text, NULL);
    ck_assert(names("/run/63"));
    pps_trust_forget();
    strcat(text, "unix:/run/64");
    ck_assert(!load(text, NULL));
    is_error("PPSHIM_TRUST=more than 64 unix: entries: write fewer");
}
END_TEST

START_TEST(a_path_too_long_for_a_socket_is_an_error)
{
    char text[160] = "unix:/";
    memset(text + 6, 'x', 107);
    ck_assert(!load(text, NULL));
    ck_assert_ptr_nonnull(strstr(error, "a path of 108 bytes is too long for a socket: 107 are the most"));
    text[112] = 0;
    must_load(text, NULL);
    ck_assert(names(text + 5));
}
END_TEST

Suite *suite_trust_listeners(void)
{
    Suite *s = suite_create("trust_listeners");
    TCase *t = new_case(s, "trust_listeners");
    tcase_add_test(t, listeners_are_named_beside_addresses_and_in_files);
    tcase_add_test(t, a_list_of_listeners_alone_is_a_list);
    tcase_add_test(t, listeners_are_known_before_a_load_whatever_else_is_wrong);
    tcase_add_test(t, a_listener_in_both_lists_is_an_error);
    tcase_add_test(t, more_listeners_than_a_list_holds_are_an_error);
    tcase_add_test(t, a_path_too_long_for_a_socket_is_an_error);
    return s;
}
