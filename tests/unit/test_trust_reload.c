/* SPDX-License-Identifier: MIT
 *
 * test_trust_reload.c: list texts, their files, and reloading (trust.h).
 *
 * Looks are made by pps_trust_look, without the second between two of them. New contents of a file differ in length
 * from the old: the kernel's timestamps are only as fine as its clock tick.
 */
#include "../../shim/policy/trust_internal.h"
#include "suites.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/trust.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEXT 4096

static char dir[64];
static char error[PPS_ERROR_TEXT], news[PPS_ERROR_TEXT];
static bool failed;
static struct pps_config config;
static char trust_text[TEXT], optional_text[TEXT], allow_text[TEXT], deny_text[TEXT];

static void setup(void)
{
    strcpy(dir, "/tmp/ppshim-trust-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    config = (struct pps_config){.on = true};
    strcpy(error, "no error");
    strcpy(news, "no news");
}

static void teardown(void)
{
    char command[100];
    pps_trust_forget();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* `text` with every % replaced by the test's directory. */
static const char *with_dir(const char *text, char out[TEXT])
{
    size_t n = 0;
    for (; *text; text++) {
        n += (size_t)snprintf(out + n, TEXT - n, *text == '%' ? "%s" : "%.1s", *text == '%' ? dir : text);
        ck_assert_uint_lt(n, TEXT - 100);
    }
    out[n] = 0;
    return out;
}

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void put_bytes(const char *name, const char *bytes, size_t length)
{
    FILE *f = fopen(path_of(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, length, f), length);
    ck_assert_int_eq(fclose(f), 0);
}

static void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static void move(const char *from, const char *to)
{
    char old[PATH_MAX];
    strcpy(old, path_of(from));
    ck_assert_int_eq(rename(old, path_of(to)), 0);
}

static bool load(const char *trust, const char *optional)
{
    config.trust = with_dir(trust, trust_text);
    config.header_optional = optional ? with_dir(optional, optional_text) : NULL;
    return pps_trust_load(&config, error);
}

static void must_load(const char *trust, const char *optional)
{
    ck_assert_msg(load(trust, optional), "%s", error);
}

static void is_error(const char *text)
{
    char expected[TEXT];
    ck_assert_str_eq(error, with_dir(text, expected));
}

static bool look(void)
{
    failed = false;
    strcpy(news, "no news");
    return pps_trust_look(0, news, &failed);
}

static void tells(bool bad, const char *text)
{
    char expected[TEXT];
    bool told = look();
    ck_assert_str_eq(news, with_dir(text, expected));
    ck_assert(told);
    ck_assert_int_eq(failed, bad);
}

static void is_silent(void)
{
    bool told = look();
    ck_assert_msg(!told, "%s", news);
}

static struct pps_addr addr(const char *text)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1)
        return pps_addr_v4(ip, 4711);
    ck_assert_msg(inet_pton(AF_INET6, text, ip) == 1, "%s", text);
    return pps_addr_v6(ip, 4711);
}

static enum pps_trust trust_of(const char *text)
{
    struct pps_addr a = addr(text);
    return pps_trust_of(&a);
}

static bool allowed(const char *text)
{
    struct pps_addr a = addr(text);
    return pps_client_allowed(&a);
}

/* --- texts --- */

#define EMPTY ": set but empty: write addresses and CIDRs like 10.0.0.0/8, or leave it unset"
#define ONLY_OUT ": exclusions only: write what they are taken out of as well"
#define NOBODY ": nobody is left: the exclusions take every address out again"

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

/* --- what the lists say --- */

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

/* --- files --- */

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

#define NO_FILE ": cannot be opened: no such file: create it or correct the path"
#define NO_ENTRY "has no entry: write one, or PPSHIM_TRUST=none to turn the shim off"

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
    is_error("PPSHIM_TRUST=@%/trust: line 2: \\x1b]0;x\\x07: write an address or a CIDR, names are not looked up");
}
END_TEST

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static bool names(const char *name)
{
    struct pps_unix_name n = pps_unix_name_of(name, strlen(name));
    return pps_trust_names(&config, &n);
}

