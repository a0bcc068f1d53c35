/* SPDX-License-Identifier: MIT
 *
 * test_own_fds.c: what numbers are (fd_table.h), and where ours are (own_fds.h). The band is reserved once a process:
 * each test has a forked one.
 */
#include "../../shim/preload/fd_table.h"
#include "../../shim/preload/own_fds.h"
#include "forked.h"
#include "suites.h"
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT 1000
#define BAND (LIMIT - 100 - 64) /* of 100 connections */

static bool limit_numbers(unsigned count)
{
    struct rlimit numbers;
    if (getrlimit(RLIMIT_NOFILE, &numbers) != 0)
        return false;
    numbers.rlim_cur = count;
    return setrlimit(RLIMIT_NOFILE, &numbers) == 0;
}

static bool reserve(unsigned count)
{
    bool limited = limit_numbers(LIMIT);
    pps_own_fds_reserve(count);
    return limited;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) == FD_CLOEXEC;
}

static int new_fd(void)
{
    return dup(STDIN_FILENO);
}

/* --- fd_table.h --- */

static bool marks_are_remembered(void)
{
    pps_fd_mark(900, PPS_FD_OTHER);
    bool other = pps_fd_kind(900) == PPS_FD_OTHER && !pps_fd_may_govern(900);
    pps_fd_mark(900, PPS_FD_GOVERNED + 4095);
    bool governed = pps_fd_kind(900) == PPS_FD_GOVERNED && pps_fd_word(900) == PPS_FD_GOVERNED + 4095;
    bool may = pps_fd_may_govern(900);
    pps_fd_mark(900, PPS_FD_UNKNOWN);
    return other && governed && may && pps_fd_kind(900) == PPS_FD_UNKNOWN && pps_fd_kind(901) == PPS_FD_UNKNOWN;
}

static bool only_some_kinds_may_govern(void)
{
    bool right = true;
    for (unsigned kind = PPS_FD_UNKNOWN; kind <= PPS_FD_GOVERNED; kind++) {
        pps_fd_mark(900, kind);
        bool may = kind == PPS_FD_INHERITED || kind == PPS_FD_EPOLL || kind == PPS_FD_GOVERNED;
        right = right && pps_fd_kind(900) == kind && pps_fd_may_govern(900) == may;
    }
    return right;
}

static bool numbers_outside_are_unknown(void)
{
    pps_fd_mark(-1, PPS_FD_OTHER);
    pps_fd_mark(PPS_FD_MAX, PPS_FD_OTHER);
    return pps_fd_kind(-1) == PPS_FD_UNKNOWN && pps_fd_kind(PPS_FD_MAX) == PPS_FD_UNKNOWN &&
           pps_fd_end() < PPS_FD_MAX && !pps_fd_may_govern(PPS_FD_MAX);
}

static bool the_end_is_behind_the_highest_ever(void)
{
    int before = pps_fd_end();
    pps_fd_mark(before + 20, PPS_FD_UNKNOWN);
    bool same = pps_fd_end() == before;
    pps_fd_mark(before + 10, PPS_FD_OTHER);
    bool grown = pps_fd_end() == before + 11;
    pps_fd_mark(before + 5, PPS_FD_OTHER);
    pps_fd_mark(before + 10, PPS_FD_UNKNOWN);
    bool stays = pps_fd_end() == before + 11;
    pps_fd_mark(PPS_FD_MAX - 1, PPS_FD_OTHER);
    return same && grown && stays && pps_fd_end() == PPS_FD_MAX;
}

START_TEST(the_table_says_what_it_was_told)
{
    ck_assert(in_child(marks_are_remembered));
    ck_assert(in_child(only_some_kinds_may_govern));
    ck_assert(in_child(numbers_outside_are_unknown));
    ck_assert(in_child(the_end_is_behind_the_highest_ever));
}
END_TEST

/* --- own_fds.h --- */

static bool raised_into_the_band(void)
{
    if (!reserve(100))
        return false;
    int a = new_fd(), b = new_fd();
    pps_fd_mark(a, PPS_FD_OTHER);
    return pps_own_fd_raise(a) == BAND && pps_own_fd_raise(b) == BAND + 1 && !is_open(a) && !is_open(b) &&
           is_cloexec(BAND) && pps_fd_kind(a) == PPS_FD_UNKNOWN && pps_fd_kind(BAND) == PPS_FD_OURS;
}

