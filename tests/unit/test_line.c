/* SPDX-License-Identifier: MIT
 *
 * test_line.c: lines of the log, and the same as the journal's datagram.
 */
#include "../../shim/log/journald.h"
#include "suites.h"
#include <errno.h>
#include <ppshim/line.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct pps_line line;

/* The ended line behind "ppshim[PID]: ", without its newline. */
static const char *told(void)
{
    static char text[PPS_LINE_SIZE];
    char before[32];
    int n = snprintf(before, sizeof before, "ppshim[%d]: ", getpid());
    ck_assert_uint_lt(line.length, sizeof line.text);
    ck_assert_int_eq(strncmp(line.text, before, (size_t)n), 0);
    ck_assert_int_eq(line.text[line.length - 1], '\n');
    memcpy(text, line.text + n, line.length - (size_t)n - 1);
    text[line.length - (size_t)n - 1] = 0;
    return text;
}

static const char *ended(void)
{
    pps_line_end(&line);
    return told();
}

static const char *datagram(enum pps_log_level level)
{
    static struct pps_journald d;
    pps_journald_from(&d, level, &line);
    ck_assert_uint_lt(d.length, sizeof d.bytes);
    d.bytes[d.length] = 0;
    return d.bytes;
}

static struct pps_addr v4(void)
{
    return pps_addr_v4((const uint8_t[]){203, 0, 113, 7}, 4711);
}

static struct pps_addr v6(void)
{
    return pps_addr_v6((const uint8_t[16]){0x20, 0x01, 0x0d, 0xb8, [15] = 7}, 65535);
}

START_TEST(fields_stand_in_their_order)
{
    struct pps_addr four = v4(), six = v6();
    pps_line_begin(&line, "accept");
    pps_line_word(&line, "client", "local");
    pps_line_number(&line, "v", 2);
    pps_line_addr(&line, "peer", &four);
    pps_line_addr(&line, "local", &six);
    pps_line_hex(&line, "tlv.0xEA", "\x01\xff", 2);
    ck_assert_str_eq(ended(), "accept client=local v=2 peer=203.0.113.7:4711 local=[2001:db8::7]:65535 tlv.0xEA=01ff");
}
END_TEST

START_TEST(each_field_is_one_of_the_journals_and_the_message_does_not_repeat_whose_it_is)
{
    struct pps_addr four = v4(), six = v6();
    pps_line_begin(&line, "accept");
    pps_line_addr(&line, "client", &four);
    pps_line_addr(&line, "local", &six);
    pps_line_word(&line, "cn-unverified", "app");
    pps_line_number(&line, "timeout", 3);
    pps_line_text(&line, "s");
    pps_line_hex(&line, "tlv.0xEA", "\x01", 1);
    pps_line_end(&line);
    ck_assert_str_eq(datagram(PPS_LOG_INFO),
                     "SYSLOG_IDENTIFIER=ppshim\nPRIORITY=6\n"
                     "MESSAGE=accept client=203.0.113.7:4711 local=[2001:db8::7]:65535 cn-unverified=app timeout=3s "
                     "tlv.0xEA=01\n"
                     "PPSHIM_EVENT=accept\n"
                     "PPSHIM_CLIENT=203.0.113.7\nPPSHIM_CLIENT_PORT=4711\n"
                     "PPSHIM_LOCAL=2001:db8::7\nPPSHIM_LOCAL_PORT=65535\n"
                     "PPSHIM_CN_UNVERIFIED=app\nPPSHIM_TIMEOUT=3s\nPPSHIM_TLV_0XEA=01\n");
}
END_TEST

START_TEST(priority_is_the_levels)
{
    static const char *const priority[] = {"\nPRIORITY=3\n", "\nPRIORITY=5\n", "\nPRIORITY=6\n", "\nPRIORITY=7\n"};
    pps_line_begin(&line, "probe");
    pps_line_end(&line);
    for (enum pps_log_level level = PPS_LOG_ERROR; level <= PPS_LOG_DEBUG; level++)
        ck_assert_ptr_nonnull(strstr(datagram(level), priority[level]));
}
END_TEST

START_TEST(text_for_an_operator_is_the_message_and_what_it_begins_with_the_event)
{
    pps_line_begin(&line, "reloaded PPSHIM_TRUST prefixes=12");
    pps_line_end(&line);
    ck_assert_str_eq(datagram(PPS_LOG_NOTICE), "SYSLOG_IDENTIFIER=ppshim\nPRIORITY=5\n"
                                               "MESSAGE=reloaded PPSHIM_TRUST prefixes=12\nPPSHIM_EVENT=reloaded\n");
    pps_line_begin(&line, "PPSHIM_TRUST=@/x: has no entry");
    pps_line_end(&line);
    ck_assert_str_eq(datagram(PPS_LOG_ERROR), "SYSLOG_IDENTIFIER=ppshim\nPRIORITY=3\n"
                                              "MESSAGE=PPSHIM_TRUST=@/x: has no entry\n");
}
END_TEST

