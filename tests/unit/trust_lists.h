/* SPDX-License-Identifier: MIT
 *
 * trust_lists.h: what test_trust_*.c share: a directory for list files, loads and looks, and what they tell.
 *
 * Looks are made by pps_trust_look, without the second between two of them. New contents of a file differ in length
 * from the old: the kernel's timestamps are only as fine as its clock tick.
 */
#ifndef TRUST_LISTS_H
#define TRUST_LISTS_H

#include "../../shim/policy/trust_internal.h"
#include "suites.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <ppshim/trust.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT 4096

#define ONLY_OUT ": exclusions only: write what they are taken out of as well"
#define NOBODY ": nobody is left: the exclusions take every address out again"
#define NO_FILE ": cannot be opened: no such file: create it or correct the path"
#define NO_ENTRY "has no entry: write one, or PPSHIM_TRUST=none to turn the shim off"
#define KEPT "; the old list stays in force"

static char dir[64];
static char error[PPS_ERROR_TEXT], news[PPS_ERROR_TEXT];
static bool failed;
static struct pps_config config;
static char trust_text[TEXT], optional_text[TEXT];

static inline void setup(void)
{
    strcpy(dir, "/tmp/ppshim-trust-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    config = (struct pps_config){.on = true};
    strcpy(error, "no error");
    strcpy(news, "no news");
}

static inline void teardown(void)
{
    char command[100];
    pps_trust_forget();
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* `text` with every % replaced by the test's directory. */
static inline const char *with_dir(const char *text, char out[TEXT])
{
    size_t n = 0;
    for (; *text; text++) {
        n += (size_t)snprintf(out + n, TEXT - n, *text == '%' ? "%s" : "%.1s", *text == '%' ? dir : text);
        ck_assert_uint_lt(n, TEXT - 100);
    }
    out[n] = 0;
    return out;
}

static inline const char *path_of(const char *name)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static inline void put_bytes(const char *name, const char *bytes, size_t length)
{
    FILE *f = fopen(path_of(name), "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, length, f), length);
    ck_assert_int_eq(fclose(f), 0);
}

static inline void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

static inline void move(const char *from, const char *to)
{
    char old[PATH_MAX];
    strcpy(old, path_of(from));
    ck_assert_int_eq(rename(old, path_of(to)), 0);
}

static inline bool load(const char *trust, const char *optional)
{
    config.trust = with_dir(trust, trust_text);
    config.header_optional = optional ? with_dir(optional, optional_text) : NULL;
    return pps_trust_load(&config, error);
}

static inline void must_load(const char *trust, const char *optional)
{
    ck_assert_msg(load(trust, optional), "%s", error);
}

static inline void is_error(const char *text)
{
    char expected[TEXT];
    ck_assert_str_eq(error, with_dir(text, expected));
}

static inline bool look(void)
{
    failed = false;
    strcpy(news, "no news");
    return pps_trust_look(0, news, &failed);
}

static inline void tells(bool bad, const char *text)
{
    char expected[TEXT];
    bool told = look();
    ck_assert_str_eq(news, with_dir(text, expected));
    ck_assert(told);
    ck_assert_int_eq(failed, bad);
}

static inline void is_silent(void)
{
    bool told = look();
    ck_assert_msg(!told, "%s", news);
}

static inline struct pps_addr addr(const char *text)
{
    uint8_t ip[16];
    if (inet_pton(AF_INET, text, ip) == 1)
        return pps_addr_v4(ip, 4711);
    ck_assert_msg(inet_pton(AF_INET6, text, ip) == 1, "%s", text);
    return pps_addr_v6(ip, 4711);
}

static inline enum pps_trust trust_of(const char *text)
{
    struct pps_addr a = addr(text);
    return pps_trust_of(&a);
}

static inline bool allowed(const char *text)
{
    struct pps_header h = {.version = 1, .has_client = true, .src = addr(text)};
    struct pps_name_text name;
    return pps_client_allowed(&h, &name);
}

static inline int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

static inline bool names(const char *name)
{
    struct pps_unix_name n = pps_unix_name_of(name, strlen(name));
    return pps_trust_names(&config, &n);
}

static inline enum pps_trust trust_of_listener(const char *name)
{
    struct pps_unix_name n = pps_unix_name_of(name, strlen(name));
    return pps_trust_of_listener(&n);
}

static inline void loaded_from_file(void)
{
    put("trust", "10.0.0.1\n");
    must_load("@%/trust", NULL);
}

static inline TCase *new_case(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    suite_add_tcase(s, t);
    return t;
}

#define COUNT(table) (int)(sizeof table / sizeof *table)

#endif