static enum pps_trust trust_of_listener(const char *name)
{
    struct pps_unix_name n = pps_unix_name_of(name, strlen(name));
    return pps_trust_of_listener(&n);
}

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

/* --- reloading --- */

#define KEPT "; the old list stays in force"

static void loaded_from_file(void)
{
    put("trust", "10.0.0.1\n");
    must_load("@%/trust", NULL);
}

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

#define NO_FD ": cannot be opened: no descriptor left: raise the server's limit"

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

/* --- threads, cancellation, fork --- */

static atomic_bool stop;
static atomic_uint wrong, reads;

/* 10.0.0.1 and 10.9.9.9 are in every version of the list, 192.0.2.1 in none. */
static void *reader(void *unused)
{
    while (!atomic_load(&stop)) {
        bool good = trust_of("10.0.0.1") == PPS_TRUSTED && trust_of("10.9.9.9") == PPS_TRUSTED &&
                    trust_of("192.0.2.1") == PPS_UNTRUSTED && pps_trust_prefixes() >= 2;
        atomic_fetch_add(&wrong, !good);
        atomic_fetch_add(&reads, 1);
    }
    return unused;
}

/* The i-th version: as long as a few pages, so that its mapping is soon reused by the next. */
static void put_version(int i)
{
    char text[20000];
    int n = snprintf(text, sizeof text, "10.0.0.1\n10.9.9.9\n");
    for (int k = 0; k < 200 + i % 7; k++)
        n += snprintf(text + n, sizeof text - (size_t)n, "10.%d.%d.0/31\n", 20 + i % 50, k);
    put("new", text);
    move("new", "trust");
}

START_TEST(readers_are_never_wrong_while_the_lists_are_replaced)
{
    enum { READERS = 3, VERSIONS = 150 };
    pthread_t threads[READERS];
    int reloads = 0;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    atomic_store(&wrong, 0);
    atomic_store(&reads, 0);
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader, NULL), 0);
    for (int i = 1; i <= VERSIONS; i++) {
        put_version(i);
        reloads += look() && !failed;
    }
    while (atomic_load(&reads) < 1000)
        sched_yield();
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(atomic_load(&wrong), 0);
    ck_assert_int_eq(reloads, VERSIONS);
    is_silent();
    ck_assert_uint_eq(pps_trust_retired(), 0);
}
END_TEST

static void *looker(void *unused)
{
    char my_news[PPS_ERROR_TEXT];
    bool my_failed;
    while (!atomic_load(&stop))
        if (pps_trust_look(0, my_news, &my_failed))
            atomic_fetch_add(&reads, 1);
    return unused;
}

START_TEST(of_threads_that_look_at_once_one_reloads)
{
    enum { VERSIONS = 50 };
    pthread_t a, b;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    atomic_store(&reads, 0);
    ck_assert_int_eq(pthread_create(&a, NULL, looker, NULL), 0);
    ck_assert_int_eq(pthread_create(&b, NULL, looker, NULL), 0);
    for (int i = 1; i <= VERSIONS; i++) {
        put_version(i);
        while (atomic_load(&reads) < (unsigned)i)
            sched_yield();
    }
    atomic_store(&stop, true);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    ck_assert_uint_eq(atomic_load(&reads), VERSIONS);
}
END_TEST

static void *cancelled_look(void *survived)
{
    pthread_cancel(pthread_self());
    pps_trust_look(0, (char[PPS_ERROR_TEXT]){0}, &(bool){0});
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return survived;
}

START_TEST(a_look_is_no_cancellation_point)
{
    pthread_t thread;
    void *result;
    loaded_from_file();
    put("trust", "10.0.0.22\n");
    ck_assert_int_eq(pthread_create(&thread, NULL, cancelled_look, dir), 0);
    pthread_join(thread, &result);
    ck_assert_ptr_eq(result, dir);
    ck_assert_int_eq(trust_of("10.0.0.22"), PPS_TRUSTED);
}
END_TEST

/* In a child of fork: without stdio, whose locks another thread may have held. */
static bool put_in_child(const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/child-%d", dir, (int)getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && rename(path, path_of("trust")) == 0;
    close(fd);
    return good;
}

