/* SPDX-License-Identifier: MIT
 *
 * test_acquire.c: late connections whose listener is closed while somebody has claimed them (acquire.h).
 */
#include "../../shim/preload/acquire.h"
#include "../../shim/preload/record.h"
#include "suites.h"
#include <ppshim/unix_name.h>
#include <string.h>
#include <unistd.h>

/* A record that listener.c never came to. */
static const struct pps_listener listener = {.index = PPS_LISTENERS_MAX - 1, .generation = 3};
static struct pps_record *const record = &pps_records[PPS_LISTENERS_MAX - 1];
static struct pps_late late;
static int other_end;

static void setup(void)
{
    static const struct pps_unix_name name = {.length = 1, .text = "/"};
    int ends[2];
    atomic_store(&record->listener, listener);
    atomic_store(&record->numbers, 1);
    pps_leader_open(&record->leader);
    ck_assert(pps_slot_open(&record->held, listener.generation));
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct pps_conn c = {.fd = ends[0], .origin.unix_name = &name, .inode = pps_conn_inode(ends[0])};
    c.arrived = pps_now() + 60 * PPS_SECOND; /* not to be parked */
    other_end = ends[1];
    ck_assert(pps_late_put(&listener, &c, SOCK_CLOEXEC));
    pps_late_gather_none(&late);
    pps_late_gather(&late, &listener);
    ck_assert_uint_eq(late.count, 1);
    atomic_store(&record->numbers, 0); /* and whoever closed it has seen a slot that was claimed */
}

static void teardown(void)
{
    struct pps_late_claim left;
    close(other_end);
    while (pps_late_claim_any(NULL, &left)) {
        pps_late_release(&left);
        close(left.conn.fd);
    }
    memset(record, 0, sizeof *record);
}

static void must_have_ended(void)
{
    char byte;
    ck_assert_int_eq(recv(other_end, &byte, 1, MSG_DONTWAIT), 0);
    ck_assert(!pps_late_is_any());
}

START_TEST(what_a_wait_puts_back_is_closed_with_its_listener)
{
    struct pps_listener of;
    late.until = 0;
    ck_assert(!pps_acquire_late(&late, true, &of));
    must_have_ended();
}
END_TEST

START_TEST(what_an_accept_puts_back_is_closed_with_its_listener)
{
    struct pps_conn c;
    late.until = 0;
    ck_assert(!pps_acquire_from_late(&late, 0, &c));
    must_have_ended();
}
END_TEST

START_TEST(what_is_left_to_the_next_wait_is_closed_with_its_listener)
{
    pps_acquire_leave_late(&late);
    must_have_ended();
}
END_TEST

Suite *suite_acquire(void)
{
    Suite *s = suite_create("acquire");
    TCase *t = tcase_create("acquire");

    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, what_a_wait_puts_back_is_closed_with_its_listener);
    tcase_add_test(t, what_an_accept_puts_back_is_closed_with_its_listener);
    tcase_add_test(t, what_is_left_to_the_next_wait_is_closed_with_its_listener);
    suite_add_tcase(s, t);
    return s;
}