START_TEST(ours_are_at_the_top_and_the_low_number_is_free)
{
    ck_assert(in_child(raised_into_the_band));
}
END_TEST

static bool raised_into_half(void)
{
    return reserve(5000) && pps_own_fd_raise(new_fd()) == LIMIT / 2;
}

START_TEST(the_band_is_half_of_the_numbers_at_most)
{
    ck_assert(in_child(raised_into_half));
}
END_TEST

static bool raised_where_it_was_reserved(void)
{
    bool reserved = reserve(100);
    pps_own_fds_reserve(500);
    return reserved && pps_own_fd_raise(new_fd()) == BAND;
}

START_TEST(the_band_is_reserved_once)
{
    ck_assert(in_child(raised_where_it_was_reserved));
}
END_TEST

static bool raised_without_room(void)
{
    int fd = new_fd();
    return reserve(100) && limit_numbers(100) && pps_own_fd_raise(fd) == fd && is_cloexec(fd) &&
           pps_fd_kind(fd) == PPS_FD_OURS;
}

START_TEST(where_there_is_no_room_ours_stay_low)
{
    ck_assert(in_child(raised_without_room));
}
END_TEST

static bool lowered(void)
{
    if (!reserve(100))
        return false;
    int lowest = new_fd(), high = pps_own_fd_raise(lowest), low = pps_own_fd_lower(high, false);
    bool plain = low == lowest && fcntl(low, F_GETFD) == 0 && !is_open(high) && pps_fd_kind(high) == PPS_FD_UNKNOWN &&
                 pps_fd_kind(low) == PPS_FD_UNKNOWN;
    return plain && pps_own_fd_lower(pps_own_fd_raise(low), true) == lowest && is_cloexec(lowest);
}

START_TEST(handed_over_it_has_the_lowest_number)
{
    ck_assert(in_child(lowered));
}
END_TEST

static bool lowered_without_room(void)
{
    if (!reserve(100))
        return false;
    int high = pps_own_fd_raise(new_fd()), other = pps_own_fd_raise(new_fd());
    return limit_numbers(1) && pps_own_fd_lower(high, false) == high && fcntl(high, F_GETFD) == 0 &&
           pps_fd_kind(high) == PPS_FD_UNKNOWN && pps_own_fd_lower(other, true) == other && is_cloexec(other);
}

START_TEST(where_no_number_is_left_it_is_handed_over_high)
{
    ck_assert(in_child(lowered_without_room));
}
END_TEST

static bool opened_and_closed(void)
{
    int plus_one = 5;
    if (!reserve(100) || pps_own_fd_open(&plus_one, -1) || plus_one != 0)
        return false;
    pps_own_fd_close(&plus_one); /* nothing */
    bool opened = is_open(STDIN_FILENO) && pps_own_fd_open(&plus_one, new_fd()) && plus_one == BAND + 1;
    pps_own_fd_close(&plus_one);
    return opened && plus_one == 0 && !is_open(BAND) && pps_fd_kind(BAND) == PPS_FD_UNKNOWN;
}

START_TEST(one_that_could_not_be_opened_is_none)
{
    ck_assert(in_child(opened_and_closed));
}
END_TEST

Suite *suite_own_fds(void)
{
    Suite *s = suite_create("own_fds");
    TCase *t = tcase_create("own_fds");

    tcase_add_checked_fixture(t, forked_start, NULL);
    tcase_add_test(t, the_table_says_what_it_was_told);
    tcase_add_test(t, ours_are_at_the_top_and_the_low_number_is_free);
    tcase_add_test(t, the_band_is_half_of_the_numbers_at_most);
    tcase_add_test(t, the_band_is_reserved_once);
    tcase_add_test(t, where_there_is_no_room_ours_stay_low);
    tcase_add_test(t, handed_over_it_has_the_lowest_number);
    tcase_add_test(t, where_no_number_is_left_it_is_handed_over_high);
    tcase_add_test(t, one_that_could_not_be_opened_is_none);
    suite_add_tcase(s, t);
    return s;
}