START_TEST(foreign_bytes_stand_for_nothing_but_themselves)
{
    pps_line_begin(&line, "accept");
    pps_line_foreign(&line, "cn", "a b\n\\\"'#,\x7f\xff=", 12);
    ck_assert_str_eq(ended(), "accept cn=a\\x20b\\x0a\\x5c\\x22\\x27\\x23\\x2c\\x7f\\xff=");
}
END_TEST

START_TEST(of_a_long_value_the_beginning_is_told)
{
    char value[200], expected[200];
    memset(value, 'x', sizeof value);
    pps_line_begin(&line, "accept");
    pps_line_foreign(&line, "cn", value, 129);
    snprintf(expected, sizeof expected, "accept cn=%.128s...", value);
    ck_assert_str_eq(ended(), expected);
    pps_line_begin(&line, "accept");
    pps_line_foreign(&line, "cn", value, 128);
    snprintf(expected, sizeof expected, "accept cn=%.128s", value);
    ck_assert_str_eq(ended(), expected);
}
END_TEST

/* Whatever stands before it: the field is there whole, in line and datagram, or not at all, and counted then. */
START_TEST(field_that_does_not_fit_is_left_out_whole)
{
    static char filler[PPS_LINE_SIZE];
    unsigned fitted = 0;
    for (size_t size = 900; size < sizeof filler; size++) {
        memset(filler, 'x', size);
        filler[size] = 0;
        pps_line_begin(&line, "accept");
        pps_line_word(&line, "filler", filler);
        bool filled = line.count;
        pps_line_foreign(&line, "cn", "\n\n\n\n\n\n\n\n", 8);
        pps_line_word(&line, "v", "2");
        const char *text = ended();
        bool whole = strstr(text, " cn=\\x0a\\x0a\\x0a\\x0a\\x0a\\x0a\\x0a\\x0a ");
        bool last = strstr(text, " v=2");
        const char *cut = strstr(text, " cut=");
        char expected[16];
        snprintf(expected, sizeof expected, " cut=%d", !filled + !whole + !last);
        ck_assert_int_eq(strstr(text, "cn=") != NULL, whole);
        ck_assert_int_eq(strstr(datagram(PPS_LOG_INFO), "\nPPSHIM_CN=") != NULL, whole);
        if (filled && whole && last)
            ck_assert_ptr_null(cut);
        else
            ck_assert_str_eq(cut, expected);
        fitted += whole;
    }
    ck_assert_uint_gt(fitted, 0);
    ck_assert_uint_lt(fitted, sizeof filler - 900);
}
END_TEST

START_TEST(fields_beyond_the_most_are_counted)
{
    pps_line_begin(&line, "accept");
    for (unsigned i = 0; i < PPS_LINE_FIELDS + 60; i++)
        pps_line_number(&line, "n", i);
    const char *text = ended();
    ck_assert_ptr_nonnull(strstr(text, " n=39 cut=60"));
    ck_assert_ptr_nonnull(strstr(datagram(PPS_LOG_INFO), "\nPPSHIM_N=39\nPPSHIM_CUT=60\n"));
}
END_TEST

START_TEST(errors_have_words)
{
    pps_line_begin(&line, "log-fallback");
    pps_line_errno(&line, "why", ENOSPC);
    pps_line_errno(&line, "why", 9999);
    ck_assert_str_eq(ended(), "log-fallback why=disk-full why=9999");
}
END_TEST

Suite *suite_line(void)
{
    Suite *s = suite_create("line");
    TCase *t = tcase_create("line");
    tcase_add_test(t, fields_stand_in_their_order);
    tcase_add_test(t, each_field_is_one_of_the_journals_and_the_message_does_not_repeat_whose_it_is);
    tcase_add_test(t, priority_is_the_levels);
    tcase_add_test(t, text_for_an_operator_is_the_message_and_what_it_begins_with_the_event);
    tcase_add_test(t, foreign_bytes_stand_for_nothing_but_themselves);
    tcase_add_test(t, of_a_long_value_the_beginning_is_told);
    tcase_add_test(t, field_that_does_not_fit_is_left_out_whole);
    tcase_add_test(t, fields_beyond_the_most_are_counted);
    tcase_add_test(t, errors_have_words);
    suite_add_tcase(s, t);
    return s;
}
