/* SPDX-License-Identifier: MIT
 *
 * test_interest.c: what is remembered of a listener's registrations in epolls, and what the kernel then has
 * (interest.h).
 */
#include "../../shim/preload/fdinfo.h"
#include "../../shim/preload/interest.h"
#include "../../shim/preload/lock.h"
#include "../../shim/preload/record.h"
#include "forked.h"
#include "suites.h"
#include <errno.h>
#include <netinet/in.h>
#include <ppshim/sockopt.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATA UINT64_C(0x1122334455667788)
#define OTHER_DATA UINT64_C(0x8877665544332211)

/* Records that listener.c never came to. */
static struct pps_listener one = {.index = PPS_LISTENERS_MAX - 1, .generation = 3},
                           two = {.index = PPS_LISTENERS_MAX - 2, .generation = 3};
static int fd_one, fd_two, epoll, beside, pair[2];
static struct pps_interest found;
static unsigned cursor;

static int new_listener(const struct pps_listener *l)
{
    struct pps_record *r = pps_record_of(l);
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert(bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 4) == 0);
    memset(r, 0, sizeof *r);
    atomic_store(&r->listener, *l);
    atomic_store(&r->numbers, 1);
    r->cookie = pps_sockopt_cookie(fd);
    ck_assert(r->cookie && pps_slot_open(&r->held, l->generation));
    pps_fd_mark(fd, PPS_FD_GOVERNED + l->index);
    return fd;
}

static void setup(void)
{
    forked_start();
    fd_one = new_listener(&one);
    fd_two = new_listener(&two);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    beside = epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    cursor = 0;
}

static void forget(int fd)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    pps_interest_closing(fd);
    pps_lock_leave(&lock);
    pps_fd_mark(fd, PPS_FD_UNKNOWN);
    close(fd);
}

static void teardown(void)
{
    int all[] = {epoll, beside, fd_one, fd_two, pair[0], pair[1]};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        forget(all[i]);
    memset(pps_record_of(&one), 0, sizeof(struct pps_record));
    memset(pps_record_of(&two), 0, sizeof(struct pps_record));
}

static int ctl(int op, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    return pps_interest_ctl(epoll, op, fd, &e);
}

static void add(int fd, uint32_t events, uint64_t data)
{
    ck_assert_int_eq(ctl(EPOLL_CTL_ADD, fd, events, data), 0);
}

static void attach(int private)
{
    struct pps_lock lock;
    pps_lock_enter(&lock);
    pps_interest_attach(&one, private);
    pps_lock_leave(&lock);
}

static bool next(void)
{
    return pps_interest_next(epoll, &cursor, &found);
}

static void first_is(int fd, const struct pps_listener *l, uint32_t events, uint64_t data)
{
    cursor = 0;
    ck_assert(next());
    ck_assert_int_eq(found.epfd, epoll);
    ck_assert_int_eq(found.fd, fd);
    ck_assert(pps_listener_same(&found.listener, l));
    ck_assert_uint_eq(found.events, events);
    ck_assert(found.data == data);
}

/* --- what the kernel has --- */

struct kernels {
    int fd;
    struct epoll_event event;
};

static bool is_it(void *context, int fd, const struct epoll_event *event)
{
    struct kernels *k = context;
    k->event = *event;
    return fd == k->fd;
}

static bool kernel_has(int fd)
{
    return pps_fdinfo_epoll(epoll, is_it, &(struct kernels){.fd = fd});
}

/* What the server, or we, may ask for: errors are always added. */
static uint32_t kernels_events(int fd)
{
    struct kernels k = {.fd = fd};
    ck_assert(pps_fdinfo_epoll(epoll, is_it, &k));
    return k.event.events & ~(uint32_t)(EPOLLERR | EPOLLHUP);
}

static uint64_t kernels_data(int fd)
{
    struct kernels k = {.fd = fd};
    ck_assert(pps_fdinfo_epoll(epoll, is_it, &k));
    return k.event.data.u64;
}

