/* SPDX-License-Identifier: MIT
 *
 * test_usage.c: how a process goes about one listener (usage.h).
 */
#include "../../shim/preload/record.h"
#include "../../shim/preload/usage.h"
#include "suites.h"
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A record that listener.c never came to. */
static const struct pps_listener listener = {.index = PPS_LISTENERS_MAX - 1, .generation = 3},
                                 earlier = {.index = PPS_LISTENERS_MAX - 1, .generation = 2};
static struct pps_usage usage;

static void setup(void)
{
    memset(&usage, 0, sizeof usage);
    atomic_store(&pps_records[listener.index].listener, listener);
}

static void teardown(void)
{
    atomic_store(&pps_records[listener.index].listener, (struct pps_listener){0});
}

START_TEST(a_listener_that_is_closed_has_nobodys)
{
    ck_assert_ptr_eq(pps_usage_of(&listener), &pps_records[listener.index].usage);
    ck_assert_ptr_ne(pps_usage_of(&earlier), pps_usage_of(&listener));
}
END_TEST

START_TEST(the_flags_last_used_count)
{
    ck_assert_int_eq(pps_usage_flags(&usage), -1);
    pps_usage_accepts(&usage, 0);
    ck_assert_int_eq(pps_usage_flags(&usage), 0);
    pps_usage_accepts(&usage, SOCK_CLOEXEC);
    ck_assert_int_eq(pps_usage_flags(&usage), SOCK_CLOEXEC);
}
END_TEST

START_TEST(the_first_accept_after_a_pass_must_not_wait_and_no_other)
{
    ck_assert(!pps_usage_accepts(&usage, 0));
    pps_usage_pass(&usage);
    pps_usage_pass(&usage);
    ck_assert(pps_usage_accepts(&usage, 0));
    ck_assert(!pps_usage_accepts(&usage, 0));
}
END_TEST

static void *visit(void *unused)
{
    pps_usage_visit(&usage);
    return unused;
}

START_TEST(one_thread_shares_it_with_nobody)
{
    for (int i = 0; i < 3; i++)
        pps_usage_visit(&usage);
    ck_assert(!pps_usage_is_shared(&usage));
}
END_TEST

START_TEST(two_threads_share_it_for_good)
{
    pthread_t thread;
    pps_usage_visit(&usage);
    ck_assert_int_eq(pthread_create(&thread, NULL, visit, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert(pps_usage_is_shared(&usage));
    pps_usage_visit(&usage);
    ck_assert(pps_usage_is_shared(&usage));
}
END_TEST

START_TEST(poll_is_remembered)
{
    ck_assert(!pps_usage_is_polled(&usage));
    pps_usage_poll(&usage);
    ck_assert(pps_usage_is_polled(&usage));
}
END_TEST

START_TEST(the_mode_is_asked_once_until_it_is_forgotten)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(pps_usage_is_blocking(&usage, fd));
    ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    ck_assert(pps_usage_is_blocking(&usage, fd));
    pps_usage_ask_blocking_again(&usage);
    ck_assert(!pps_usage_is_blocking(&usage, fd));
    ck_assert_int_eq(fcntl(fd, F_SETFL, 0), 0);
    ck_assert(!pps_usage_is_blocking(&usage, fd));
    close(fd);
}
END_TEST

START_TEST(what_is_closed_is_left_to_accept_as_blocking)
{
    ck_assert(pps_usage_is_blocking(&usage, -1));
}
END_TEST

START_TEST(after_a_fork_all_is_forgotten_but_the_pass)
{
    pthread_t thread;
    pps_usage_accepts(&usage, 0);
    pps_usage_poll(&usage);
    pps_usage_visit(&usage);
    ck_assert_int_eq(pthread_create(&thread, NULL, visit, NULL), 0);
    pthread_join(thread, NULL);
    pps_usage_pass(&usage);
    pps_usage_after_fork(&usage);
    ck_assert_int_eq(pps_usage_flags(&usage), -1);
    ck_assert(!pps_usage_is_polled(&usage) && !pps_usage_is_shared(&usage));
    pps_usage_visit(&usage);
    ck_assert(!pps_usage_is_shared(&usage));
    ck_assert(pps_usage_accepts(&usage, 0));
}
END_TEST

Suite *suite_usage(void)
{
    Suite *s = suite_create("usage");
    TCase *t = tcase_create("threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_listener_that_is_closed_has_nobodys);
    tcase_add_test(t, the_flags_last_used_count);
    tcase_add_test(t, the_first_accept_after_a_pass_must_not_wait_and_no_other);
    tcase_add_test(t, one_thread_shares_it_with_nobody);
    tcase_add_test(t, two_threads_share_it_for_good);
    tcase_add_test(t, poll_is_remembered);
    tcase_add_test(t, the_mode_is_asked_once_until_it_is_forgotten);
    tcase_add_test(t, what_is_closed_is_left_to_accept_as_blocking);
    tcase_add_test(t, after_a_fork_all_is_forgotten_but_the_pass);
    suite_add_tcase(s, t);
    return s;
}
