/* SPDX-License-Identifier: MIT
 *
 * test_vdso.c: the clock that the kernel maps into this process, found as in a Go program's (sys/bare/vdso.c).
 */
#include "suites.h"

#ifdef __x86_64__
#include "../../shim/sys/bare/vdso.c"
#include <stdio.h>

#define CLOCK "__vdso_clock_gettime"

static struct object whole;

static void look(void)
{
    ck_assert(understand(&whole, getauxval(AT_SYSINFO_EHDR)));
}

/* What each of the two tables leads to; one of them need not be there, and then the other is all there is. */
START_TEST(either_table_leads_to_it)
{
    struct object by_hash = whole, by_gnu_hash = whole;
    by_hash.gnu_hash = NULL;
    by_gnu_hash.hash = NULL;
    void *found = find(&whole, CLOCK);
    ck_assert_ptr_nonnull(found);
    if (whole.hash)
        ck_assert_ptr_eq(find(&by_hash, CLOCK), found);
    if (whole.gnu_hash)
        ck_assert_ptr_eq(find(&by_gnu_hash, CLOCK), found);
    ck_assert_ptr_null(find(&whole, "__vdso_clock"));
}
END_TEST

START_TEST(both_tables_know_as_many_symbols)
{
    if (whole.hash && whole.gnu_hash)
        ck_assert_uint_eq(gnu_count(whole.gnu_hash), whole.hash[1]);
}
END_TEST

/* One bucket of two symbols behind one that is not hashed; a table of nothing. */
START_TEST(symbols_are_counted_to_the_end_of_the_last_chain)
{
    const uint32_t two[] = {2, 1, 1, 0, 0, 0, 0, 1, 0x10, 0x21};
    const uint32_t none[] = {1, 1, 1, 0, 0, 0, 0};
    ck_assert_uint_eq(gnu_count(two), 3);
    ck_assert_uint_eq(gnu_count(none), 0);
}
END_TEST

static int64_t nanoseconds(struct timespec t)
{
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

START_TEST(it_tells_what_the_kernel_tells)
{
    struct timespec before, told, after;
    pps_vdso_find();
    ck_assert(atomic_load(&ask) != ask_the_kernel);
    ck_assert_int_eq(ask_the_kernel(CLOCK_MONOTONIC, &before), 0);
    ck_assert_int_eq(pps_vdso_clock(CLOCK_MONOTONIC, &told), 0);
    ck_assert_int_eq(ask_the_kernel(CLOCK_MONOTONIC, &after), 0);
    ck_assert_int_le(nanoseconds(before), nanoseconds(told));
    ck_assert_int_le(nanoseconds(told), nanoseconds(after));
    ck_assert_int_lt(pps_vdso_clock(12345, &told), 0);
}
END_TEST
#endif

Suite *suite_vdso(void)
{
    Suite *s = suite_create("vdso");
#ifdef __x86_64__ /* as sys/bare is */
    if (!getauxval(AT_SYSINFO_EHDR)) {
        fputs("NOT TESTED: this kernel has no vDSO\n", stderr);
        return s;
    }
    TCase *t = tcase_create("vdso");
    tcase_add_checked_fixture(t, look, NULL);
    tcase_add_test(t, either_table_leads_to_it);
    tcase_add_test(t, both_tables_know_as_many_symbols);
    tcase_add_test(t, symbols_are_counted_to_the_end_of_the_last_chain);
    tcase_add_test(t, it_tells_what_the_kernel_tells);
    suite_add_tcase(s, t);
#endif
    return s;
}
