/* SPDX-License-Identifier: MIT
 *
 * check.h: as much of the interface of check's library as the unit tests use, for machines for which it is not
 * installed.
 *
 * Every test runs in this one process, as with CK_FORK=no. A check that fails says so, and its test ends. CK_RUN_SUITE
 * names the one suite to run.
 */
#ifndef PPSHIM_CROSS_CHECK_H
#define PPSHIM_CROSS_CHECK_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CK_NORMAL 0

struct check_test {
    const char *name;
    void (*run)(int);
    int first, end;
};

typedef struct {
    struct check_test tests[128];
    int count;
    void (*setup)(void);
    void (*teardown)(void);
} TCase;

typedef struct {
    const char *name;
    TCase *cases[4];
    int count;
} Suite;

typedef struct {
    Suite *suites[64];
    int count, checks, failures;
} SRunner;

#define START_TEST(test_name)                                                                                          \
    static void test_name##_run(int _i);                                                                               \
    static const struct check_test test_name##_test = {.name = #test_name, .run = test_name##_run},                    \
                                   *const test_name = &test_name##_test;                                               \
    static void test_name##_run(int _i __attribute__((unused)))
#define END_TEST

__attribute__((weak)) jmp_buf check_failed;

#define ck_assert_msg(condition, ...)                                                                                  \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: ", __FILE__, __LINE__);                                                                     \
            printf(__VA_ARGS__);                                                                                       \
            longjmp(check_failed, 1);                                                                                  \
        }                                                                                                              \
    } while (0)
#define ck_abort_msg(...) ck_assert_msg(false, __VA_ARGS__)
#define ck_assert(condition) ck_assert_msg(condition, "%s", #condition)

#define CHECK_COMPARE(type, format, a, op, b)                                                                          \
    do {                                                                                                               \
        type check_a_ = (type)(a);                                                                                     \
        type check_b_ = (type)(b);                                                                                     \
        ck_assert_msg(check_a_ op check_b_, "%s %s %s: %" format ", %" format, #a, #op, #b, check_a_, check_b_);       \
    } while (0)
#define ck_assert_int_eq(a, b) CHECK_COMPARE(intmax_t, PRIdMAX, a, ==, b)
#define ck_assert_int_ne(a, b) CHECK_COMPARE(intmax_t, PRIdMAX, a, !=, b)
#define ck_assert_int_gt(a, b) CHECK_COMPARE(intmax_t, PRIdMAX, a, >, b)
#define ck_assert_int_ge(a, b) CHECK_COMPARE(intmax_t, PRIdMAX, a, >=, b)
#define ck_assert_uint_eq(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, ==, b)
#define ck_assert_uint_ne(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, !=, b)
#define ck_assert_uint_lt(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, <, b)
#define ck_assert_uint_le(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, <=, b)
#define ck_assert_uint_gt(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, >, b)
#define ck_assert_uint_ge(a, b) CHECK_COMPARE(uintmax_t, PRIuMAX, a, >=, b)
#define ck_assert_double_lt(a, b) CHECK_COMPARE(double, "g", a, <, b)
#define ck_assert_ptr_eq(a, b) CHECK_COMPARE(const void *, "p", a, ==, b)
#define ck_assert_ptr_ne(a, b) CHECK_COMPARE(const void *, "p", a, !=, b)
#define ck_assert_ptr_null(a) ck_assert_ptr_eq(a, NULL)
#define ck_assert_ptr_nonnull(a) ck_assert_ptr_ne(a, NULL)
#define ck_assert_str_eq(a, b) ck_assert_msg(strcmp(a, b) == 0, "%s: \"%s\", not \"%s\"", #a, a, b)
#define ck_assert_str_ne(a, b) ck_assert_msg(strcmp(a, b) != 0, "%s: \"%s\"", #a, a)
#define ck_assert_mem_eq(a, b, n) ck_assert_msg(memcmp(a, b, n) == 0, "%s is not %s", #a, #b)

static inline void *check_new(size_t size)
{
    void *new = calloc(1, size);
    if (!new)
        abort();
    return new;
}

static inline void check_add(void **to, int *count, int room, void *one)
{
    if (*count == room)
        abort();
    to[(*count)++] = one;
}

static inline Suite *suite_create(const char *name)
{
    Suite *s = check_new(sizeof *s);
    s->name = name;
    return s;
}

static inline TCase *tcase_create(const char *name)
{
    (void)name;
    return check_new(sizeof(TCase));
}

static inline void tcase_add_loop_test(TCase *t, const struct check_test *test, int first, int end)
{
    if (t->count == sizeof t->tests / sizeof *t->tests)
        abort();
    t->tests[t->count++] = (struct check_test){test->name, test->run, first, end};
}

static inline void tcase_add_test(TCase *t, const struct check_test *test)
{
    tcase_add_loop_test(t, test, 0, 1);
}

static inline void tcase_add_checked_fixture(TCase *t, void (*setup)(void), void (*teardown)(void))
{
    t->setup = setup;
    t->teardown = teardown;
}

static inline void tcase_set_timeout(TCase *t, double seconds)
{
    (void)t, (void)seconds;
}

static inline void suite_add_tcase(Suite *s, TCase *t)
{
    check_add((void **)s->cases, &s->count, sizeof s->cases / sizeof *s->cases, t);
}

static inline void srunner_add_suite(SRunner *r, Suite *s)
{
    check_add((void **)r->suites, &r->count, sizeof r->suites / sizeof *r->suites, s);
}

static inline SRunner *srunner_create(Suite *s)
{
    SRunner *r = check_new(sizeof *r);
    srunner_add_suite(r, s);
    return r;
}

static inline void check_run_one(SRunner *r, const TCase *t, const struct check_test *test, int i)
{
    r->checks++;
    if (setjmp(check_failed) == 0) {
        if (t->setup)
            t->setup();
        test->run(i);
        if (t->teardown)
            t->teardown();
    } else {
        r->failures++;
        printf(": %s:%d\n", test->name, i);
    }
    fflush(stdout);
}

static inline void srunner_run_all(SRunner *r, int mode)
{
    const char *only = getenv("CK_RUN_SUITE");
    (void)mode;
    for (int s = 0; s < r->count; s++)
        for (int c = 0; c < r->suites[s]->count && (!only || strcmp(only, r->suites[s]->name) == 0); c++) {
            const TCase *t = r->suites[s]->cases[c];
            for (int k = 0; k < t->count; k++)
                for (int i = t->tests[k].first; i < t->tests[k].end; i++)
                    check_run_one(r, t, &t->tests[k], i);
        }
    printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n", r->checks ? (r->checks - r->failures) * 100 / r->checks : 0,
           r->checks, r->failures);
}

static inline int srunner_ntests_failed(const SRunner *r)
{
    return r->failures;
}

static inline void srunner_free(SRunner *r)
{
    free(r);
}

#endif