/* --- adding, changing, removing --- */

START_TEST(what_is_added_is_found_as_it_was_asked_for)
{
    ck_assert(!pps_interest_is_any(&one));
    add(fd_one, EPOLLIN | EPOLLET, DATA);
    ck_assert_int_eq(pps_fd_kind(epoll), PPS_FD_EPOLL);
    first_is(fd_one, &one, EPOLLIN | EPOLLET, DATA);
    ck_assert(!found.spent && !next());
    ck_assert(pps_interest_is_any(&one) && !pps_interest_is_any(&two));
    ck_assert_uint_eq(kernels_events(fd_one), EPOLLIN | EPOLLET);
    cursor = 0;
    ck_assert(!pps_interest_next(beside, &cursor, &found));
}
END_TEST

START_TEST(all_of_an_epoll_are_walked)
{
    add(fd_one, EPOLLIN, DATA);
    add(fd_two, EPOLLIN, OTHER_DATA);
    ck_assert(next());
    int first = found.fd;
    ck_assert(next());
    ck_assert_int_eq(first + found.fd, fd_one + fd_two);
    ck_assert(!next());
}
END_TEST

START_TEST(what_is_changed_is_found_changed)
{
    add(fd_one, EPOLLIN, DATA);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN | EPOLLONESHOT, OTHER_DATA), 0);
    first_is(fd_one, &one, EPOLLIN | EPOLLONESHOT, OTHER_DATA);
    ck_assert(!next());
    ck_assert(kernels_data(fd_one) == OTHER_DATA);
}
END_TEST

START_TEST(what_the_kernel_refuses_changes_nothing)
{
    ck_assert(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN, DATA) == -1 && errno == ENOENT);
    ck_assert(ctl(EPOLL_CTL_DEL, fd_one, EPOLLIN, DATA) == -1 && errno == ENOENT);
    ck_assert(!next());
    add(fd_one, EPOLLIN, DATA);
    ck_assert(ctl(EPOLL_CTL_ADD, fd_one, EPOLLOUT, OTHER_DATA) == -1 && errno == EEXIST);
    ck_assert(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN | EPOLLEXCLUSIVE, OTHER_DATA) == -1 && errno == EINVAL);
    first_is(fd_one, &one, EPOLLIN, DATA);
    ck_assert(!next());
}
END_TEST

START_TEST(what_is_removed_is_not_found_until_it_comes_again)
{
    add(fd_one, EPOLLIN, DATA);
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, fd_one, 0, 0), 0);
    ck_assert(!next() && !pps_interest_is_any(&one));
    add(fd_one, EPOLLET, OTHER_DATA);
    first_is(fd_one, &one, EPOLLET, OTHER_DATA);
    ck_assert(!next());
}
END_TEST

START_TEST(a_closed_listeners_registration_is_not_found)
{
    add(fd_one, EPOLLIN, DATA);
    add(fd_two, EPOLLIN, OTHER_DATA);
    forget(fd_one);
    ck_assert(next());
    ck_assert_int_eq(found.fd, fd_two);
    ck_assert(!next());
    ck_assert(!pps_interest_is_any(&one) && pps_interest_is_any(&two));
}
END_TEST

START_TEST(nor_are_a_closed_epolls)
{
    int number = epoll;
    add(fd_one, EPOLLIN, DATA);
    add(fd_two, EPOLLIN, OTHER_DATA);
    forget(epoll);
    ck_assert_int_eq(epoll = epoll_create1(EPOLL_CLOEXEC), number);
    ck_assert(!next() && !pps_interest_is_any(&one) && !pps_interest_is_any(&two));
    add(fd_two, EPOLLIN, DATA);
    first_is(fd_two, &two, EPOLLIN, DATA);
    ck_assert(!next());
}
END_TEST

