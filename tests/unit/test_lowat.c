/* SPDX-License-Identifier: MIT
 *
 * test_lowat.c: connections that wake once, when so many bytes are there (lowat.h).
 */
#include "suites.h"
#include <ppshim/lowat.h>
#include <ppshim/sockopt.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL 2304 /* the least SO_RCVBUF there is: what the kernel makes of 0 */

static int fd;
static struct pps_lowat wait;

static void setup(void)
{
    fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    pps_lowat_begin(&wait, 1);
}

static void teardown(void)
{
    close(fd);
}

static int lowat(void)
{
    return pps_sockopt(fd, SOL_SOCKET, SO_RCVLOWAT);
}

static int rcvbuf(void)
{
    return pps_sockopt(fd, SOL_SOCKET, SO_RCVBUF);
}

static void set(int option, int value)
{
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, option, &value, sizeof value), 0);
}

START_TEST(what_is_asked_is_set_and_taken_back)
{
    int before = rcvbuf();
    ck_assert(pps_lowat_ask(&wait, fd, 16));
    ck_assert_int_eq(lowat(), 16);
    ck_assert(pps_lowat_ask(&wait, fd, 100));
    ck_assert_int_eq(lowat(), 100);
    pps_lowat_end(&wait, fd);
    ck_assert_int_eq(lowat(), 1);
    ck_assert_int_eq(rcvbuf(), before);
}
END_TEST

START_TEST(what_the_listener_had_comes_back)
{
    set(SO_RCVLOWAT, 7);
    pps_lowat_begin(&wait, 7);
    ck_assert(pps_lowat_ask(&wait, fd, 7));
    ck_assert(pps_lowat_ask(&wait, fd, 30));
    ck_assert_int_eq(lowat(), 30);
    pps_lowat_end(&wait, fd);
    ck_assert_int_eq(lowat(), 7);
}
END_TEST

START_TEST(what_is_asked_already_is_not_set_again)
{
    ck_assert(pps_lowat_ask(&wait, fd, 16));
    set(SO_RCVLOWAT, 3);
    ck_assert(pps_lowat_ask(&wait, fd, 16));
    ck_assert_int_eq(lowat(), 3);
    pps_lowat_begin(&wait, 1);
    ck_assert(pps_lowat_ask(&wait, fd, 1));
    ck_assert_int_eq(lowat(), 3);
    pps_lowat_end(&wait, fd);
    ck_assert_int_eq(lowat(), 3);
}
END_TEST

START_TEST(a_small_buffer_is_enlarged_as_long_as_it_is_needed)
{
    set(SO_RCVBUF, 0);
    int before = rcvbuf();
    ck_assert_int_eq(before, SMALL);
    ck_assert(pps_lowat_ask(&wait, fd, 20000));
    ck_assert_int_eq(lowat(), 20000);
    ck_assert(pps_lowat_ask(&wait, fd, 40000));
    ck_assert_int_eq(lowat(), 40000);
    pps_lowat_end(&wait, fd);
    ck_assert_int_eq(lowat(), 1);
    ck_assert_int_eq(rcvbuf(), before);
}
END_TEST

START_TEST(what_no_buffer_can_hold_is_refused)
{
    set(SO_RCVBUF, 0);
    ck_assert(!pps_lowat_ask(&wait, fd, 1u << 30));
    ck_assert(!pps_lowat_ask(&wait, fd, 1u << 30));
    pps_lowat_end(&wait, fd);
    ck_assert_int_eq(lowat(), 1);
    ck_assert_int_eq(rcvbuf(), SMALL);
}
END_TEST

START_TEST(where_there_is_no_such_thing_every_arrival_wakes)
{
    int pipe_ends[2];
    ck_assert_int_eq(pipe(pipe_ends), 0);
    ck_assert(pps_lowat_ask(&wait, pipe_ends[0], 1u << 30));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}
END_TEST

Suite *suite_lowat(void)
{
    Suite *s = suite_create("lowat");
    TCase *t = tcase_create("lowat");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_asked_is_set_and_taken_back);
    tcase_add_test(t, what_the_listener_had_comes_back);
    tcase_add_test(t, what_is_asked_already_is_not_set_again);
    tcase_add_test(t, a_small_buffer_is_enlarged_as_long_as_it_is_needed);
    tcase_add_test(t, what_no_buffer_can_hold_is_refused);
    tcase_add_test(t, where_there_is_no_such_thing_every_arrival_wakes);
    suite_add_tcase(s, t);
    return s;
}
