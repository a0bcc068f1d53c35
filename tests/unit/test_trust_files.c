/* SPDX-License-Identifier: MIT
 *
 * test_trust_files.c: the files that lists name: what may be in them, and what is wrong with one.
 */
#include "trust_lists.h"
#include <sys/stat.h>
#include <time.h>

START_TEST(a_file_has_comments_blank_lines_crlf_and_lists_of_its_own)
{
    put("trust", "# balancers\r\n\r\n10.0.0.1\r\n  10.0.0.2 # the old one\n10.0.0.3#x\n\n"
                 "10.0.0.4, 10.0.0.5\t10.0.0.6\n!10.1.0.0/16\n10.0.0.7");
    must_load("10.0.0.0/15,@%/trust", NULL);
    for (char text[] = "10.0.0.1"; text[7] <= '7'; text[7]++)
        ck_assert_msg(trust_of(text) == PPS_TRUSTED, "%s", text);
    ck_assert_int_eq(trust_of("10.1.0.1"), PPS_UNTRUSTED);
    ck_assert_int_eq(trust_of("10.0.0.8"), PPS_TRUSTED);
    ck_assert_uint_eq(pps_trust_prefixes(), 8);
}
END_TEST

START_TEST(several_files_make_one_list)
{
    put("one", "10.0.0.1\n");
    put("two", "10.0.0.2\n");
    must_load("@%/one @%/two", NULL);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    ck_assert_int_eq(trust_of("10.0.0.2"), PPS_TRUSTED);
}
END_TEST

START_TEST(a_symbolic_link_to_a_file_is_followed)
{
    put("real", "10.0.0.1\n");
    ck_assert_int_eq(symlink("real", path_of("trust")), 0);
    must_load("@%/trust", NULL);
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
}
END_TEST

static const struct {
    const char *file, *trust, *optional, *error;
} bad_loads[] = {
    {"10.0.0.1\n", "@%/other", NULL, "PPSHIM_TRUST=@%/other" NO_FILE},
    {"10.0.0.1\n", "@%/file/x", NULL, "PPSHIM_TRUST=@%/file/x" NO_FILE},
    {"10.0.0.1\n", "@%", NULL, "PPSHIM_TRUST=@%: not a regular file: name one"},
    {"10.0.0.1\n", "@/dev/null", NULL, "PPSHIM_TRUST=@/dev/null: not a regular file: name one"},
    {"10.0.0.1\n\n10.1.2.3/8\n", "@%/file", NULL,
     "PPSHIM_TRUST=@%/file: line 3: 10.1.2.3/8 has host bits set: write 10.0.0.0/8, or 10.1.2.3 for the one host"},
    {"10.0.0.1\r\n10.0.0.x\r\n", "10.0.0.7,@%/file", NULL,
     "PPSHIM_TRUST=@%/file: line 2: 10.0.0.x: write an address or a CIDR, names are not looked up"},
    {"", "@%/file", NULL, "PPSHIM_TRUST=@%/file: " NO_ENTRY},
    {"# nobody\n\n", "10.0.0.1,@%/file", NULL, "PPSHIM_TRUST=@%/file: " NO_ENTRY},
    {"\n", "10.0.0.1", "@%/file",
     "PPSHIM_HEADER_OPTIONAL=@%/file: has no entry: write one (192.0.2.0, a documentation address, is nobody)"},
    {"@/etc/hosts\n", "@%/file", NULL,
     "PPSHIM_TRUST=@%/file: line 1: a list file names no further files: write its entries here, or the @ in the "
     "setting"},
    {"!10.0.0.1\n", "@%/file", NULL, "PPSHIM_TRUST=@%/file" ONLY_OUT},
    {"!10.0.0.0/8\n", "10.0.0.1,@%/file", NULL, "PPSHIM_TRUST=10.0.0.1,@%/file" NOBODY},
    {"10.0.5.0/24\n", "10.0.0.0/8", "@%/file",
     "PPSHIM_HEADER_OPTIONAL=@%/file: 10.0.5.0 is in PPSHIM_TRUST as well: take it out of one of the two, with "
     "!10.0.5.0 for example"},
    {"2001:db8::7\n", "2001:db8::/32", "@%/file",
     "PPSHIM_HEADER_OPTIONAL=@%/file: 2001:db8::7 is in PPSHIM_TRUST as well: take it out of one of the two, with "
     "!2001:db8::7 for example"},
    {"none\n", "@%/file", NULL,
     "PPSHIM_TRUST=@%/file: line 1: none: write an address or a CIDR, names are not looked up"},
    {"\xef\xbb\xbf"
     "10.0.0.1\n",
     "@%/file", NULL,
     "PPSHIM_TRUST=@%/file: line 1: \\xef\\xbb\\xbf10.0.0.1: not an address: write one like 10.0.0.0/8 or "
     "2001:db8::/32"},
};

START_TEST(a_bad_file_fails_the_load_with_its_name_and_line)
{
    put("file", bad_loads[_i].file);
    ck_assert(!load(bad_loads[_i].trust, bad_loads[_i].optional));
    is_error(bad_loads[_i].error);
}
END_TEST

START_TEST(a_nul_byte_in_a_file_is_an_error)
{
    put_bytes("trust", "10.0.0.1\n10.0.0.2\0x\n", 20);
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: line 2: a NUL byte: a list is a plain text file");
}
END_TEST

START_TEST(a_fifo_is_refused_without_waiting_for_its_writer)
{
    ck_assert_int_eq(mkfifo(path_of("trust"), 0600), 0);
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: not a regular file: name one");
}
END_TEST

