/* SPDX-License-Identifier: MIT
 *
 * test_late.c: connections whose header is late (late.h). Their descriptors are pipes: late.c asks none of them.
 */
#include "../../shim/preload/late.h"
#include "forked.h"
#include "suites.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS SOCK_CLOEXEC

static const struct pps_listener one = {.index = 1, .generation = 5}, two = {.index = 2, .generation = 5},
                                 later = {.index = 1, .generation = 6};
static struct pps_late late;
static struct pps_late_claim claim;

static void setup(void)
{
    forked_start();
    pps_late_gather_none(&late);
    ck_assert(!pps_late_is_any());
}

static void teardown(void)
{
    while (pps_late_claim_any(NULL, &claim)) {
        pps_fd_mark(claim.conn.fd, PPS_FD_UNKNOWN);
        pps_late_release(&claim);
        close(claim.conn.fd);
    }
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static struct pps_conn new_conn(uint64_t arrived)
{
    return (struct pps_conn){.fd = dup(STDIN_FILENO), .arrived = arrived};
}

static int put(const struct pps_listener *l, uint64_t arrived)
{
    struct pps_conn c = new_conn(arrived);
    ck_assert_int_ge(c.fd, 0);
    ck_assert(pps_late_put(l, &c, FLAGS));
    return c.fd;
}

START_TEST(a_wait_is_told_whom_to_watch_and_until_when)
{
    int fd = put(&one, 1000);
    ck_assert(pps_late_is_any());
    ck_assert_int_eq(pps_fd_kind(fd), PPS_FD_OURS);
    pps_late_gather(&late, &one);
    ck_assert_uint_eq(late.count, 1);
    ck_assert_int_eq(late.fds[0].fd, fd);
    ck_assert_int_eq(late.fds[0].events, POLLIN | POLLRDHUP);
    ck_assert_uint_eq(late.until, 1000 + PPS_LATE_PATIENCE);
}
END_TEST

START_TEST(without_any_there_is_nobody_to_watch)
{
    pps_late_gather_all(&late);
    ck_assert_uint_eq(late.count, 0);
    ck_assert(late.until == PPS_NEVER);
    ck_assert(!pps_late_claim_any(NULL, &claim));
}
END_TEST

START_TEST(each_listener_has_its_own)
{
    int fd = put(&one, 1000);
    put(&two, 500);
    pps_late_gather(&late, &later);
    ck_assert_uint_eq(late.count, 0);
    pps_late_gather(&late, &one);
    ck_assert_uint_eq(late.count, 1);
    ck_assert_int_eq(late.fds[0].fd, fd);
    ck_assert(!pps_late_claim_any(&later, &claim));
}
END_TEST

START_TEST(none_is_gathered_twice_and_the_first_deadline_counts)
{
    put(&one, 2000);
    put(&two, 1000);
    put(&one, 3000);
    pps_late_gather(&late, &one);
    ck_assert_uint_eq(late.count, 2);
    ck_assert_uint_eq(late.until, 2000 + PPS_LATE_PATIENCE);
    pps_late_gather(&late, &one);
    pps_late_gather_all(&late);
    ck_assert_uint_eq(late.count, 3);
    ck_assert_uint_eq(late.until, 1000 + PPS_LATE_PATIENCE);
}
END_TEST

START_TEST(where_no_slot_is_free_the_caller_keeps_it)
{
    for (int i = 0; i < PPS_LATE_MAX; i++)
        put(i % 2 ? &one : &two, 1);
    struct pps_conn c = new_conn(1);
    int fd = c.fd;
    ck_assert(!pps_late_put(&one, &c, FLAGS));
    ck_assert_int_eq(c.fd, fd);
    ck_assert_int_ne(pps_fd_kind(fd), PPS_FD_OURS);
    close(fd);
    pps_late_gather_all(&late);
    ck_assert_uint_eq(late.count, PPS_LATE_MAX);
    ck_assert(pps_late_claim(&late, 3, &claim));
    pps_late_release(&claim);
    close(claim.conn.fd);
    put(&one, 1);
}
END_TEST

START_TEST(a_claim_has_the_connection_as_it_was_put)
{
    int fd = put(&one, 1000);
    pps_late_gather(&late, &one);
    ck_assert(pps_late_claim(&late, 0, &claim));
    ck_assert_int_eq(claim.conn.fd, fd);
    ck_assert_uint_eq(claim.conn.arrived, 1000);
    ck_assert_int_eq(claim.flags, FLAGS);
    ck_assert(pps_listener_same(&claim.listener, &one));
    pps_late_put_back(&claim);
}
END_TEST

START_TEST(who_has_claimed_it_has_it_alone)
{
    struct pps_late_claim other;
    struct pps_late meanwhile;
    put(&one, 1000);
    pps_late_gather(&late, &one);
    ck_assert(pps_late_claim(&late, 0, &claim));
    ck_assert(!pps_late_claim(&late, 0, &other));
    ck_assert(!pps_late_claim_any(NULL, &other));
    pps_late_gather_none(&meanwhile);
    pps_late_gather_all(&meanwhile);
    ck_assert_uint_eq(meanwhile.count, 0);
    ck_assert(pps_late_is_any());
    pps_late_put_back(&claim);
}
END_TEST

START_TEST(what_is_put_back_is_the_same_one_still)
{
    put(&one, 1000);
    pps_late_gather(&late, &one);
    ck_assert(pps_late_claim(&late, 0, &claim));
    claim.flags = SOCK_NONBLOCK;
    pps_late_put_back(&claim);
    ck_assert(pps_late_claim(&late, 0, &claim));
    ck_assert_int_eq(claim.flags, SOCK_NONBLOCK);
    pps_late_put_back(&claim);
}
END_TEST

START_TEST(what_was_released_is_gone)
{
    struct pps_late_claim other;
    put(&one, 1000);
    pps_late_gather(&late, &one);
    ck_assert(pps_late_claim(&late, 0, &claim));
    pps_late_release(&claim);
    ck_assert(!pps_late_is_any());
    ck_assert(!pps_late_claim(&late, 0, &other));
    close(claim.conn.fd);
}
END_TEST

START_TEST(another_in_the_same_slot_is_not_whom_a_wait_watched)
{
    put(&one, 1000);
    pps_late_gather(&late, &one);
    ck_assert(pps_late_claim(&late, 0, &claim));
    pps_late_release(&claim);
    close(claim.conn.fd);
    put(&one, 2000);
    ck_assert(!pps_late_claim(&late, 0, &claim));
    ck_assert(pps_late_is_any());
}
END_TEST

START_TEST(any_is_the_listeners_or_everybodys)
{
    int fd = put(&two, 1000);
    ck_assert(!pps_late_claim_any(&one, &claim));
    ck_assert(pps_late_claim_any(&two, &claim));
    pps_late_put_back(&claim);
    ck_assert(pps_late_claim_any(NULL, &claim));
    ck_assert_int_eq(claim.conn.fd, fd);
    pps_late_put_back(&claim);
}
END_TEST

START_TEST(what_the_server_closes_is_forgotten_and_left_for_it_to_close)
{
    int fd = put(&one, 1000), other = put(&one, 1000);
    pps_late_closing(fd);
    ck_assert_int_eq(pps_fd_kind(fd), PPS_FD_UNKNOWN);
    ck_assert(is_open(fd));
    close(fd);
    pps_late_gather_all(&late);
    ck_assert_uint_eq(late.count, 1);
    ck_assert_int_eq(late.fds[0].fd, other);
}
END_TEST

START_TEST(what_somebody_has_claimed_is_not_forgotten)
{
    int fd = put(&one, 1000);
    ck_assert(pps_late_claim_any(&one, &claim));
    pps_late_closing(fd);
    pps_late_put_back(&claim);
    ck_assert(pps_late_is_any() && pps_late_claim_any(&one, &claim));
    pps_late_put_back(&claim);
}
END_TEST

static int full_fd;

static bool child_has_none(void)
{
    struct pps_conn c = new_conn(7);
    bool none = !pps_late_is_any() && !pps_late_claim_any(NULL, &claim) && c.fd == full_fd;
    return none && pps_late_put(&one, &c, 0) && pps_late_is_any() && pps_late_claim_any(&one, &claim);
}

START_TEST(a_forked_child_closes_its_copies_and_begins_anew)
{
    full_fd = put(&one, 1000);
    ck_assert(in_child(child_has_none));
    ck_assert(is_open(full_fd) && pps_late_is_any());
}
END_TEST

static bool child_ends_its_claim(void)
{
    pps_late_put_back(&claim);
    pps_late_release(&claim);
    return !pps_late_is_any() && !is_open(full_fd) && put(&one, 1) == full_fd && pps_late_is_any();
}

START_TEST(a_claim_from_before_a_fork_ends_nothing_in_the_child)
{
    full_fd = put(&one, 1000);
    ck_assert(pps_late_claim_any(&one, &claim));
    ck_assert(in_child(child_ends_its_claim));
    pps_late_put_back(&claim);
}
END_TEST

/* --- a handler that forks after the slot was claimed: the listener lies on a page that cannot be read yet --- */

static struct pps_listener *hidden;
static volatile pid_t forked_in_handler;

static void fork_here(int sig)
{
    (void)sig;
    mprotect(hidden, sizeof *hidden, PROT_READ);
    forked_in_handler = fork();
}

static bool child_was_left_alone(void)
{
    return !pps_late_is_any() && !pps_late_claim_any(NULL, &claim) && !is_open(full_fd) &&
           pps_fd_kind(full_fd) == PPS_FD_UNKNOWN && put(&one, 1) == full_fd && pps_late_is_any();
}

START_TEST(a_put_that_a_forking_handler_interrupts_is_the_parents_alone)
{
    struct sigaction before, sa = {.sa_handler = fork_here};
    struct pps_conn c = new_conn(1000);
    int status = -1;
    full_fd = c.fd;
    hidden = mmap(NULL, sizeof *hidden, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(hidden != MAP_FAILED);
    *hidden = one;
    ck_assert_int_eq(sigaction(SIGSEGV, &sa, &before), 0);
    ck_assert_int_eq(mprotect(hidden, sizeof *hidden, PROT_NONE), 0);
    forked_in_handler = -1;
    bool put = pps_late_put(hidden, &c, FLAGS);
    if (forked_in_handler == 0)
        _exit(put && child_was_left_alone() ? 0 : 1);
    sigaction(SIGSEGV, &before, NULL);
    ck_assert_int_gt(forked_in_handler, 0);
    ck_assert_int_eq(waitpid(forked_in_handler, &status, 0), forked_in_handler);
    ck_assert_int_eq(status, 0);
    ck_assert(put && is_open(full_fd) && pps_late_claim_any(&one, &claim));
    pps_late_put_back(&claim);
    munmap(hidden, sizeof *hidden);
}
END_TEST

/* --- threads --- */

#define THREADS 4
#define ROUNDS 20000

static atomic_uint owners[1024], wrong, taken;

static void *come_and_go(void *unused)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct pps_conn c = {.fd = 100 + (int)(i % 800), .arrived = i, .need = 1};
        struct pps_late_claim mine;
        atomic_fetch_add(&owners[c.fd], pps_late_put(&one, &c, FLAGS));
        if (!pps_late_claim_any(&one, &mine))
            continue;
        wrong += mine.conn.need != 1 || mine.flags != FLAGS;
        if (i % 3 == 0) {
            pps_late_put_back(&mine);
            continue;
        }
        pps_late_release(&mine);
        atomic_fetch_sub(&owners[mine.conn.fd], 1);
        taken++;
    }
    return unused;
}