START_TEST(what_was_closed_unseen_is_forgotten_once_it_is_asked_for)
{
    add(fd_one, EPOLLIN, DATA);
    ck_assert(next());
    ck_assert(pps_interest_verify(&found));
    ck_assert_uint_eq(kernels_events(fd_one), EPOLLIN);
    int other = epoll_create1(EPOLL_CLOEXEC);
    ck_assert_int_eq(dup2(other, epoll), epoll);
    close(other);
    ck_assert(!pps_interest_verify(&found));
    ck_assert(!kernel_has(fd_one));
    cursor = 0;
    ck_assert(!next() && !pps_interest_is_any(&one));
    ck_assert(!pps_interest_verify(&found));
}
END_TEST

START_TEST(a_descriptor_that_is_none_of_ours_is_the_kernels_business)
{
    add(pair[0], EPOLLIN, DATA);
    ck_assert_uint_eq(kernels_events(pair[0]), EPOLLIN);
    ck_assert(!next());
    ck_assert(pps_fd_kind(epoll) != PPS_FD_EPOLL);
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, pair[0], 0, 0), 0);
    ck_assert(!kernel_has(pair[0]));
}
END_TEST

/* --- the private epoll beside --- */

START_TEST(the_private_epoll_stands_beside_the_listener_with_its_data)
{
    add(fd_one, EPOLLIN | EPOLLET, DATA);
    add(fd_two, EPOLLIN, OTHER_DATA);
    ck_assert_int_eq(pps_interest_private(&one), -1);
    attach(beside);
    ck_assert_int_eq(pps_interest_private(&one), beside);
    ck_assert_int_eq(pps_interest_private(&two), -1);
    ck_assert(kernels_data(beside) == DATA);
    uint32_t events = kernels_events(beside);
    ck_assert((events & PPS_INTEREST_PARKED) && !(events & EPOLLET));
    attach(-1);
    ck_assert_int_eq(pps_interest_private(&one), -1);
    ck_assert(!kernel_has(beside) && kernel_has(fd_one));
}
END_TEST

START_TEST(it_is_one_listeners_of_a_generation_alone)
{
    struct pps_listener earlier = one;
    earlier.generation--;
    attach(beside);
    ck_assert_int_eq(pps_interest_private(&earlier), -1);
    attach(-1);
}
END_TEST

START_TEST(it_stands_in_an_epoll_that_comes_later_too)
{
    attach(beside);
    add(fd_two, EPOLLIN, OTHER_DATA);
    ck_assert(!kernel_has(beside));
    add(fd_one, EPOLLIN, DATA);
    ck_assert(kernels_data(beside) == DATA && kernels_events(beside) & PPS_INTEREST_PARKED);
    attach(-1);
}
END_TEST

START_TEST(it_is_mute_while_the_listener_is_removed_or_disarmed)
{
    add(fd_one, EPOLLIN, DATA);
    attach(beside);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLOUT, DATA), 0);
    ck_assert(!(kernels_events(beside) & (PPS_INTEREST_PARKED | EPOLLIN)));
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN, OTHER_DATA), 0);
    ck_assert(kernels_events(beside) & PPS_INTEREST_PARKED && kernels_data(beside) == OTHER_DATA);
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, fd_one, 0, 0), 0);
    ck_assert(kernel_has(beside) && !(kernels_events(beside) & (PPS_INTEREST_PARKED | EPOLLIN)));
    add(fd_one, EPOLLIN, DATA);
    ck_assert(kernels_events(beside) & PPS_INTEREST_PARKED && kernels_data(beside) == DATA);
    attach(-1);
}
END_TEST

START_TEST(a_change_that_the_kernel_refuses_leaves_it_as_it_was)
{
    add(fd_one, EPOLLIN, DATA);
    attach(beside);
    uint32_t events = kernels_events(beside);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLOUT | EPOLLEXCLUSIVE, OTHER_DATA), -1);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_uint_eq(kernels_events(beside), events);
    ck_assert(kernels_data(beside) == DATA);
    attach(-1);
}
END_TEST

