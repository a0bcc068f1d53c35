/* SPDX-License-Identifier: MIT
 *
 * test_trust_reload.c: files that change: what is read again, what keeps the old list in force, and what is told of it.
 */
#include "trust_lists.h"
#include <sys/resource.h>

static char allow_text[TEXT], deny_text[TEXT];

#define NO_FD ": cannot be opened: no descriptor left: raise the server's limit"

START_TEST(a_changed_file_is_read_again)
{
    loaded_from_file();
    is_silent();
    put("trust", "10.0.0.2\n10.0.0.3\n");
    tells(false, "reloaded PPSHIM_TRUST prefixes=2");
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_UNTRUSTED);
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_TRUSTED);
    ck_assert_uint_eq(pps_trust_prefixes(), 2);
    ck_assert_uint_eq(pps_trust_retired(), 0);
    is_silent();
}
END_TEST

START_TEST(a_file_replaced_by_rename_is_read_again)
{
    loaded_from_file();
    put("new", "10.0.0.2\n"); /* of the same length: the inode tells */
    move("new", "trust");
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_TRUSTED);
    is_silent();
}
END_TEST

START_TEST(a_link_turned_to_another_file_is_read_again)
{
    put("one", "10.0.0.1\n");
    put("two", "10.0.0.2\n");
    ck_assert_int_eq(symlink("one", path_of("trust")), 0);
    must_load("@%/trust", NULL);
    ck_assert_int_eq(symlink("two", path_of("new")), 0);
    move("new", "trust");
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_TRUSTED);
}
END_TEST

START_TEST(a_broken_file_keeps_the_old_list_and_is_told_of_once)
{
    loaded_from_file();
    put("trust", "10.0.0.2\nbroken\n");
    tells(true, "PPSHIM_TRUST=@%/trust: line 2: broken: write an address or a CIDR, names are not looked up" KEPT);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_UNTRUSTED);
    is_silent();
    is_silent();
}
END_TEST

START_TEST(a_file_that_breaks_in_another_way_is_told_of_again_and_may_mend)
{
    loaded_from_file();
    put("trust", "broken\n");
    ck_assert(look());
    put("trust", "\n10.0.0.0/40\n");
    tells(true, "PPSHIM_TRUST=@%/trust: line 2: 10.0.0.0/40: an IPv4 prefix is /0 to /32" KEPT);
    is_silent();
    put("trust", "10.0.0.2\n");
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_TRUSTED);
    put("trust", "broken\n");
    ck_assert(look() && failed);
}
END_TEST

START_TEST(an_emptied_file_keeps_the_old_list)
{
    put("trust", "10.0.0.1\n");
    must_load("10.0.0.7,@%/trust", NULL);
    put("trust", "");
    tells(true, "PPSHIM_TRUST=@%/trust: " NO_ENTRY KEPT);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
}
END_TEST

START_TEST(a_removed_file_keeps_the_old_list_until_it_is_back)
{
    loaded_from_file();
    ck_assert_int_eq(unlink(path_of("trust")), 0);
    tells(true, "PPSHIM_TRUST=@%/trust" NO_FILE KEPT);
    is_silent();
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    put("trust", "10.0.0.22\n");
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
    ck_assert_int_eq(trust_of("10.0.0.22"), PPS_TRUSTED);
}
END_TEST

START_TEST(a_file_still_being_written_is_left_for_later)
{
    loaded_from_file();
    put("trust", "10.0.0.2\n1");
    ck_assert(!pps_trust_look(60000, news, &failed));
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    put("trust", "10.0.0.2\n10.0.0.3\n");
    ck_assert(!pps_trust_look(60000, news, &failed));
    tells(false, "reloaded PPSHIM_TRUST prefixes=2");
}
END_TEST

/* A look while no further descriptor can be had. */
static bool look_without_descriptors(void)
{
    struct rlimit before, none;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){(rlim_t)lowest_free_fd(), before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool told = look();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    return told;
}

START_TEST(a_reload_that_lacked_a_descriptor_is_tried_again_without_a_further_line)
{
    char expected[TEXT];
    loaded_from_file();
    put("trust", "10.0.0.22\n");
    ck_assert(look_without_descriptors());
    ck_assert(failed);
    ck_assert_str_eq(news, with_dir("PPSHIM_TRUST=@%/trust" NO_FD KEPT, expected));
    ck_assert(!look_without_descriptors());
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
}
END_TEST