START_TEST(a_file_above_64_mib_is_refused)
{
    put("trust", "");
    ck_assert_int_eq(truncate(path_of("trust"), (64 << 20) + 1), 0);
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: 67108865 bytes are too many for a list: 64 MiB are the most");
}
END_TEST

START_TEST(a_file_the_server_may_not_read_is_refused)
{
    uid_t me = geteuid();
    put("trust", "10.0.0.1\n");
    ck_assert_int_eq(chmod(path_of("trust"), 0), 0);
    if (me == 0) /* root may read everything */
        ck_assert_int_eq(seteuid(65534), 0);
    bool loaded = load("@%/trust", NULL);
    ck_assert_int_eq(seteuid(me), 0);
    ck_assert(!loaded);
    is_error("PPSHIM_TRUST=@%/trust: cannot be opened: permission denied: the server's user must be able to read it");
}
END_TEST

START_TEST(a_link_that_leads_to_itself_is_refused)
{
    ck_assert_int_eq(symlink("trust", path_of("trust")), 0);
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: cannot be opened: too many symbolic links: correct the path");
}
END_TEST

START_TEST(a_hostile_path_and_line_stay_one_clean_line)
{
    char text[3000] = "@/tmp/\x1b[2J";
    memset(text + strlen(text), '\x80', 2000);
    ck_assert(!load(text, NULL));
    for (char *p = error; *p; p++)
        ck_assert(*p >= ' ' && *p < 0x7f);
    ck_assert_ptr_nonnull(strstr(error, "...: cannot be opened: error "));
    put("trust", "10.0.0.1\n\x1b]0;x\a\r10.0.0.2\n");
    ck_assert(!load("@%/trust", NULL));
    is_error("PPSHIM_TRUST=@%/trust: line 2: \\x1b]0;x\\x07: entries are separated by commas or spaces, not by ;");
}
END_TEST

START_TEST(no_descriptor_stays_open)
{
    int before = lowest_free_fd();
    put("trust", "10.0.0.x\n");
    ck_assert(!load("@%/trust", NULL));
    ck_assert(!load("@%", NULL));
    put("trust", "10.0.0.1\n");
    must_load("@%/trust", NULL);
    put("trust", "broken\n");
    ck_assert(look());
    ck_assert_int_eq(lowest_free_fd(), before);
}
END_TEST

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what else the machine does is no matter */
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_prefixes(const char *name, unsigned prefixes)
{
    FILE *f = fopen(path_of(name), "w");
    ck_assert_ptr_nonnull(f);
    for (unsigned i = 0; i < prefixes; i++) {
        unsigned k = (i * 7919u) % prefixes;
        fprintf(f, "%u.%u.%u.%u/28\n", 10 + (k >> 19), k >> 11 & 255, k >> 3 & 255, (k & 7) * 32);
    }
    ck_assert_int_eq(fclose(f), 0);
}

START_TEST(a_file_of_a_hundred_thousand_prefixes_loads_in_a_second_of_the_processor)
{
    put_prefixes("trust", 100000);
    double start = seconds();
    must_load("@%/trust", NULL);
    double loaded = seconds();
    ck_assert_double_lt(loaded - start, 1.0);
    ck_assert_uint_eq(pps_trust_prefixes(), 100000);
    struct pps_addr a = addr("10.0.77.7");
    unsigned hits = 0, refreshed = 0;
    double t0 = seconds();
    for (int i = 0; i < 1000000; i++) {
        a.ip[14] = (uint8_t)(i * 40503u >> 8);
        a.ip[13] = (uint8_t)(i * 2654435761u >> 24);
        hits += pps_trust_of(&a) == PPS_TRUSTED;
    }
    double t1 = seconds();
    for (int i = 0; i < 1000000; i++)
        refreshed += pps_trust_refresh(news, &failed);
    ck_assert_uint_eq(refreshed, 0);
    if (getenv("PPS_TEST_FIGURES"))
        printf("file of 100,000: load %.1f ms, pps_trust_of %.0f ns (%u hits), pps_trust_refresh %.0f ns\n",
               (loaded - start) * 1e3, (t1 - t0) * 1e3, hits, (seconds() - t1) * 1e3);
}
END_TEST

Suite *suite_trust_files(void)
{
    Suite *s = suite_create("trust_files");
    TCase *t = new_case(s, "trust_files");
    tcase_add_test(t, a_file_has_comments_blank_lines_crlf_and_lists_of_its_own);
    tcase_add_test(t, several_files_make_one_list);
    tcase_add_test(t, a_symbolic_link_to_a_file_is_followed);
    tcase_add_loop_test(t, a_bad_file_fails_the_load_with_its_name_and_line, 0, COUNT(bad_loads));
    tcase_add_test(t, a_nul_byte_in_a_file_is_an_error);
    tcase_add_test(t, a_fifo_is_refused_without_waiting_for_its_writer);
    tcase_add_test(t, a_file_above_64_mib_is_refused);
    tcase_add_test(t, a_file_the_server_may_not_read_is_refused);
    tcase_add_test(t, a_link_that_leads_to_itself_is_refused);
    tcase_add_test(t, a_hostile_path_and_line_stay_one_clean_line);
    tcase_add_test(t, no_descriptor_stays_open);
    tcase_add_test(t, a_file_of_a_hundred_thousand_prefixes_loads_in_a_second_of_the_processor);
    return s;
}