START_TEST(a_lost_one_is_not_touched)
{
    struct pps_lock lock;
    add(fd_one, EPOLLIN, DATA);
    attach(beside);
    pps_lock_enter(&lock);
    pps_interest_lost(&one);
    pps_lock_leave(&lock);
    ck_assert_int_eq(pps_interest_private(&one), -1);
    attach(-1);
    ck_assert(kernel_has(beside));
}
END_TEST

START_TEST(it_is_put_where_it_could_not_be_put_before)
{
    struct pps_lock lock;
    struct epoll_event e = {.events = 0};
    add(fd_one, EPOLLIN, DATA);
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, beside, &e), 0); /* so that it fails */
    attach(beside);
    pps_lock_enter(&lock);
    ck_assert(!pps_interest_announces(&one));
    ck_assert(pps_interest_announces(&two));
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_DEL, beside, NULL), 0);
    ck_assert(pps_interest_announces(&one));
    pps_lock_leave(&lock);
    ck_assert(kernels_data(beside) == DATA);
    attach(-1);
}
END_TEST

/* --- one-shots, and what is owed --- */

START_TEST(a_shot_is_told_once_until_it_is_armed)
{
    add(fd_one, EPOLLIN | EPOLLONESHOT, DATA);
    ck_assert(next());
    ck_assert(pps_interest_spend(&found, true));
    ck_assert(!pps_interest_spend(&found, true));
    cursor = 0;
    ck_assert(next() && found.spent);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN | EPOLLONESHOT, DATA), 0);
    cursor = 0;
    ck_assert(next() && !found.spent);
    ck_assert(pps_interest_spend(&found, true));
}
END_TEST

START_TEST(a_shot_that_the_kernel_did_not_spend_is_disarmed)
{
    add(fd_one, EPOLLIN | EPOLLONESHOT, DATA);
    attach(beside);
    ck_assert(next());
    ck_assert(pps_interest_spend(&found, false));
    ck_assert_uint_eq(kernels_events(fd_one), EPOLLONESHOT);
    ck_assert(!(kernels_events(beside) & (EPOLLIN | PPS_INTEREST_PARKED)));
    ck_assert(!pps_interest_spend(&found, false));
    ck_assert(pps_interest_rearm(&found));
    ck_assert_uint_eq(kernels_events(fd_one), EPOLLIN | EPOLLONESHOT);
    ck_assert(kernels_events(beside) & PPS_INTEREST_PARKED);
    cursor = 0;
    ck_assert(next() && !found.spent);
    attach(-1);
}
END_TEST

START_TEST(an_exclusive_one_cannot_be_armed_anew)
{
    add(fd_one, EPOLLIN | EPOLLEXCLUSIVE, DATA);
    ck_assert(next());
    ck_assert(!pps_interest_rearm(&found));
    ck_assert_uint_eq(kernels_events(fd_one), EPOLLIN | EPOLLEXCLUSIVE);
}
END_TEST

START_TEST(what_was_removed_is_neither_spent_nor_armed)
{
    add(fd_one, EPOLLIN | EPOLLONESHOT, DATA);
    ck_assert(next());
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, fd_one, 0, 0), 0);
    ck_assert(!pps_interest_spend(&found, true) && !pps_interest_rearm(&found) && !pps_interest_verify(&found));
    ck_assert(!kernel_has(fd_one));
}
END_TEST

START_TEST(what_is_owed_is_owed_until_it_is_told)
{
    add(fd_one, EPOLLIN, DATA);
    ck_assert(next());
    ck_assert(!pps_interest_is_owed(&found));
    pps_interest_set_owed(&found, true);
    ck_assert(pps_interest_is_owed(&found));
    pps_interest_set_owed(&found, false);
    ck_assert(!pps_interest_is_owed(&found));
    pps_interest_owe_edges(&one);
    ck_assert(!pps_interest_is_owed(&found));
}
END_TEST