START_TEST(a_file_that_could_not_be_opened_and_then_is_broken_is_told_of_twice)
{
    loaded_from_file();
    put("trust", "broken\n");
    ck_assert(look_without_descriptors());
    tells(true, "PPSHIM_TRUST=@%/trust: line 1: broken: write an address or a CIDR, names are not looked up" KEPT);
    is_silent();
}
END_TEST

START_TEST(the_news_names_the_lists_whose_files_changed)
{
    put("trust", "10.0.0.1\n");
    put("deny", "203.0.113.7\n");
    config.client_deny = with_dir("@%/deny", deny_text);
    config.client_allow = with_dir("203.0.113.0/24", allow_text);
    must_load("@%/trust", NULL);
    put("deny", "203.0.113.7\n203.0.113.8\n");
    tells(false, "reloaded PPSHIM_CLIENT_DENY prefixes=2");
    ck_assert(!allowed("203.0.113.8"));
    put("trust", "10.0.0.1\n10.0.0.2\n10.0.0.3\n");
    put("deny", "203.0.113.77\n");
    tells(false, "reloaded PPSHIM_TRUST prefixes=3, PPSHIM_CLIENT_DENY prefixes=1");
    ck_assert(allowed("203.0.113.8"));
}
END_TEST

START_TEST(a_broken_file_holds_back_all_lists)
{
    put("trust", "10.0.0.1\n");
    put("deny", "203.0.113.7\n");
    config.client_deny = with_dir("@%/deny", deny_text);
    must_load("@%/trust", NULL);
    put("deny", "203.0.113.77\n");
    put("trust", "10.0.0.0/99\n");
    tells(true, "PPSHIM_TRUST=@%/trust: line 1: 10.0.0.0/99: an IPv4 prefix is /0 to /32; the old lists stay in force");
    ck_assert(!allowed("203.0.113.7"));
}
END_TEST

START_TEST(a_reload_that_puts_an_address_into_both_lists_is_refused)
{
    put("trust", "10.0.0.1\n");
    must_load("@%/trust", "192.0.2.0/24");
    put("trust", "10.0.0.1\n192.0.2.7\n");
    tells(true, "PPSHIM_HEADER_OPTIONAL=192.0.2.0/24: 192.0.2.7 is in PPSHIM_TRUST as well: take it out of one of the "
                "two, with !192.0.2.7 for example" KEPT);
    ck_assert_int_eq(trust_of("192.0.2.7"), PPS_OPTIONAL);
}
END_TEST

START_TEST(refresh_looks_at_most_once_a_second)
{
    loaded_from_file();
    ck_assert_int_eq(unlink(path_of("trust")), 0);
    ck_assert(pps_trust_refresh(news, &failed));
    ck_assert_int_eq(symlink("trust", path_of("trust")), 0); /* another failure: a look would tell */
    ck_assert(!pps_trust_refresh(news, &failed));
    ck_assert(look());
}
END_TEST

START_TEST(refresh_of_lists_without_files_never_looks)
{
    must_load("10.0.0.1", NULL);
    for (int i = 0; i < 3; i++)
        ck_assert(!pps_trust_refresh(news, &failed));
}
END_TEST

Suite *suite_trust_reload(void)
{
    Suite *s = suite_create("trust_reload");
    TCase *t = new_case(s, "trust_reload");
    tcase_add_test(t, a_changed_file_is_read_again);
    tcase_add_test(t, a_file_replaced_by_rename_is_read_again);
    tcase_add_test(t, a_link_turned_to_another_file_is_read_again);
    tcase_add_test(t, a_broken_file_keeps_the_old_list_and_is_told_of_once);
    tcase_add_test(t, a_file_that_breaks_in_another_way_is_told_of_again_and_may_mend);
    tcase_add_test(t, an_emptied_file_keeps_the_old_list);
    tcase_add_test(t, a_removed_file_keeps_the_old_list_until_it_is_back);
    tcase_add_test(t, a_file_still_being_written_is_left_for_later);
    tcase_add_test(t, a_reload_that_lacked_a_descriptor_is_tried_again_without_a_further_line);
    tcase_add_test(t, a_file_that_could_not_be_opened_and_then_is_broken_is_told_of_twice);
    tcase_add_test(t, the_news_names_the_lists_whose_files_changed);
    tcase_add_test(t, a_broken_file_holds_back_all_lists);
    tcase_add_test(t, a_reload_that_puts_an_address_into_both_lists_is_refused);
    tcase_add_test(t, refresh_looks_at_most_once_a_second);
    tcase_add_test(t, refresh_of_lists_without_files_never_looks);
    return s;
}
