/* SPDX-License-Identifier: MIT
 *
 * test_slot.c: the states of a slot (slot.h), against a model, and in the child of a fork at the worst moments.
 */
#include "../../shim/preload/process.h"
#include "../../shim/preload/slot.h"
#include "forked.h"
#include "suites.h"
#include <fcntl.h>
#include <ppshim/unix_name.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS 0x123 /* the slot does not care */

static struct pps_slot slot;
static struct pps_conn conn;
static pps_claim claim;
static int other_end;

static void setup(void)
{
    static const struct pps_unix_name name = {.length = 1, .text = "/"};
    int ends[2];
    forked_start();
    memset(&slot, 0, sizeof slot);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    conn = (struct pps_conn){.fd = ends[0], .origin.unix_name = &name, .inode = pps_conn_inode(ends[0]), .need = 77};
    other_end = ends[1];
}

static void teardown(void)
{
    close(other_end);
    close(conn.fd);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void fill(uint16_t tag)
{
    ck_assert(pps_slot_open(&slot, tag));
    claim = pps_slot_claim_empty(&slot, tag);
    ck_assert(claim);
    ck_assert(pps_slot_put(&slot, claim, &conn, FLAGS));
}

static void claim_it(uint16_t tag)
{
    ck_assert(pps_slot_open(&slot, tag));
    claim = pps_slot_claim_empty(&slot, tag);
    ck_assert(claim);
}

/* --- one process --- */

START_TEST(what_is_put_is_found)
{
    fill(7);
    ck_assert(pps_slot_is_full(&slot, 7) && !pps_slot_is_idle(&slot));
    ck_assert(pps_slot_claim_full(&slot, 7));
    ck_assert_int_eq(slot.conn.fd, conn.fd);
    ck_assert_uint_eq(slot.conn.need, 77);
    ck_assert_int_eq(slot.flags, FLAGS);
}
END_TEST

START_TEST(a_slot_without_a_tag_of_its_own_is_open_for_none)
{
    ck_assert(pps_slot_is_idle(&slot));
    ck_assert(!pps_slot_is_full(&slot, 7));
    ck_assert(!pps_slot_claim_empty(&slot, 7));
    ck_assert(!pps_slot_claim_full(&slot, 0));
}
END_TEST

START_TEST(only_one_can_claim_it)
{
    claim_it(7);
    ck_assert(!pps_slot_claim_empty(&slot, 7));
    ck_assert(!pps_slot_claim_full(&slot, 7));
    ck_assert(!pps_slot_claim_next(&slot));
    ck_assert(!pps_slot_is_idle(&slot) && !pps_slot_is_full(&slot, 7));
    ck_assert(!pps_slot_is_void(&slot, claim));
}
END_TEST

START_TEST(a_claim_must_name_the_tag)
{
    fill(7);
    ck_assert(!pps_slot_is_full(&slot, 8));
    ck_assert(!pps_slot_claim_full(&slot, 8));
    ck_assert(!pps_slot_claim_empty(&slot, 7));
    ck_assert(pps_slot_claim_full(&slot, 7));
}
END_TEST

START_TEST(a_released_claim_leaves_it_empty)
{
    claim_it(7);
    pps_slot_expect(&slot, claim, conn.fd);
    pps_slot_release(&slot, claim);
    ck_assert(pps_slot_is_idle(&slot));
    ck_assert_int_eq(slot.fd, 0);
    ck_assert(pps_slot_claim_empty(&slot, 7));
}
END_TEST

START_TEST(what_is_busy_is_not_opened_for_another)
{
    claim_it(7);
    ck_assert(!pps_slot_open(&slot, 8));
    ck_assert(pps_slot_put(&slot, claim, &conn, FLAGS));
    ck_assert(!pps_slot_open(&slot, 8));
    ck_assert_uint_eq(pps_slot_tag(&slot), 7);
}
END_TEST

START_TEST(who_closes_a_full_one_has_the_connection_and_nobody_else)
{
    struct pps_conn out = {.fd = -1};
    fill(7);
    ck_assert(pps_slot_close(&slot, 7, &out));
    ck_assert_int_eq(out.fd, conn.fd);
    ck_assert(pps_slot_is_idle(&slot) && !pps_slot_claim_full(&slot, 7));
    ck_assert(!pps_slot_close(&slot, 7, &out));
    ck_assert_int_eq(slot.fd, 0);
}
END_TEST

START_TEST(what_is_put_into_a_closed_one_stays_the_callers)
{
    struct pps_conn out = {.fd = -1};
    claim_it(7);
    ck_assert(!pps_slot_close(&slot, 7, &out));
    ck_assert(!pps_slot_is_void(&slot, claim));
    ck_assert(!pps_slot_put(&slot, claim, &conn, FLAGS));
    ck_assert_int_ge(conn.fd, 0);
    ck_assert_int_eq(slot.fd, 0);
    ck_assert(pps_slot_is_idle(&slot) && !pps_slot_claim_empty(&slot, 7));
}
END_TEST

START_TEST(a_closed_one_that_is_released_stays_closed_until_it_is_opened)
{
    struct pps_conn out;
    claim_it(7);
    ck_assert(!pps_slot_close(&slot, 7, &out));
    pps_slot_release(&slot, claim);
    ck_assert(pps_slot_is_idle(&slot) && !pps_slot_claim_empty(&slot, 7));
    ck_assert(pps_slot_open(&slot, 8));
    ck_assert(!pps_slot_claim_empty(&slot, 7));
    ck_assert(pps_slot_claim_empty(&slot, 8));
}
END_TEST

START_TEST(only_its_own_tag_closes_it)
{
    struct pps_conn out;
    fill(7);
    ck_assert(!pps_slot_close(&slot, 6, &out));
    ck_assert(pps_slot_is_full(&slot, 7));
}
END_TEST

START_TEST(each_connection_of_nobodys_slot_has_a_tag_of_its_own)
{
    uint16_t before = pps_slot_tag(&slot);
    claim = pps_slot_claim_next(&slot);
    ck_assert(pps_slot_put(&slot, claim, &conn, FLAGS));
    ck_assert_uint_eq(pps_slot_tag(&slot), before + 1);
    ck_assert(!pps_slot_claim_next(&slot));
    claim = pps_slot_claim_full(&slot, (uint16_t)(before + 1));
    pps_slot_release(&slot, claim);
    ck_assert(pps_slot_put(&slot, pps_slot_claim_next(&slot), &conn, FLAGS));
    ck_assert(!pps_slot_claim_full(&slot, (uint16_t)(before + 1)));
    ck_assert(pps_slot_claim_full(&slot, (uint16_t)(before + 2)));
}
END_TEST

START_TEST(tags_go_round)
{
    ck_assert(pps_slot_open(&slot, UINT16_MAX));
    claim = pps_slot_claim_next(&slot);
    ck_assert(claim);
    ck_assert_uint_eq(pps_slot_tag(&slot), 0);
    ck_assert(!pps_slot_is_void(&slot, claim));
}
END_TEST

/* --- every sequence of calls --- */

enum { EMPTY, CLAIMED, FULL };
struct model {
    int state;
    uint16_t tag;
    bool closed;
};
struct walk {
    struct pps_slot slot;
    struct model model;
    pps_claim claim;
};

static bool open_one(struct walk *w, uint16_t tag)
{
    bool may = w->model.state == EMPTY;
    if (may)
        w->model = (struct model){EMPTY, tag, false};
    return pps_slot_open(&w->slot, tag) == may;
}

static bool close_one(struct walk *w, uint16_t tag)
{
    struct pps_conn out = {.fd = -1};
    bool may = w->model.tag == tag && !w->model.closed, full = may && w->model.state == FULL;
    w->model.closed |= may;
    w->model.state = full ? EMPTY : w->model.state;
    return pps_slot_close(&w->slot, tag, &out) == full && out.fd == (full ? 5 : -1);
}

static bool claimed(struct walk *w, pps_claim got, bool may)
{
    if (got)
        w->claim = got;
    if (may)
        w->model.state = CLAIMED;
    return (got != 0) == may;
}

static bool claim_one(struct walk *w, uint16_t tag, int state)
{
    bool may = w->model.tag == tag && !w->model.closed && w->model.state == state;
    return claimed(w, state == EMPTY ? pps_slot_claim_empty(&w->slot, tag) : pps_slot_claim_full(&w->slot, tag), may);
}

static bool claim_next(struct walk *w)
{
    bool may = w->model.state == EMPTY;
    if (may)
        w->model = (struct model){EMPTY, (uint16_t)(w->model.tag + 1), false};
    return claimed(w, pps_slot_claim_next(&w->slot), may);
}

static bool put_one(struct walk *w)
{
    struct pps_conn c = {.fd = 5};
    if (w->model.state != CLAIMED)
        return true;
    w->model.state = w->model.closed ? EMPTY : FULL;
    return pps_slot_put(&w->slot, w->claim, &c, FLAGS) == !w->model.closed && c.fd == 5;
}

static bool release_one(struct walk *w)
{
    if (w->model.state != CLAIMED)
        return true;
    w->model.state = EMPTY;
    pps_slot_release(&w->slot, w->claim);
    return true;
}

static bool step(struct walk *w, unsigned call)
{
    switch (call) {
    case 0:
        return open_one(w, 7);
    case 1:
        return close_one(w, 7);
    case 2:
        return close_one(w, 8);
    case 3:
        return claim_one(w, 7, EMPTY);
    case 4:
        return claim_one(w, 7, FULL);
    case 5:
        return claim_one(w, 8, FULL);
    case 6:
        return claim_next(w);
    case 7:
        return put_one(w);
    default:
        return release_one(w);
    }
}

static bool agree(const struct walk *w)
{
    const struct model *m = &w->model;
    return pps_slot_tag(&w->slot) == m->tag && pps_slot_is_idle(&w->slot) == (m->state == EMPTY) &&
           pps_slot_is_full(&w->slot, m->tag) == (m->state == FULL && !m->closed) &&
           !pps_slot_is_full(&w->slot, (uint16_t)(m->tag + 1)) &&
           (m->state != CLAIMED || !pps_slot_is_void(&w->slot, w->claim)) &&
           atomic_load(&w->slot.fd) == (m->state == FULL    ? 6
                                        : m->state == EMPTY ? 0
                                                            : atomic_load(&w->slot.fd));
}

#define CALLS 9
#define DEEP 7

/* A number whose digits are the calls; 0: none disagrees. */
static unsigned disagreeing(const struct walk *from, unsigned depth)
{
    for (unsigned call = 0; depth && call < CALLS; call++) {
        struct walk w;
        memcpy(&w, from, sizeof w);
        bool right = step(&w, call) && agree(&w);
        unsigned deeper = right ? disagreeing(&w, depth - 1) : 0;
        if (!right || deeper)
            return deeper * 10 + call + 1;
    }
    return 0;
}

START_TEST(every_sequence_of_calls_does_what_the_picture_says)
{
    struct walk w;
    memset(&w, 0, sizeof w);
    ck_assert(open_one(&w, 7));
    ck_assert_uint_eq(disagreeing(&w, DEEP), 0);
}
END_TEST

/* --- the child of a fork --- */

static bool child_of_a_full_one(void)
{
    pps_slot_after_fork(&slot, true);
    return !is_open(conn.fd) && is_open(other_end) && pps_slot_is_idle(&slot) && slot.fd == 0 &&
           !pps_slot_claim_full(&slot, 7) && pps_slot_claim_empty(&slot, 7);
}

START_TEST(a_forked_child_closes_its_copy_and_has_an_empty_slot)
{
    fill(7);
    ck_assert(in_child(child_of_a_full_one));
    ck_assert(pps_slot_is_full(&slot, 7) && is_open(conn.fd));
}
END_TEST

static bool child_with_a_claim(void)
{
    struct pps_conn mine = conn;
    pps_slot_after_fork(&slot, true);
    bool is_void = pps_slot_is_void(&slot, claim), closed = !is_open(conn.fd);
    bool put = pps_slot_put(&slot, claim, &mine, FLAGS);
    return is_void && closed && !put && mine.fd == -1 && pps_slot_is_idle(&slot) && slot.fd == 0;
}

START_TEST(a_claim_is_void_in_a_forked_child_and_what_was_expected_closed)
{
    claim_it(7);
    pps_slot_expect(&slot, claim, conn.fd);
    ck_assert(in_child(child_with_a_claim));
    ck_assert(!pps_slot_is_void(&slot, claim) && is_open(conn.fd));
    ck_assert(pps_slot_put(&slot, claim, &conn, FLAGS));
}
END_TEST

static bool child_with_a_claim_of_its_own(void)
{
    pps_slot_after_fork(&slot, true);
    pps_claim mine = pps_slot_claim_empty(&slot, 7);
    struct pps_conn its = {.fd = other_end}, old = conn;
    pps_slot_expect(&slot, claim, 99);
    pps_slot_release(&slot, claim);
    return mine && mine != claim && slot.fd == 0 && !pps_slot_put(&slot, claim, &old, FLAGS) &&
           pps_slot_put(&slot, mine, &its, FLAGS) && pps_slot_is_full(&slot, 7) && slot.conn.fd == other_end;
}

START_TEST(a_void_claim_does_nothing_to_the_childs_own)
{
    claim_it(7);
    ck_assert(in_child(child_with_a_claim_of_its_own));
}
END_TEST

static bool child_of_a_closed_one(void)
{
    pps_slot_after_fork(&slot, true);
    return pps_slot_is_idle(&slot) && pps_slot_tag(&slot) == 7 && !pps_slot_claim_empty(&slot, 7) &&
           pps_slot_open(&slot, 8);
}

START_TEST(a_closed_one_is_closed_in_a_forked_child_too)
{
    struct pps_conn out;
    fill(7);
    ck_assert(pps_slot_close(&slot, 7, &out));
    ck_assert(in_child(child_of_a_closed_one));
}
END_TEST

static bool child_that_ran_for_a_while(void)
{
    pps_process_notice_fork();
    pps_slot_after_fork(&slot, false);
    return !is_open(conn.fd) && pps_slot_is_idle(&slot);
}

static bool child_that_reused_the_number(void)
{
    if (dup2(other_end, conn.fd) < 0)
        return false;
    pps_process_notice_fork();
    pps_slot_after_fork(&slot, false);
    return is_open(conn.fd) && pps_slot_is_idle(&slot);
}

START_TEST(a_child_that_ran_for_a_while_closes_what_is_a_copy_still)
{
    fill(7);
    ck_assert(in_raw_child(child_that_ran_for_a_while));
    ck_assert(in_raw_child(child_that_reused_the_number));
}
END_TEST

static bool child_that_does_not_know(void)
{
    pps_process_notice_fork();
    pps_slot_after_fork(&slot, false);
    return is_open(conn.fd) && pps_slot_is_void(&slot, claim) && pps_slot_is_idle(&slot);
}

START_TEST(a_child_that_ran_for_a_while_leaves_what_was_only_expected)
{
    claim_it(7);
    pps_slot_expect(&slot, claim, conn.fd);
    ck_assert(in_raw_child(child_that_does_not_know));
}
END_TEST

/* --- a handler that forks in the middle of a call: the slot lies across two pages, and the call stops between its look
   at the word and its first write behind it --- */

static struct pps_slot *split;
static char *second_page;
static volatile pid_t forked_in_handler;

static void fork_here(int sig)
{
    (void)sig;
    mprotect(second_page, 4096, PROT_READ | PROT_WRITE);
    forked_in_handler = fork();
    if (forked_in_handler == 0)
        pps_slot_after_fork(split, true);
}

static void split_slot(void)
{
    long page = sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(map != MAP_FAILED);
    second_page = map + page;
    split = (struct pps_slot *)(void *)(second_page - offsetof(struct pps_slot, fd));
    ck_assert(pps_slot_open(split, 7));
    claim = pps_slot_claim_empty(split, 7);
    pps_slot_expect(split, claim, conn.fd);
}

static void stop_between(struct sigaction *before)
{
    struct sigaction sa = {.sa_handler = fork_here};
    forked_in_handler = -1;
    ck_assert_int_eq(sigaction(SIGSEGV, &sa, before), 0);
    ck_assert_int_eq(mprotect(second_page, 4096, PROT_READ), 0);
}

static void child_must_have_been_right(const struct sigaction *before)
{
    int status = -1;
    sigaction(SIGSEGV, before, NULL);
    ck_assert_int_gt(forked_in_handler, 0);
    ck_assert_int_eq(waitpid(forked_in_handler, &status, 0), forked_in_handler);
    ck_assert_int_eq(status, 0);
}

START_TEST(a_put_that_a_forking_handler_interrupts_is_void_in_the_child)
{
    struct sigaction before;
    struct pps_conn mine = conn;
    split_slot();
    stop_between(&before);
    bool put = pps_slot_put(split, claim, &mine, FLAGS);
    if (forked_in_handler == 0)
        _exit(!put && mine.fd == -1 && split->fd == 0 && pps_slot_is_idle(split) ? 0 : 1);
    child_must_have_been_right(&before);
    ck_assert(put && pps_slot_is_full(split, 7));
}
END_TEST

static void fork_and_put(int sig)
{
    struct pps_conn mine = {.fd = other_end};
    fork_here(sig);
    if (forked_in_handler == 0)
        pps_slot_put(split, pps_slot_claim_empty(split, 7), &mine, FLAGS);
}

START_TEST(a_release_that_a_forking_handler_interrupts_leaves_the_childs_own_alone)
{
    struct sigaction before, sa = {.sa_handler = fork_and_put};
    split_slot();
    stop_between(&before);
    sigaction(SIGSEGV, &sa, NULL);
    pps_slot_release(split, claim);
    if (forked_in_handler == 0)
        _exit(pps_slot_is_full(split, 7) && split->conn.fd == other_end ? 0 : 1);
    child_must_have_been_right(&before);
    ck_assert(pps_slot_is_idle(split));
}
END_TEST

Suite *suite_slot(void)
{
    Suite *s = suite_create("slot");
    TCase *t = tcase_create("slot");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 60);
    tcase_add_test(t, what_is_put_is_found);
    tcase_add_test(t, a_slot_without_a_tag_of_its_own_is_open_for_none);
    tcase_add_test(t, only_one_can_claim_it);
    tcase_add_test(t, a_claim_must_name_the_tag);
    tcase_add_test(t, a_released_claim_leaves_it_empty);
    tcase_add_test(t, what_is_busy_is_not_opened_for_another);
    tcase_add_test(t, who_closes_a_full_one_has_the_connection_and_nobody_else);
    tcase_add_test(t, what_is_put_into_a_closed_one_stays_the_callers);
    tcase_add_test(t, a_closed_one_that_is_released_stays_closed_until_it_is_opened);
    tcase_add_test(t, only_its_own_tag_closes_it);
    tcase_add_test(t, each_connection_of_nobodys_slot_has_a_tag_of_its_own);
    tcase_add_test(t, tags_go_round);
    tcase_add_test(t, every_sequence_of_calls_does_what_the_picture_says);
    tcase_add_test(t, a_forked_child_closes_its_copy_and_has_an_empty_slot);
    tcase_add_test(t, a_claim_is_void_in_a_forked_child_and_what_was_expected_closed);
    tcase_add_test(t, a_void_claim_does_nothing_to_the_childs_own);
    tcase_add_test(t, a_closed_one_is_closed_in_a_forked_child_too);
    tcase_add_test(t, a_child_that_ran_for_a_while_closes_what_is_a_copy_still);
    tcase_add_test(t, a_child_that_ran_for_a_while_leaves_what_was_only_expected);
    tcase_add_test(t, a_put_that_a_forking_handler_interrupts_is_void_in_the_child);
    tcase_add_test(t, a_release_that_a_forking_handler_interrupts_leaves_the_childs_own_alone);
    suite_add_tcase(s, t);
    return s;
}