START_TEST(an_edge_is_owed_to_its_own_listener_alone)
{
    add(fd_one, EPOLLIN | EPOLLET, DATA);
    ck_assert(next());
    pps_interest_owe_edges(&two);
    ck_assert(!pps_interest_is_owed(&found));
    pps_interest_owe_edges(&one);
    ck_assert(pps_interest_is_owed(&found));
    ck_assert(pps_interest_spend(&found, true));
    pps_interest_set_owed(&found, true);
    ck_assert(!pps_interest_is_owed(&found)); /* spent */
}
END_TEST

START_TEST(who_comes_while_one_is_held_is_owed_it)
{
    struct pps_slot *held = &pps_record_of(&one)->held;
    pps_claim claim = pps_slot_claim_empty(held, one.generation);
    add(fd_two, EPOLLIN, OTHER_DATA);
    ck_assert(next() && !pps_interest_is_owed(&found));
    add(fd_one, EPOLLIN, DATA);
    first_is(fd_one, &one, EPOLLIN, DATA);
    ck_assert(pps_interest_is_owed(&found));
    pps_slot_release(held, claim);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN, DATA), 0);
    ck_assert(!pps_interest_is_owed(&found));
}
END_TEST

/* --- others with the same data --- */

START_TEST(a_listener_that_cannot_be_told_from_another_descriptor_is_not_walked)
{
    add(fd_one, EPOLLIN, DATA);
    add(pair[0], EPOLLIN, OTHER_DATA);
    ck_assert(!pps_interest_is_ambiguous(&one));
    add(pair[1], EPOLLIN, DATA);
    ck_assert(pps_interest_is_ambiguous(&one) && !pps_interest_is_ambiguous(&two));
    ck_assert(!next() && pps_interest_is_any(&one));
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, fd_one, EPOLLIN, DATA - 1), 0);
    ck_assert(!pps_interest_is_ambiguous(&one));
    first_is(fd_one, &one, EPOLLIN, DATA - 1);
}
END_TEST

START_TEST(nor_is_one_whose_data_another_descriptor_takes_by_a_change)
{
    add(fd_one, EPOLLIN, DATA);
    add(pair[0], EPOLLIN, OTHER_DATA);
    ck_assert_int_eq(ctl(EPOLL_CTL_MOD, pair[0], EPOLLIN, DATA), 0);
    ck_assert(pps_interest_is_ambiguous(&one));
}
END_TEST

START_TEST(who_leaves_makes_nobody_ambiguous)
{
    add(pair[0], EPOLLIN, DATA);
    add(fd_one, EPOLLIN, DATA);
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, pair[0], EPOLLIN, DATA), 0);
    ck_assert(!pps_interest_is_ambiguous(&one));
}
END_TEST

START_TEST(what_stood_in_the_epoll_before_is_found_out_by_the_first_look)
{
    add(pair[0], EPOLLIN, DATA);
    add(fd_one, EPOLLIN, DATA);
    ck_assert(next());
    ck_assert(!pps_interest_is_clear(&found));
    ck_assert(pps_interest_is_ambiguous(&one));
    cursor = 0;
    ck_assert(!next());
}
END_TEST

START_TEST(of_what_stood_there_only_what_is_readable_counts)
{
    add(pair[0], EPOLLOUT, DATA);
    add(pair[1], EPOLLIN, OTHER_DATA);
    add(fd_one, EPOLLIN, DATA);
    ck_assert(next());
    ck_assert(pps_interest_is_clear(&found));
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = DATA};
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], &e), 0); /* unseen: it is not asked again */
    ck_assert(pps_interest_is_clear(&found));
}
END_TEST

/* --- epolls in epolls, and what was there before --- */