/* 0: the child reads, reloads and frees what it replaced. */
static int child_of_fork(void)
{
    pps_trust_after_fork();
    if (!put_in_child("10.77.0.1\n") || trust_of("10.0.0.1") != PPS_TRUSTED)
        return 1;
    if (!look() || failed || pps_trust_retired())
        return 2;
    return trust_of("10.77.0.1") == PPS_TRUSTED && trust_of("10.0.0.1") == PPS_UNTRUSTED ? 0 : 3;
}

static void fork_and_check(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_of_fork());
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_forked_child_reloads_for_itself)
{
    loaded_from_file();
    fork_and_check();
    ck_assert_int_eq(trust_of("10.0.0.1"), PPS_TRUSTED);
    tells(false, "reloaded PPSHIM_TRUST prefixes=1");
}
END_TEST

START_TEST(a_fork_while_other_threads_read_leaves_the_child_a_free_reload)
{
    pthread_t thread;
    loaded_from_file();
    atomic_store(&stop, false);
    atomic_store(&reads, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, reader, NULL), 0);
    while (!atomic_load(&reads))
        sched_yield();
    for (int i = 0; i < 20; i++)
        fork_and_check();
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

static int child_of_fork_in_a_look(void)
{
    pps_trust_after_fork();
    return put_in_child("10.78.0.1\n") && look() && !failed ? 0 : 1;
}

START_TEST(a_fork_while_another_thread_looks_leaves_the_child_a_free_reload)
{
    pthread_t thread;
    int status;
    put_version(0);
    must_load("@%/trust", NULL);
    atomic_store(&stop, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, looker, NULL), 0);
    for (int i = 0; i < 30; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(child_of_fork_in_a_look());
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_int_eq(status, 0);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}
END_TEST

/* --- size --- */

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

#define COUNT(table) (int)(sizeof table / sizeof *table)

static TCase *new_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return t;
}

static void add_loads(TCase *t)
{
    tcase_add_loop_test(t, a_text_is_checked_without_opening_its_files, 0, COUNT(texts));
    tcase_add_test(t, a_path_may_be_as_long_as_the_kernel_takes);
    tcase_add_test(t, a_peer_is_trusted_optional_or_neither);
    tcase_add_test(t, without_client_lists_every_client_is_let_in);
    tcase_add_test(t, a_client_is_let_in_by_allow_unless_deny_has_it);
    tcase_add_test(t, deny_alone_lets_everybody_else_in);
    tcase_add_test(t, a_second_load_changes_nothing);
    tcase_add_test(t, a_load_that_failed_can_be_tried_again);
}

static void add_files(TCase *t)
{
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
    tcase_add_test(t, listeners_are_named_beside_addresses_and_in_files);
    tcase_add_test(t, a_list_of_listeners_alone_is_a_list);
    tcase_add_test(t, listeners_are_known_before_a_load_whatever_else_is_wrong);
    tcase_add_test(t, a_listener_in_both_lists_is_an_error);
    tcase_add_test(t, more_listeners_than_a_list_holds_are_an_error);
    tcase_add_test(t, a_path_too_long_for_a_socket_is_an_error);
    tcase_add_test(t, no_descriptor_stays_open);
    tcase_add_test(t, a_file_of_a_hundred_thousand_prefixes_loads_in_a_second_of_the_processor);
}

static void add_reloads(TCase *t)
{
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
}

static void add_threads(TCase *t)
{
    tcase_add_test(t, readers_are_never_wrong_while_the_lists_are_replaced);
    tcase_add_test(t, of_threads_that_look_at_once_one_reloads);
    tcase_add_test(t, a_look_is_no_cancellation_point);
    tcase_add_test(t, a_forked_child_reloads_for_itself);
    tcase_add_test(t, a_fork_while_other_threads_read_leaves_the_child_a_free_reload);
    tcase_add_test(t, a_fork_while_another_thread_looks_leaves_the_child_a_free_reload);
}

Suite *suite_trust(void)
{
    Suite *s = suite_create("trust");
    add_loads(new_case(s, "loads"));
    add_files(new_case(s, "files"));
    add_reloads(new_case(s, "reloads"));
    add_threads(new_case(s, "threads"));
    return s;
}