/* A thread counts what it put only after another may have taken it: so the sums at the end, and never in between. */
START_TEST(each_connection_is_had_once_whoever_is_quicker)
{
    pthread_t threads[THREADS];
    unsigned left = 0;
    wrong = taken = 0;
    for (unsigned i = 0; i < 1024; i++)
        owners[i] = 1;
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (; pps_late_claim_any(NULL, &claim); left++) {
        pps_late_release(&claim);
        atomic_fetch_sub(&owners[claim.conn.fd], 1);
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_gt(taken, 0);
    ck_assert_uint_le(left, PPS_LATE_MAX);
    ck_assert(!pps_late_is_any());
    for (unsigned i = 0; i < 1024; i++)
        ck_assert_uint_eq(owners[i], 1);
    for (int fd = 100; fd < 900; fd++)
        pps_fd_mark(fd, PPS_FD_UNKNOWN);
}
END_TEST

Suite *suite_late(void)
{
    Suite *s = suite_create("late");
    TCase *t = tcase_create("late"), *threads = tcase_create("threads");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_checked_fixture(threads, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_set_timeout(threads, 60);
    tcase_add_test(t, a_wait_is_told_whom_to_watch_and_until_when);
    tcase_add_test(t, without_any_there_is_nobody_to_watch);
    tcase_add_test(t, each_listener_has_its_own);
    tcase_add_test(t, none_is_gathered_twice_and_the_first_deadline_counts);
    tcase_add_test(t, where_no_slot_is_free_the_caller_keeps_it);
    tcase_add_test(t, a_claim_has_the_connection_as_it_was_put);
    tcase_add_test(t, who_has_claimed_it_has_it_alone);
    tcase_add_test(t, what_is_put_back_is_the_same_one_still);
    tcase_add_test(t, what_was_released_is_gone);
    tcase_add_test(t, another_in_the_same_slot_is_not_whom_a_wait_watched);
    tcase_add_test(t, any_is_the_listeners_or_everybodys);
    tcase_add_test(t, what_the_server_closes_is_forgotten_and_left_for_it_to_close);
    tcase_add_test(t, what_somebody_has_claimed_is_not_forgotten);
    tcase_add_test(t, a_forked_child_closes_its_copies_and_begins_anew);
    tcase_add_test(t, a_claim_from_before_a_fork_ends_nothing_in_the_child);
    tcase_add_test(t, a_put_that_a_forking_handler_interrupts_is_the_parents_alone);
    tcase_add_test(threads, each_connection_is_had_once_whoever_is_quicker);
    suite_add_tcase(s, t);
    suite_add_tcase(s, threads);
    return s;
}