START_TEST(an_epoll_in_an_epoll_is_walked_as_no_listener)
{
    static const struct pps_listener none;
    pps_fd_mark(beside, PPS_FD_UNKNOWN);
    add(beside, EPOLLIN, DATA);
    first_is(beside, &none, EPOLLIN, DATA);
    ck_assert_int_eq(pps_fd_kind(beside), PPS_FD_EPOLL);
    ck_assert_int_eq(ctl(EPOLL_CTL_DEL, beside, 0, 0), 0);
    cursor = 0;
    ck_assert(!next());
}
END_TEST

START_TEST(what_was_put_there_before_is_adopted)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = DATA};
    ck_assert_int_eq(epoll_ctl(epoll, EPOLL_CTL_ADD, fd_one, &e), 0);
    ck_assert(!pps_interest_is_any(&one));
    pps_interest_adopt(fd_two, &two);
    ck_assert(!pps_interest_is_any(&two));
    pps_interest_adopt(fd_one, &one);
    cursor = 0;
    ck_assert(next());
    ck_assert_int_eq(found.fd, fd_one);
    ck_assert(found.data == DATA && found.events & EPOLLET);
    pps_interest_adopt(fd_one, &one);
    ck_assert(!next());
}
END_TEST

Suite *suite_interest(void)
{
    Suite *s = suite_create("interest");
    TCase *t = tcase_create("interest");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_is_added_is_found_as_it_was_asked_for);
    tcase_add_test(t, all_of_an_epoll_are_walked);
    tcase_add_test(t, what_is_changed_is_found_changed);
    tcase_add_test(t, what_the_kernel_refuses_changes_nothing);
    tcase_add_test(t, what_is_removed_is_not_found_until_it_comes_again);
    tcase_add_test(t, a_closed_listeners_registration_is_not_found);
    tcase_add_test(t, nor_are_a_closed_epolls);
    tcase_add_test(t, what_was_closed_unseen_is_forgotten_once_it_is_asked_for);
    tcase_add_test(t, a_descriptor_that_is_none_of_ours_is_the_kernels_business);
    tcase_add_test(t, the_private_epoll_stands_beside_the_listener_with_its_data);
    tcase_add_test(t, it_is_one_listeners_of_a_generation_alone);
    tcase_add_test(t, it_stands_in_an_epoll_that_comes_later_too);
    tcase_add_test(t, it_is_mute_while_the_listener_is_removed_or_disarmed);
    tcase_add_test(t, a_change_that_the_kernel_refuses_leaves_it_as_it_was);
    tcase_add_test(t, a_lost_one_is_not_touched);
    tcase_add_test(t, it_is_put_where_it_could_not_be_put_before);
    tcase_add_test(t, a_shot_is_told_once_until_it_is_armed);
    tcase_add_test(t, a_shot_that_the_kernel_did_not_spend_is_disarmed);
    tcase_add_test(t, an_exclusive_one_cannot_be_armed_anew);
    tcase_add_test(t, what_was_removed_is_neither_spent_nor_armed);
    tcase_add_test(t, what_is_owed_is_owed_until_it_is_told);
    tcase_add_test(t, an_edge_is_owed_to_its_own_listener_alone);
    tcase_add_test(t, who_comes_while_one_is_held_is_owed_it);
    tcase_add_test(t, a_listener_that_cannot_be_told_from_another_descriptor_is_not_walked);
    tcase_add_test(t, nor_is_one_whose_data_another_descriptor_takes_by_a_change);
    tcase_add_test(t, who_leaves_makes_nobody_ambiguous);
    tcase_add_test(t, what_stood_in_the_epoll_before_is_found_out_by_the_first_look);
    tcase_add_test(t, of_what_stood_there_only_what_is_readable_counts);
    tcase_add_test(t, an_epoll_in_an_epoll_is_walked_as_no_listener);
    tcase_add_test(t, what_was_put_there_before_is_adopted);
    suite_add_tcase(s, t);
    return s;
}
